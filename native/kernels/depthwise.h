// The depthwise method, channels last: vectors along the channels, read where they lie.
#pragma once
#include "../core.h"
#include "simd.h"

namespace {

// Positions of a tile: its sums, its window and one vector of weights fit the registers.
constexpr int depthwise_positions(int window, int step, int phases) {
  int m = 8;
  while (m > 1 && m * phases + (m - 1) * step + window + 1 > kRegisters) m /= 2;
  return m;
}

// M neighbouring q with all their phases, for all channels. Neighbours share their window, so a source
// is loaded once per row and line. At an edge, what lies outside is neither read nor written.
template <class T, int K, int S, bool Forward, int M, bool Edge>
inline void depthwise_tile(const ct::DepthwiseRun<T>& a, const ct::DepthwiseLine& line, ct::index q) {
  constexpr int lanes = Simd<T>::lanes, phases = Forward ? S : 1, step = Forward ? 1 : S;
  constexpr int window = Forward ? (K + S - 1) / S : K, columns = (M - 1) * step + window;
  const ct::index first = q * step + a.w.src_first - (Forward ? window - 1 : 0);
  const ct::index to = q * phases + a.w.dst_first;
  const ct::index dst_stride = a.w.dst_stride;
  const bool streams = kVectorBytes == 64 && a.streams;
  T* const dst = a.dst + line.dst + to * dst_stride;
  for (ct::index c = a.channel_begin; c < a.channel_end; c += lanes) {
    // The last vector ends at the last channel; what it shares with its neighbour is the same twice.
    if (c + lanes > a.channel_end) c = a.channel_end - lanes;
    Vec<T> acc[phases][M];
    const Vec<T> bias = load(a.bias + c);
#pragma GCC unroll 8
    for (int r = 0; r < phases; ++r)
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) acc[r][m] = bias;
    const ct::DepthwiseRow* row = a.rows + line.first;
    for (ct::index n = 0; n < line.count; ++n, ++row) {
      const T* x = a.src + row->src + first * a.w.src_stride + c;
      const T* w = a.weights + row->weights + c;
      Vec<T> source[columns];
#pragma GCC unroll 40
      for (int j = 0; j < columns; ++j) {
        if (!Edge || (first + j >= 0 && first + j < a.w.src_size))
          source[j] = load(x + j * a.w.src_stride);
        else
          source[j] = Vec<T>{};
      }
#pragma GCC unroll 8
      for (int t = 0; t < K; ++t) {
        const Vec<T> k = load(w + t * a.channels);
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m)
          acc[Forward ? t % S : 0][m] += source[m * step + (Forward ? window - 1 - t / S : t)] * k;
      }
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
      for (int r = 0; r < phases; ++r)
        if (!Edge || (to + m * phases + r >= 0 && to + m * phases + r < a.w.dst_size)) {
          T* p = dst + (m * phases + r) * dst_stride + c;
          streams ? stream(p, acc[r][m]) : store(p, acc[r][m]);
        }
  }
}

template <class T, int K, int S, bool Forward>
void depthwise_last(const ct::DepthwiseRun<T>& a) {
  constexpr int window = Forward ? (K + S - 1) / S : K;
  constexpr int M = depthwise_positions(window, Forward ? 1 : S, Forward ? S : 1);
  constexpr int E = M < 4 ? M : 4;
  for (ct::index n = 0; n < a.line_count; ++n) {
    const ct::DepthwiseLine& line = a.lines[n];
    for (ct::index q = a.w.begin; q < a.w.end;) {
      if (q >= a.w.inner_begin && q + M <= a.w.inner_end) {
        depthwise_tile<T, K, S, Forward, M, false>(a, line, q);
        q += M;
      } else {
        depthwise_tile<T, K, S, Forward, E, true>(a, line, q);
        q += E;
      }
    }
  }
}

// Any kernel, stride and dilation, and fewer channels than a vector has lanes.
template <class T, class V, int M, bool Edge>
inline void depthwise_any_tile(const ct::DepthwiseRun<T>& a, const ct::DepthwiseLine& line, ct::index q,
                               ct::index phase, ct::index c) {
  V acc[M];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) acc[m] = *reinterpret_cast<const V*>(a.bias + c);
  for (ct::index n = 0; n < line.count; ++n) {
    const ct::DepthwiseRow& row = a.rows[line.first + n];
    for (ct::index t = a.phase_taps[phase]; t < a.phase_taps[phase + 1]; ++t) {
      const ct::index at = q * a.w.src_step + a.w.src_first + a.taps[t].column;
      const V k = *reinterpret_cast<const V*>(a.weights + row.weights + a.taps[t].weight * a.channels + c);
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) {
        const ct::index from = at + m * a.w.src_step;
        if (!Edge || (from >= 0 && from < a.w.src_size))
          acc[m] += *reinterpret_cast<const V*>(a.src + row.src + from * a.w.src_stride + c) * k;
      }
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
    const ct::index to = (q + m) * a.w.phases + phase + a.w.dst_first;
    if (!Edge || (to >= 0 && to < a.w.dst_size))
      *reinterpret_cast<V*>(a.dst + line.dst + to * a.w.dst_stride + c) = acc[m];
  }
}

template <class T>
void depthwise_any(const ct::DepthwiseRun<T>& a) {
  using V = typename Simd<T>::Unaligned;
  constexpr int lanes = Simd<T>::lanes, M = 4;
  for (ct::index n = 0; n < a.line_count; ++n)
    for (ct::index q = a.w.begin; q < a.w.end; q += M) {
      const bool inner = q >= a.w.inner_begin && q + M <= a.w.inner_end;
      for (ct::index phase = 0; phase < a.w.phases; ++phase) {
        const auto tile = [&](ct::index c, auto vector) {
          if (inner)
            depthwise_any_tile<T, decltype(vector), M, false>(a, a.lines[n], q, phase, c);
          else
            depthwise_any_tile<T, decltype(vector), M, true>(a, a.lines[n], q, phase, c);
        };
        if (a.channels < lanes)
          for (ct::index c = 0; c < a.channels; ++c) tile(c, T());
        else
          for (ct::index c = a.channel_begin; c < a.channel_end; c += lanes)
            tile(c + lanes > a.channel_end ? a.channel_end - lanes : c, V());
      }
    }
}

}  // namespace
