// The dot method: vectors along the source, for adjoints with very few destination channels. Every sum is a
// vector of partial sums until its end.
#pragma once
#include "../core.h"
#include "simd.h"

namespace {

// Destinations at once: their sums and the weights fit the registers.
constexpr int dot_positions(int n) {
  return kRegisters == 32 ? (n == 1 ? 16 : n == 2 ? 8 : 4) : n == 1 ? 8 : 4;
}

template <class T>
inline T sum_of(Vec<T> v) {
  T part[Simd<T>::lanes];
  store(part, v);
  for (int half = Simd<T>::lanes / 2; half > 0; half /= 2)
    for (int n = 0; n < half; ++n) part[n] += part[n + half];
  return part[0];
}

template <class T, int N, int M>
inline void dot_tile(const ct::DotTile<T>& a, const T* src, T* dst) {
  constexpr int lanes = Simd<T>::lanes;
  typedef decltype(Vec<T>{} < Vec<T>{}) Mask;
  Mask inside;
  for (int n = 0; n < lanes; ++n) inside[n] = n < a.last ? -1 : 0;
  Vec<T> acc[M][N] = {};
  const T* w = a.weights;
  const ct::index step = a.src_step;
  for (ct::index r = 0; r < a.runs; ++r) {
    const T* x = src + a.src_offset[r];
    // Into the second cache: M walks at once hide from the processor what comes next.
    const ct::index ahead = a.src_offset[r + 8 < a.runs ? r + 8 : r] - a.src_offset[r];
    const auto add = [&](ct::index v) {
      Vec<T> k[N];
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) k[n] = load(w + (v * N + n) * lanes);
#pragma GCC unroll 16
      for (int m = 0; m < M; ++m) {
        const Vec<T> row = load(x + v * lanes + m * step);
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) acc[m][n] += row * k[n];
      }
    };
    if (N > 1 || a.next == 0) {
      for (ct::index v = 0; v < a.vectors; ++v) add(v);
    } else {
      for (ct::index block = 0; block < a.vectors; block += 2 * a.next)
        for (ct::index v = block; v < a.vectors && v < block + a.next; ++v) {
          if (v + a.next >= a.vectors) {
            add(v);
            continue;
          }
          const Vec<T> k = load(w + v * lanes), after = load(w + (v + a.next) * lanes);
#pragma GCC unroll 17
          for (int m = 0; m <= M; ++m) {
            const Vec<T> row = load(x + v * lanes + m * step);
            __builtin_prefetch(x + ahead + v * lanes + m * step, 0, 2);
            if (m < M) acc[m][0] += row * k;
            if (m > 0) acc[m - 1][0] += row * after;
          }
        }
    }
    w += a.vectors * N * lanes;
    if (a.last) {  // what lies behind the run must not count, even if it is not finite
      x += a.vectors * lanes;
      Vec<T> k[N];
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) k[n] = load(w + n * lanes);
#pragma GCC unroll 16
      for (int m = 0; m < M; ++m) {
        const Vec<T> row = (Vec<T>)((Mask)load(x + m * step) & inside);
#pragma GCC unroll 4
        for (int n = 0; n < N; ++n) acc[m][n] += row * k[n];
      }
      w += N * lanes;
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) dst[m * a.dst_step + n * a.dst_stride_c] = sum_of<T>(acc[m][n]) + a.bias[n];
}

// From position p on; what does not fill a tile takes smaller ones.
template <class T, int N, int M>
void dot_positions_from(const ct::DotTile<T>& a, ct::index p) {
  for (; p + M <= a.positions; p += M) dot_tile<T, N, M>(a, a.src + p * a.src_step, a.dst + p * a.dst_step);
  if constexpr (M > 1) {
    if (p < a.positions) dot_positions_from<T, N, M / 2>(a, p);
  }
}

template <class T, int N>
void dot_kernel(const ct::DotTile<T>& a) {
  dot_positions_from<T, N, dot_positions(N)>(a, 0);
}

}  // namespace
