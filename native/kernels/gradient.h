// The kernel gradient: products of two channel matrices summed over positions. One side is broadcast, the
// other gives the vectors; the sums stay in registers over many rows of positions.
#pragma once
#include "../core.h"
#include "simd.h"

namespace {

// Most broadcast elements of a tile with `v` vectors: the sums and the shorter side fit the registers.
constexpr int gradient_elements(int v) {
  return kRegisters == 32 ? (v <= 2 ? 14 : v <= 4 ? 6 : 3) : (v == 1 ? 12 : v == 2 ? 6 : v <= 4 ? 3 : 1);
}

// Positions of the vector side that are asked for ahead: channels of a wide array lie far apart.
constexpr int kGradientAhead = 16;

template <class T, int M, int V>
void gradient_kernel(const ct::GradientTile<T>& g) {
  constexpr int lanes = Simd<T>::lanes;
  Vec<T> acc[M][V] = {};
  // Whole vectors of the result are on their way to the second cache while they are summed up.
  bool whole = g.dst_stride_c == 1;
  for (int v = 0; v < V; ++v) whole &= g.columns[v] == lanes;
  if (whole)
    for (int m = 0; m < M; ++m)
      for (int v = 0; v < V; ++v) __builtin_prefetch(g.dst + g.dst_element[m] + g.dst_offset[v], 1, 2);
  // From the first vector, which needs no register then.
  ct::index offset[V];
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) offset[v] = g.b_offset[v] - g.b_offset[0];
  const ct::index a_step = g.a_step, b_step = g.b_step;
  const ct::index ahead = kGradientAhead * b_step;
  for (ct::index r = 0; r < g.rows; ++r) {
    const T* a = g.a[r] + g.a_offset;
    const T* b = g.b[r] + g.b_offset[0];
    for (ct::index j = g.count[r]; j > 0; --j) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) __builtin_prefetch(b + ahead + offset[v]);
      if (M < V) {
        Vec<T> x[M];
#pragma GCC unroll 16
        for (int m = 0; m < M; ++m) x[m] = splat(a[m]);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) {
          const Vec<T> row = load(b + offset[v]);
#pragma GCC unroll 16
          for (int m = 0; m < M; ++m) acc[m][v] += x[m] * row;
        }
      } else {
        Vec<T> row[V];
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) row[v] = load(b + offset[v]);
#pragma GCC unroll 16
        for (int m = 0; m < M; ++m) {
          const Vec<T> x = splat(a[m]);
#pragma GCC unroll 8
          for (int v = 0; v < V; ++v) acc[m][v] += x * row[v];
        }
      }
      a += a_step;
      b += b_step;
    }
  }
  if (whole) {
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      T* const dst = g.dst + g.dst_element[m];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        T* const to = dst + g.dst_offset[v];
        store(to, g.add ? load(to) + acc[m][v] : acc[m][v]);
      }
    }
    return;
  }
  // By way of memory: as code for every register it would be larger than all the rest.
  T sums[M * V * lanes];
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store(sums + (m * V + v) * lanes, acc[m][v]);
  for (int m = 0; m < M; ++m)
    for (int v = 0; v < V; ++v) {
      const T* part = sums + (m * V + v) * lanes;
      T* dst = g.dst + g.dst_element[m] + g.dst_offset[v];
      for (ct::index c = 0; c < g.columns[v]; ++c)
        dst[c * g.dst_stride_c] = g.add ? dst[c * g.dst_stride_c] + part[c] : part[c];
    }
}

// One channel per group: sums of element-wise products, vectors along the channels. L lines of M taps.
template <class T, int M, int V, int L = 1>
void depthwise_gradient_kernel(const ct::DepthwiseGradientTile<T>& g) {
  constexpr int lanes = Simd<T>::lanes;
  Vec<T> acc[L][M][V];
  T* const sums = g.sums;
#pragma GCC unroll 4
  for (int l = 0; l < L; ++l)
#pragma GCC unroll 4
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v)
        acc[l][m][v] = load(sums + l * g.line_stride + m * g.sums_stride + v * lanes);
  const ct::index x_step = g.x_step, y_step = g.y_step, tap = g.y_tap;
  for (ct::index r = 0; r < g.rows; ++r) {
    const T* x = g.x[r] + g.offset;
    const T* y[L];
#pragma GCC unroll 4
    for (int l = 0; l < L; ++l) y[l] = g.y[r] + g.offset + l * g.y_line;
    for (ct::index j = g.count; j > 0; --j) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const Vec<T> row = load(x + v * lanes);
#pragma GCC unroll 4
        for (int l = 0; l < L; ++l)
#pragma GCC unroll 4
          for (int m = 0; m < M; ++m) acc[l][m][v] += row * load(y[l] + m * tap + v * lanes);
      }
      x += x_step;
#pragma GCC unroll 4
      for (int l = 0; l < L; ++l) y[l] += y_step;
    }
  }
#pragma GCC unroll 4
  for (int l = 0; l < L; ++l)
#pragma GCC unroll 4
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v)
        store(sums + l * g.line_stride + m * g.sums_stride + v * lanes, acc[l][m][v]);
}

// Vectors whose sums over a square of taps fit the registers; single ones would use too little of the lines
// of memory that they read.
constexpr int depthwise_square_vectors(int taps) {
  const int fit = (kRegisters == 32 ? 20 : 10) / (taps * taps);
  return fit < 2 ? 0 : fit > 4 ? 4 : fit;
}

}  // namespace
