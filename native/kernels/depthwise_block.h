// The depthwise method, channels last, square kernels: a tile is a block of lines and positions, which share
// most of their sources. Channels are its innermost loop, so memory is read and written in few long walks.
#pragma once
#include "../core.h"
#include "simd.h"

namespace {

// A tile is L by M positions q with their S by S phases; they need so many rows and columns of a source
// plane. An adjoint, without a stride, differs in where its taps lead.
template <int K, int S, bool Forward>
struct Block {
  static_assert(Forward || S == 1);
  static constexpr int window = (K + S - 1) / S, before = Forward ? window - 1 : 0;
  static constexpr int L = (kRegisters == 32 ? 4 : 2) / S, lines = L * S, rows = L + window - 1;
  static constexpr int positions() {
    int m = 4 / S;
    while (m > 1 && lines * m * S + m + window > kRegisters) --m;
    return m;
  }
  static constexpr int M = positions(), columns = M + window - 1;
  // Whether rows share the weights that they load; with a stride few have the same ones.
  static constexpr bool keeps_weights = K * K + columns + lines * M <= kRegisters || S > 1;

  // Row n is the `step(l, n)`th one that line l meets, where it has that many.
  static constexpr int step(int l, int n) { return Forward ? l / S + window - 1 - n : n - l; }
  static constexpr int tap(int l, int n) { return step(l, n) < 0 ? K : step(l, n) * S + l % S; }
  static constexpr int column(int m, int tap) { return Forward ? m + window - 1 - tap / S : m + tap; }
};

// At an edge, source rows outside are left out, columns outside are zeros, and what lies outside of the
// destinations or of the run's share of them is not written.
template <class T, int K, int S, bool Forward, bool EdgeRow, bool EdgeColumn>
inline void block_tile(const ct::DepthwiseRun<T>& a, const ct::DepthwiseLine& plane, ct::index h,
                       ct::index q) {
  using B = Block<K, S, Forward>;
  constexpr int lanes = Simd<T>::lanes;
  const ct::index row = h + a.h.src_first - B::before, column = q + a.w.src_first - B::before;
  const ct::index line = h * S + a.h.dst_first, position = q * S + a.w.dst_first;
  const ct::index from = row * a.h.src_stride + column * a.w.src_stride;
  const ct::index to = plane.dst + line * a.h.dst_stride + position * a.w.dst_stride;
  const auto writes = [](const ct::DepthwiseAxis& axis, ct::index at) {
    return at >= 0 && at < axis.dst_size && at < axis.end * S + axis.dst_first;
  };
  const bool streams = kVectorBytes >= 32 && a.streams;
  const T* weights = a.weights;
  for (ct::index c = 0; c < a.channels; c += lanes, weights += K * K * lanes) {
    // The last vector ends at the last channel; what it shares with its neighbour is the same twice.
    if (c + lanes > a.channels) c = a.channels - lanes;
    Vec<T> acc[B::lines][B::M][S];
    const Vec<T> bias = load(a.bias + c);
#pragma GCC unroll 8
    for (int l = 0; l < B::lines; ++l)
#pragma GCC unroll 8
      for (int m = 0; m < B::M; ++m)
#pragma GCC unroll 8
        for (int r = 0; r < S; ++r) acc[l][m][r] = bias;
    const ct::DepthwiseRow* source_plane = a.rows + plane.first;
    for (ct::index d = 0; d < plane.count; ++d, ++source_plane) {
      const T* const x = a.src + source_plane->src + from + c;
      const T* w = weights + source_plane->weights;
#pragma GCC unroll 16
      for (int i = 0; i < B::rows; ++i) {
        const int n = Forward ? B::rows - 1 - i : i;  // every line meets its first tap first
        if (EdgeRow && (row + n < 0 || row + n >= a.h.src_size)) continue;
        if (!B::keeps_weights) asm("" : "+r"(w));  // or rows would share more of them than registers can hold
        Vec<T> source[B::columns];
        const Lines<const T, B::columns> samples(x + n * a.h.src_stride, a.w.src_stride);
#pragma GCC unroll 16
        for (int j = 0; j < B::columns; ++j) {
          const bool there = !EdgeColumn || (column + j >= 0 && column + j < a.w.src_size);
          source[j] = there ? load(samples(j)) : Vec<T>{};
        }
#pragma GCC unroll 8
        for (int l = 0; l < B::lines; ++l) {
          if (B::tap(l, n) >= K) continue;
#pragma GCC unroll 8
          for (int t = 0; t < K; ++t) {
            const Vec<T> k = load(w + (B::tap(l, n) * K + t) * lanes);
#pragma GCC unroll 8
            for (int m = 0; m < B::M; ++m) acc[l][m][t % S] += source[B::column(m, t)] * k;
          }
        }
      }
    }
#pragma GCC unroll 8
    for (int l = 0; l < B::lines; ++l) {
      if (EdgeRow && !writes(a.h, line + l)) continue;
      const Lines<T, B::M * S> dst(a.dst + to + l * a.h.dst_stride + c, a.w.dst_stride);
#pragma GCC unroll 8
      for (int m = 0; m < B::M; ++m)
#pragma GCC unroll 8
        for (int r = 0; r < S; ++r) {
          const int at = m * S + r;
          if (EdgeColumn && !writes(a.w, position + at)) continue;
          streams ? stream(dst(at), acc[l][m][r]) : store(dst(at), acc[l][m][r]);
        }
    }
  }
}

// Neighbouring planes take turns: they share sources as well.
template <class T, int K, int S, bool Forward>
void depthwise_block(const ct::DepthwiseRun<T>& a) {
  using B = Block<K, S, Forward>;
  const auto inner = [](const ct::DepthwiseAxis& axis, ct::index q, int size) {
    return q >= axis.inner_begin && q + size <= axis.inner_end;
  };
  for (ct::index h = a.h.begin; h < a.h.end; h += B::L)
    for (ct::index n = 0; n < a.line_count; ++n)
      for (ct::index q = a.w.begin; q < a.w.end; q += B::M) {
        const ct::DepthwiseLine& plane = a.lines[n];
        if (inner(a.h, h, B::L))
          inner(a.w, q, B::M) ? block_tile<T, K, S, Forward, false, false>(a, plane, h, q)
                              : block_tile<T, K, S, Forward, false, true>(a, plane, h, q);
        else
          inner(a.w, q, B::M) ? block_tile<T, K, S, Forward, true, false>(a, plane, h, q)
                              : block_tile<T, K, S, Forward, true, true>(a, plane, h, q);
      }
}

}  // namespace
