// Vectors by the GCC/Clang vector extensions: one source for every instruction set.
// Everything here is compiled once per path, so it lives in an anonymous namespace.
#pragma once
#include <cstddef>
#include <cstdint>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kRegisters = 32;
#else
constexpr int kRegisters = 16;
#endif

template <class T>
struct Simd {
  static constexpr int lanes = kVectorBytes / int(sizeof(T));
  typedef T Vector __attribute__((vector_size(kVectorBytes)));
  typedef T Unaligned __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
};

template <class T>
using Vec = typename Simd<T>::Vector;

template <class T>
inline Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename Simd<T>::Unaligned*>(p);
}

template <class T>
inline void store(T* p, Vec<T> v) {
  *reinterpret_cast<typename Simd<T>::Unaligned*>(p) = v;
}

// The first n numbers at p, zeros after them; the first n numbers of v at p. Nothing else is touched.
template <class T>
inline Vec<T> load_some(const T* p, int n) {
#if defined(__AVX512F__)
  const unsigned mask = (1u << n) - 1;
  if constexpr (sizeof(T) == 4)
    return (Vec<T>)_mm512_maskz_loadu_ps(__mmask16(mask), p);
  else
    return (Vec<T>)_mm512_maskz_loadu_pd(__mmask8(mask), p);
#else
  T part[Simd<T>::lanes] = {};
  for (int k = 0; k < n; ++k) part[k] = p[k];
  return load(part);
#endif
}

template <class T>
inline void store_some(T* p, Vec<T> v, int n) {
#if defined(__AVX512F__)
  const unsigned mask = (1u << n) - 1;
  if constexpr (sizeof(T) == 4)
    _mm512_mask_storeu_ps(p, __mmask16(mask), (__m512)v);
  else
    _mm512_mask_storeu_pd(p, __mmask8(mask), (__m512d)v);
#else
  T part[Simd<T>::lanes];
  store(part, v);
  for (int k = 0; k < n; ++k) p[k] = part[k];
#endif
}

// A store that goes around the caches, where the instruction set has one. p is aligned to a vector.
template <class T>
inline void stream(T* p, Vec<T> v) {
#if defined(__clang__)
  __builtin_nontemporal_store(v, reinterpret_cast<Vec<T>*>(p));
#elif defined(__AVX512F__)
  __builtin_ia32_movntps512(reinterpret_cast<float*>(p), (Vec<float>)v);
#elif defined(__AVX2__)
  __builtin_ia32_movntps256(reinterpret_cast<float*>(p), (Vec<float>)v);
#elif defined(__SSE2__)
  __builtin_ia32_movntps(reinterpret_cast<float*>(p), (Vec<float>)v);
#else
  store(p, v);
#endif
}

template <class T>
inline Vec<T> splat(T x) {
  return x - Vec<T>{};
}  // x - 0 keeps the sign of zero

}  // namespace
