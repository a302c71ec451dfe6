// The kernel gradient of depthwise layers on planes: vectors along the positions of a row, one vector of sums
// per tap. Neighbouring rows of the inputs share the rows of the outputs.
#pragma once
#include "../core.h"
#include "depthwise_first.h"
#include "simd.h"

namespace {

constexpr int kGradientRows = 4;  // of the inputs per tile

// Lines of taps whose sums fit the registers, balanced.
constexpr int depthwise_tap_lines(int kernel_size, int stride) {
  int lines = kernel_size;
  while (lines > 1 && lines * kernel_size + kGradientRows + 2 * stride > kRegisters) --lines;
  const int passes = (kernel_size + lines - 1) / lines;
  return (kernel_size + passes - 1) / passes;
}

// What is loaded at an edge. A term counts where both of its factors exist; everywhere else both are zeros,
// so that no infinity meets a zero.
template <class T, int K, int S>
struct GradientColumn {
  static constexpr int lanes = Simd<T>::lanes, groups = (K + S - 1) / S;
  Part<T> y[groups * S], x[K];

  static constexpr int offset(int n) { return S * (n / S) + n % S * lanes; }

  void set(const ct::DepthwiseAxis& w, ct::index q) {
    for (int n = 0; n < groups * S; ++n) {
      const ct::index at = q * S + w.src_first + offset(n);
      const ct::index end = w.dst_size * S + w.src_first + n / S * S;  // behind what the last input meets
      y[n] = inside<T>(at, end < w.src_size ? end : w.src_size);
    }
    for (int t = 0; t < K; ++t) {
      const auto round_up = [](ct::index a) { return a <= 0 ? -(-a / S) : (a + S - 1) / S; };
      const ct::index begin = round_up(-w.src_first - t), end = round_up(w.src_size - w.src_first - t);
      x[t] = Part<T>((begin > 0 ? begin : 0) - q, (end < w.dst_size ? end : w.dst_size) - q);
    }
  }
};

// One vector of neighbouring inputs by several rows, all taps of some lines. At an edge, vectors are loaded
// in part, and rows outside are left out.
template <class T, int K, int S, int Lines, bool EdgeColumn, bool EdgeRow>
inline void depthwise_gradient_tile(const ct::DepthwisePlane<T>& a, ct::index q_h, ct::index q, int line,
                                    const GradientColumn<T, K, S>& column, Vec<T> (&acc)[Lines][K]) {
  using Column = GradientColumn<T, K, S>;
  constexpr int H = kGradientRows, rows = (H - 1) * S + Lines;
  const ct::index x_pitch = a.h.dst_stride, y_pitch = a.h.src_stride, x_left = a.h.dst_size - q_h;
  const ct::index top = q_h * S + a.h.src_first + line;
  const T* const x = a.x + q_h * x_pitch + q;
  const T* y = a.y + top * y_pitch + q * S + a.w.src_first;
  Vec<T> input[H] = {};
  if constexpr (!EdgeColumn) {
#pragma GCC unroll 4
    for (int i = 0; i < H; ++i) {
      if (EdgeRow && i >= x_left) break;
      input[i] = load(x + i * x_pitch);
      hold(input[i]);
    }
  }
#pragma GCC unroll 16
  for (int row = 0; row < rows; ++row, y += y_pitch) {
    if (EdgeRow && (top + row < 0 || top + row >= a.h.src_size)) continue;
#pragma GCC unroll 8
    for (int j = 0; j < Column::groups; ++j) {
      Vec<T> output[S];
#pragma GCC unroll 8
      for (int r = 0; r < S; ++r) {
        const int n = j * S + r;
        output[r] = EdgeColumn ? load(y + Column::offset(n), column.y[n]) : load(y + Column::offset(n));
      }
      split_phases<T, S>(output);
#pragma GCC unroll 8
      for (int r = 0; r < S; ++r) {
        const int t = j * S + r;
        if (t >= K) break;
        hold(output[r]);
#pragma GCC unroll 4
        for (int i = 0; i < H; ++i) {
          const int th = row - i * S;
          if (th < 0 || th >= Lines || (EdgeRow && i >= x_left)) continue;
          acc[th][t] += (EdgeColumn ? load(x + i * x_pitch, column.x[t]) : input[i]) * output[r];
        }
      }
    }
  }
}

template <class T, int K, int S, int Lines>
void depthwise_gradient_lines(const ct::DepthwisePlane<T>& a, int line) {
  constexpr int lanes = Simd<T>::lanes, H = kGradientRows, band = 4 * H;  // rows that stay in the first cache
  GradientColumn<T, K, S> column;
  ct::index known = -1;
  for (ct::index first = 0; first < a.h.dst_size; first += band)
    for (ct::index q = 0; q < a.w.dst_size; q += lanes) {
      const ct::index end = first + band < a.h.dst_size ? first + band : a.h.dst_size;
      const bool inner_column = q >= a.w.inner_begin && q + lanes <= a.w.inner_end;
      T* const sums = a.sums + line * K * lanes;
      Vec<T> acc[Lines][K];
#pragma GCC unroll 8
      for (int th = 0; th < Lines; ++th)
#pragma GCC unroll 8
        for (int t = 0; t < K; ++t) acc[th][t] = load(sums + (th * K + t) * lanes);
      if (!inner_column && q != known) column.set(a.w, known = q);
      for (ct::index q_h = first; q_h < end; q_h += H) {
        const bool inner_rows = q_h >= a.h.inner_begin && q_h + H <= a.h.inner_end;
        if (inner_rows && inner_column)
          depthwise_gradient_tile<T, K, S, Lines, false, false>(a, q_h, q, line, column, acc);
        else if (inner_column)
          depthwise_gradient_tile<T, K, S, Lines, false, true>(a, q_h, q, line, column, acc);
        else if (inner_rows)
          depthwise_gradient_tile<T, K, S, Lines, true, false>(a, q_h, q, line, column, acc);
        else
          depthwise_gradient_tile<T, K, S, Lines, true, true>(a, q_h, q, line, column, acc);
      }
#pragma GCC unroll 8
      for (int th = 0; th < Lines; ++th)
#pragma GCC unroll 8
        for (int t = 0; t < K; ++t) store(sums + (th * K + t) * lanes, acc[th][t]);
    }
}

template <class T, int K, int S>
void depthwise_plane_gradient(const ct::DepthwisePlane<T>& a) {
  constexpr int lines = depthwise_tap_lines(K, S), rest = K % lines;
  for (int line = 0; line + lines <= K; line += lines) depthwise_gradient_lines<T, K, S, lines>(a, line);
  if constexpr (rest > 0) depthwise_gradient_lines<T, K, S, rest>(a, K - rest);
}

}  // namespace
