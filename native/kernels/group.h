// The group method: groups of few channels side by side in one vector. A lane stands for one destination
// channel of one group; a permutation within the register brings it a source channel of its group, as a
// broadcast does where there is but one group.
//
// Permutations and sums share the processor's ports. Two taps whose sources are one position apart share
// them: the sample that the second tap needs for a destination is the one that the first needs for the next.
#pragma once
#include "../core.h"
#include "simd.h"

namespace {

// Sums of a tile: two vectors of weights, a permutation and a sample need registers too.
constexpr int group_positions() { return kRegisters == 32 ? 14 : 11; }

template <class T, int M, int Taps>
inline void add_group_tap(Vec<T> (&acc)[M], const ct::GroupTile<T>& a, const ct::GroupTap& tap) {
  constexpr int lanes = Simd<T>::lanes;
  constexpr int order_step = lanes * int(sizeof(T) / sizeof(std::int32_t));
  const ct::index s = a.src_stride;
  const T* src = a.src + tap.src;
  const T* first = a.weights + tap.weights;
  const T* second = a.weights + tap.second;
  for (ct::index part = a.parts; part > 0; --part) {
    // Positions in threes share a base, as in the channel method.
    const T* p0 = src;
    const T* p3 = p0 + 3 * s;
    const T* p6 = p0 + 6 * s;
    const T* p9 = p0 + 9 * s;
    const T* p12 = p0 + 12 * s;
    const std::int32_t* order = a.order;
    for (ct::index c = part == 1 ? a.last : a.channels; c > 0; --c) {
      // Every channel permutes the same samples: without this the compiler keeps them, and sums leave their
      // registers for them.
      asm("" : "+r"(p0), "+r"(p3), "+r"(p6), "+r"(p9), "+r"(p12));
      const Vec<T> w0 = load(first);
      Vec<T> w1;
      if constexpr (Taps == 2) w1 = load(second);
#pragma GCC unroll 16
      for (int m = 0; m < M + Taps - 1; ++m) {
        const T* base = m < 3 ? p0 : m < 6 ? p3 : m < 9 ? p6 : m < 12 ? p9 : p12;
        const Vec<T> x = permute<T>(load(base + (m % 3) * s), order);
        if (m < M) acc[m] += x * w0;
        if constexpr (Taps == 2) {
          if (m > 0) acc[m - 1] += x * w1;
        }
      }
      order += order_step;
      first += lanes;
      second += lanes;
    }
    src += a.part_step;
  }
}

template <class T, int M>
void group_kernel(const ct::GroupTile<T>& a) {
  Vec<T> acc[M];
  const Vec<T> bias = load(a.bias);
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) acc[m] = bias;
  for (ct::index t = 0; t < a.pairs; ++t) add_group_tap<T, M, 2>(acc, a, a.pair[t]);
  for (ct::index t = 0; t < a.singles; ++t) add_group_tap<T, M, 1>(acc, a, a.single[t]);
  if (a.streams) {
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) stream(a.dst + m * a.dst_stride, acc[m]);
  } else if (a.columns == Simd<T>::lanes) {
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) store(a.dst + m * a.dst_stride, acc[m]);
  } else {
    const Part<T> part(0, a.columns);
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) store(a.dst + m * a.dst_stride, acc[m], part);
  }
}

// Taps that share the permutations of the gradient: their sums, and with many registers the permutations.
constexpr int group_taps(int channels) {
  const int taps = kRegisters == 32 ? (30 - channels) / (channels + 1) : 12 / (channels + 1);
  return taps < 4 ? taps : 4;
}

template <class T, int C, int Taps>
void group_gradient_kernel(const ct::GroupGradientTile<T>& g) {
  constexpr int lanes = Simd<T>::lanes;
  constexpr int order_step = lanes * int(sizeof(T) / sizeof(std::int32_t));
  Vec<T> acc[Taps][C];
  ct::index offset[Taps];
#pragma GCC unroll 4
  for (int t = 0; t < Taps; ++t) {
    offset[t] = g.y_offset[t] - g.y_offset[0];
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) acc[t][c] = load(g.sums + (t * C + c) * lanes);
  }
  const ct::index x_step = g.x_step, y_step = g.y_step;
  for (ct::index r = 0; r < g.rows; ++r) {
    const T* x = g.x[r] + g.x_offset;
    const T* y = g.y[r] + g.y_offset[0];
    const std::int32_t* order = g.order;
    for (ct::index j = g.count[r]; j > 0; --j) {
      if constexpr (kRegisters == 16) asm("" : "+r"(order));  // permutations stay in memory
      const Vec<T> sample = load(x);
      Vec<T> row[Taps];
#pragma GCC unroll 4
      for (int t = 0; t < Taps; ++t) row[t] = load(y + offset[t]);
#pragma GCC unroll 8
      for (int c = 0; c < C; ++c) {
        const Vec<T> channel = permute<T>(sample, order + c * order_step);
#pragma GCC unroll 4
        for (int t = 0; t < Taps; ++t) acc[t][c] += channel * row[t];
      }
      x += x_step;
      y += y_step;
    }
  }
#pragma GCC unroll 4
  for (int t = 0; t < Taps; ++t)
#pragma GCC unroll 8
    for (int c = 0; c < C; ++c) store(g.sums + (t * C + c) * lanes, acc[t][c]);
}

}  // namespace
