// The kernel gradient on planes: vectors along the positions, one vector of sums for every pair of a tap and
// an input channel. The sums meet at the end, when all rows are done.
#pragma once
#include "../core.h"
#include "simd.h"

namespace {

// Taps whose sums with a few channels fit the registers, beside themselves and one vector of the inputs.
constexpr int dot_gradient_taps() { return kRegisters == 32 ? 6 : 3; }

// What the lanes of every vector add up to: one vector per `lanes` of them, in their order.
template <class T, int N, int Width = Simd<T>::lanes>
inline void add_lanes(const Vec<T> (&v)[N], T* sums) {
  constexpr int lanes = Simd<T>::lanes;
  if constexpr (Width > 1) {
    Vec<T> half[(N + 1) / 2];
#pragma GCC unroll 16
    for (int n = 0; n < N; n += 2) {
      const Vec<T> next = v[n + 1 < N ? n + 1 : n];
      half[n / 2] = even<T>(v[n], next) + odd<T>(v[n], next);
    }
    add_lanes<T, (N + 1) / 2, Width / 2>(half, sums);
  } else {
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) store(sums + n * lanes, v[n]);
  }
}

// One vector of neighbouring positions, or a part of one.
template <class T, int C, int M, bool Whole>
inline void add_positions(const T* const (&x)[C], const T* const (&y)[M], ct::index j, const Part<T>& part,
                          ct::index ahead, Vec<T> (&acc)[M * C]) {
  Vec<T> output[M];
#pragma GCC unroll 4
  for (int c = 0; c < C; ++c) __builtin_prefetch(x[c] + j + ahead);
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
    output[m] = Whole ? load(y[m] + j) : load(y[m] + j, part);
    hold(output[m]);
  }
#pragma GCC unroll 4
  for (int c = 0; c < C; ++c) {
    Vec<T> input = Whole ? load(x[c] + j) : load(x[c] + j, part);
    hold(input);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) acc[m * C + c] += input * output[m];
  }
}

// The sums of a tap.
template <class T>
inline void write_sums(const ct::DotGradientTile<T>& g, const T* sums, T* dst) {
  constexpr int C = ct::DotGradientTile<T>::kChannels;
  typedef T Channels __attribute__((vector_size(C * sizeof(T))));
  if (g.channels < C) {
    for (ct::index c = 0; c < g.channels; ++c) dst[c] = g.add ? dst[c] + sums[c] : sums[c];
    return;
  }
  Channels part, before = {};
  __builtin_memcpy(&part, sums, sizeof part);
  if (g.add) __builtin_memcpy(&before, dst, sizeof before);
  part = g.add ? part + before : part;
  __builtin_memcpy(dst, &part, sizeof part);
}

template <class T, int M>
void dot_gradient_kernel(const ct::DotGradientTile<T>& g) {
  constexpr int lanes = Simd<T>::lanes, C = ct::DotGradientTile<T>::kChannels;
  Vec<T> acc[M * C] = {};
  for (ct::index r = 0; r < g.rows; ++r) {
    const T *x[C], *y[M];
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) x[c] = g.x[r] + g.x_offset[c];
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) y[m] = g.y[r] + g.y_offset[m];
    const ct::index count = g.count[r], whole = count / lanes * lanes;
    for (ct::index j = 0; j < whole; j += lanes) add_positions<T, C, M, true>(x, y, j, {}, g.x_ahead, acc);
    if (whole < count) add_positions<T, C, M, false>(x, y, whole, Part<T>(0, count - whole), g.x_ahead, acc);
  }
  constexpr int vectors = (M * C + lanes - 1) / lanes;
  T sums[vectors * lanes];
  add_lanes<T>(acc, sums);
  for (int m = 0; m < M; ++m) write_sums(g, sums + m * C, g.dst + g.dst_offset[m]);
}

}  // namespace
