// Moving data: transposes between the two data formats, and the measure of the machine's FMA peak.
#pragma once
#include "../core.h"
#include "simd.h"

namespace {

template <class T, int N>
inline void transpose_block(const T* src, ct::index src_stride, T* dst, ct::index dst_stride) {
  // Rows of N: the compiler turns the constant-size double loop into shuffles.
  T block[N][N];
#pragma GCC unroll 8
  for (int r = 0; r < N; ++r)
#pragma GCC unroll 8
    for (int c = 0; c < N; ++c) block[c][r] = src[r * src_stride + c];
#pragma GCC unroll 8
  for (int r = 0; r < N; ++r)
#pragma GCC unroll 8
    for (int c = 0; c < N; ++c) dst[r * dst_stride + c] = block[r][c];
}

template <class T>
void transpose(const T* src, ct::index src_stride, ct::index rows, ct::index columns, T* dst,
               ct::index dst_stride) {
  constexpr int n = 8;
  ct::index c = 0;
  for (; c + n <= columns; c += n) {
    ct::index r = 0;
    for (; r + n <= rows; r += n)
      transpose_block<T, n>(src + r * src_stride + c, src_stride, dst + c * dst_stride + r, dst_stride);
    for (; r < rows; ++r)
      for (int k = 0; k < n; ++k) dst[(c + k) * dst_stride + r] = src[r * src_stride + c + k];
  }
  for (; c < columns; ++c)
    for (ct::index r = 0; r < rows; ++r) dst[c * dst_stride + r] = src[r * src_stride + c];
}

// Independent chains of fused multiply-adds: as many as hide the latency, few enough for registers.
constexpr int kPeakChains = 12;

template <class T>
double fma_chain(ct::index iterations) {
  Vec<T> acc[kPeakChains];
  const Vec<T> x = splat(T(0.999)), y = splat(T(0.001));
#pragma GCC unroll 12
  for (int n = 0; n < kPeakChains; ++n) acc[n] = splat(T(n));
  for (ct::index it = 0; it < iterations; ++it) {
#pragma GCC unroll 12
    for (int n = 0; n < kPeakChains; ++n) acc[n] = acc[n] * x + y;
  }
  double sum = 0;
  for (int n = 0; n < kPeakChains; ++n)
    for (int lane = 0; lane < Simd<T>::lanes; ++lane) sum += double(acc[n][lane]);
  return sum;
}

}  // namespace
