// Moving data: transposes between the two data formats, and the measure of the machine's FMA peak.
#pragma once
#include "../core.h"
#include "simd.h"

namespace {

// One square block, as many rows as a vector has lanes: rows n and n + half interleave into rows 2n and
// 2n + 1, and after log2(lanes) rounds the block is its own transpose.
template <class T>
inline void transpose_block(const T* src, ct::index src_stride, T* dst, ct::index dst_stride) {
  constexpr int lanes = Simd<T>::lanes;
#if defined(__clang__)
  T block[lanes][lanes];
#pragma GCC unroll 16
  for (int r = 0; r < lanes; ++r)
    for (int c = 0; c < lanes; ++c) block[c][r] = src[r * src_stride + c];
#pragma GCC unroll 16
  for (int r = 0; r < lanes; ++r) store(dst + r * dst_stride, load(block[r]));
#else
  typedef decltype(Vec<T>{} < Vec<T>{}) Mask;
  Mask low, high;
  for (int n = 0; n < lanes; ++n) {
    low[n] = n / 2 + (n % 2) * lanes;
    high[n] = lanes / 2 + n / 2 + (n % 2) * lanes;
  }
  Vec<T> row[lanes], next[lanes];
#pragma GCC unroll 16
  for (int n = 0; n < lanes; ++n) row[n] = load(src + n * src_stride);
#pragma GCC unroll 4
  for (int half = lanes; half > 1; half /= 2) {
#pragma GCC unroll 8
    for (int n = 0; n < lanes / 2; ++n) {
      next[2 * n] = __builtin_shuffle(row[n], row[n + lanes / 2], low);
      next[2 * n + 1] = __builtin_shuffle(row[n], row[n + lanes / 2], high);
    }
#pragma GCC unroll 16
    for (int n = 0; n < lanes; ++n) row[n] = next[n];
  }
#pragma GCC unroll 16
  for (int n = 0; n < lanes; ++n) store(dst + n * dst_stride, row[n]);
#endif
}

template <class T>
void transpose(const T* src, ct::index src_stride, ct::index rows, ct::index columns, T* dst,
               ct::index dst_stride) {
  constexpr int lanes = Simd<T>::lanes;
  if (rows < lanes || columns < lanes) {
    for (ct::index c = 0; c < columns; ++c)
      for (ct::index r = 0; r < rows; ++r) dst[c * dst_stride + r] = src[r * src_stride + c];
    return;
  }
  // The last block of a side ends at its edge and writes some numbers a second time.
  for (ct::index c = 0;;) {
    for (ct::index r = 0;;) {
      transpose_block(src + r * src_stride + c, src_stride, dst + c * dst_stride + r, dst_stride);
      if (r + lanes >= rows) break;
      r = r + 2 * lanes <= rows ? r + lanes : rows - lanes;
    }
    if (c + lanes >= columns) break;
    c = c + 2 * lanes <= columns ? c + lanes : columns - lanes;
  }
}

// Rows of `count` numbers between zeros.
template <class T>
void pad_rows(const T* src, ct::index src_stride, ct::index rows, ct::index before, ct::index count,
              ct::index after, T* dst, ct::index dst_stride) {
  constexpr int lanes = Simd<T>::lanes;
  for (ct::index r = 0; r < rows; ++r, src += src_stride, dst += dst_stride) {
    for (ct::index n = 0; n < before; ++n) dst[n] = 0;
    T* to = dst + before;
    if (count >= lanes) {
      for (ct::index n = 0; n + lanes <= count; n += lanes) store(to + n, load(src + n));
      store(to + count - lanes, load(src + count - lanes));
    } else {
      for (ct::index n = 0; n < count; ++n) to[n] = src[n];
    }
    for (ct::index n = 0; n < after; ++n) to[count + n] = 0;
  }
}

#if defined(__clang__)
template <class T>
inline void interleave_two(const T* a, const T* b, ct::index count, T* dst) {
  for (ct::index j = 0; j < count; ++j) dst[2 * j] = a[j], dst[2 * j + 1] = b[j];
}
#else
template <class T>
inline void interleave_two(const T* a, const T* b, ct::index count, T* dst) {
  constexpr int lanes = Simd<T>::lanes;
  typedef decltype(Vec<T>{} < Vec<T>{}) Mask;
  Mask low, high;
  for (int n = 0; n < lanes; ++n) {
    low[n] = n / 2 + (n % 2) * lanes;
    high[n] = lanes / 2 + n / 2 + (n % 2) * lanes;
  }
  ct::index j = 0;
  for (; j + lanes <= count; j += lanes) {
    const Vec<T> x = load(a + j), y = load(b + j);
    store(dst + 2 * j, __builtin_shuffle(x, y, low));
    store(dst + 2 * j + lanes, __builtin_shuffle(x, y, high));
  }
  for (; j < count; ++j) dst[2 * j] = a[j], dst[2 * j + 1] = b[j];
}
#endif

template <class T, int N>
inline void interleave_some(const T* const* rows, ct::index count, T* dst) {
  for (ct::index j = 0; j < count; ++j, dst += N)
#pragma GCC unroll 16
    for (int r = 0; r < N; ++r) dst[r] = rows[r][j];
}

template <class T>
void interleave(const T* const* rows, ct::index n, ct::index count, T* dst) {
  switch (n) {
    case 1: {
      const T* row = rows[0];
      for (ct::index j = 0; j < count; ++j) dst[j] = row[j];
      return;
    }
    case 2:
      return interleave_two<T>(rows[0], rows[1], count, dst);
    case 3:
      return interleave_some<T, 3>(rows, count, dst);
    case 4:
      return interleave_some<T, 4>(rows, count, dst);
    case 6:
      return interleave_some<T, 6>(rows, count, dst);
    case 8:
      return interleave_some<T, 8>(rows, count, dst);
    default:
      for (ct::index j = 0; j < count; ++j, dst += n)
        for (ct::index r = 0; r < n; ++r) dst[r] = rows[r][j];
  }
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
