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
void row_kernel(const ct::RowTile<T>& a) {
  constexpr int lanes = Simd<T>::lanes;
  Vec<T> acc[M][V];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) acc[m][v] = splat(a.bias[m]);
  const T* w = a.weights;
  const T *plane = a.src, *ahead = a.ahead;
  for (ct::index c = 0; c < a.channels; ++c, plane += a.src_stride_c) {
    if (ahead) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) __builtin_prefetch(ahead + v * lanes, 0, 2);
      ahead += a.ahead_stride;
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

}  // namespace
