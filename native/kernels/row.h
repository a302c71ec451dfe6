// The row method: vectors along neighbouring positions of planar memory, weights broadcast. One call
// computes M rows (phases and channels that share their taps) of a run of positions.
#pragma once
#include "../core.h"
#include "simd.h"

namespace {

// Most vectors per tile: the sums, the shorter side of the product and one more fit the registers.
constexpr int row_vectors(int m) {
  int v = kRegisters == 32 ? 8 : 6;
  while (v > 1 && m * v + (m < v ? m : v) + 1 > kRegisters) --v;
  return v;
}

template <class T, int M, int V>
[[gnu::always_inline]] inline void row_sums(const ct::RowTile<T>& a, Vec<T> (&acc)[M][V]) {
  constexpr int lanes = Simd<T>::lanes;
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) acc[m][v] = splat(a.bias[m]);
  const T* w = a.weights;
  const T *plane = a.src, *ahead = a.ahead;
  ct::index left = a.ahead_run - a.ahead_done;
  for (ct::index c = 0; c < a.channels; ++c, plane += a.src_stride_c) {
    if (ahead) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) __builtin_prefetch(ahead + v * lanes, 0, 2);
      ahead += V * lanes;
      if (--left == 0) {
        ahead += a.ahead_stride - a.ahead_run * V * lanes;
        left = a.ahead_run;
      }
    }
    for (ct::index t = 0; t < a.taps; ++t, w += M) {
      const T* x = plane + a.src_offset[t];
      if (M < V) {
        Vec<T> k[M];
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m) k[m] = splat(w[m]);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) {
          const Vec<T> row = load(x + v * lanes);
#pragma GCC unroll 8
          for (int m = 0; m < M; ++m) acc[m][v] += row * k[m];
        }
      } else {
        Vec<T> row[V];
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) row[v] = load(x + v * lanes);
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m) {
          const Vec<T> k = splat(w[m]);
#pragma GCC unroll 8
          for (int v = 0; v < V; ++v) acc[m][v] += row[v] * k;
        }
      }
    }
  }
}

template <class T, int M, int V>
void row_kernel(const ct::RowTile<T>& a) {
  constexpr int lanes = Simd<T>::lanes;
  Vec<T> acc[M][V];
  row_sums<T, M, V>(a, acc);
  T* dst = a.dst;
  if (a.streams) {
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m, dst += a.dst_stride)
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) stream(dst + v * lanes, acc[m][v]);
    return;
  }
  const Part<T> rest(0, a.rest > 0 ? a.rest : lanes);
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m, dst += a.dst_stride) {
#pragma GCC unroll 8
    for (int v = 0; v < V - 1; ++v) store(dst + v * lanes, acc[m][v]);
    store(dst + (V - 1) * lanes, acc[m][V - 1], rest);
  }
}

// Two rows each are the phases of a line, which leaves interleaved.
template <class T, int M, int V>
void row_pairs_kernel(const ct::RowTile<T>& a) {
  constexpr int lanes = Simd<T>::lanes;
  Vec<T> acc[M][V];
  row_sums<T, M, V>(a, acc);
  const bool whole = a.begin == 0 && a.end == 2 * V * lanes;
#pragma GCC unroll 8
  for (int m = 0; m < M; m += 2) {
    if (!a.lines[m / 2]) continue;
    T* dst = a.lines[m / 2] + a.at;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v, dst += 2 * lanes) {
      const Vec<T> low = zip_low<T>(acc[m][v], acc[m + 1][v]), high = zip_high<T>(acc[m][v], acc[m + 1][v]);
      if (a.streams) {
        stream(dst, low);
        stream(dst + lanes, high);
      } else if (whole) {
        store(dst, low);
        store(dst + lanes, high);
      } else {
        const ct::index before = 2 * v * lanes;
        store(dst, low, Part<T>(a.begin - before, a.end - before));
        store(dst + lanes, high, Part<T>(a.begin - before - lanes, a.end - before - lanes));
      }
    }
  }
}

}  // namespace
