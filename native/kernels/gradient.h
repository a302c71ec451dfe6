// The kernel gradient: per tap a product of two channel matrices summed over positions. One side is
// broadcast, the other gives the vectors; the sums stay in registers over all rows of a block.
#pragma once
#include "../core.h"
#include "simd.h"

namespace {

// One row of positions. `Full`: all channels of the panel are there to be read.
template <bool Full, class T, int M, int V>
inline void gradient_row(const T* a, const T* b, ct::index count, const ct::GradientTile<T>& g,
                         Vec<T> (&acc)[M][V]) {
  constexpr int lanes = Simd<T>::lanes;
  const ct::index a_step = g.a_step, b_step = g.b_step;
  for (ct::index j = count; j > 0; --j) {
    Vec<T> row[V];
    if (Full) {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) row[v] = load(b + v * lanes);
    } else {
      T part[V * lanes] = {};
      for (ct::index c = 0; c < g.columns; ++c) part[c] = b[c];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) row[v] = load(part + v * lanes);
    }
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      const Vec<T> x = splat(a[m]);
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) acc[m][v] += x * row[v];
    }
    a += a_step;
    b += b_step;
  }
}

template <class T, int M, int V>
void gradient_kernel(const ct::GradientTile<T>& g) {
  constexpr int lanes = Simd<T>::lanes;
  Vec<T> acc[M][V] = {};
  for (ct::index r = 0; r < g.rows; ++r) {
    const T* a = g.a[r] + g.a_offset;
    const T* b = g.b[r] + g.b_offset;
    if (g.columns == V * lanes)
      gradient_row<true>(a, b, g.count[r], g, acc);
    else
      gradient_row<false>(a, b, g.count[r], g, acc);
  }
  T part[V * lanes];
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) {
    T* dst = g.dst + m * g.dst_stride_m;
    if (g.columns == V * lanes && g.dst_stride_v == 1) {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) store(dst + v * lanes, load(dst + v * lanes) + acc[m][v]);
    } else {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) store(part + v * lanes, acc[m][v]);
      for (ct::index c = 0; c < g.columns; ++c) dst[c * g.dst_stride_v] += part[c];
    }
  }
}

}  // namespace
