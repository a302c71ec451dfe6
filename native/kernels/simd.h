// Vectors by the GCC/Clang vector extensions: one source for every instruction set.
// Everything here is compiled once per path, so it lives in an anonymous namespace.
#pragma once
#include <cstddef>
#include <cstdint>
#if defined(__AVX2__)
#include <immintrin.h>  // what the vector extensions cannot say: masks, pieces
#endif

#include "../core.h"

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

// One number or a vector of them, V says which.
template <class V, class T>
inline V load_as(const T* p) {
  if constexpr (sizeof(V) == sizeof(T))
    return *p;
  else
    return load(p);
}

inline void store(float* p, float x) { *p = x; }
inline void store(double* p, double x) { *p = x; }

// A vector of equal parts, part n from p(n): halves where they are whole pieces of 16 bytes.
constexpr int kParts = kVectorBytes > 16 ? 2 : 1;
template <class T, class Pointer>
inline Vec<T> load_parts(const Pointer& p) {
#if defined(__AVX512F__)
  const auto half = [&](int n) { return _mm256_loadu_pd(reinterpret_cast<const double*>(p(n))); };
  return (Vec<T>)_mm512_maskz_insertf64x4(__mmask8(-1), _mm512_castpd256_pd512(half(0)), half(1), 1);
#elif defined(__AVX2__)
  const auto half = [&](int n) { return _mm_loadu_ps(reinterpret_cast<const float*>(p(n))); };
  return (Vec<T>)_mm256_insertf128_ps(_mm256_castps128_ps256(half(0)), half(1), 1);
#else
  return load(p(0));
#endif
}

template <class T, class Pointer>
inline void store_parts(const Pointer& p, Vec<T> v) {
#if defined(__AVX512F__)
  const auto half = [&](int n) { return reinterpret_cast<double*>(p(n)); };
  _mm256_storeu_pd(half(0), _mm512_maskz_extractf64x4_pd(__mmask8(-1), (__m512d)v, 0));
  _mm256_storeu_pd(half(1), _mm512_maskz_extractf64x4_pd(__mmask8(-1), (__m512d)v, 1));
#elif defined(__AVX2__)
  const auto half = [&](int n) { return reinterpret_cast<float*>(p(n)); };
  _mm_storeu_ps(half(0), _mm256_castps256_ps128((__m256)v));
  _mm_storeu_ps(half(1), _mm256_extractf128_ps((__m256)v, 1));
#else
  store(p(0), v);
#endif
}

// A store that goes around the caches, where the instruction set has one. p is aligned to a vector. It needs
// no fence: threads hand over their work under a mutex, whose locked instructions wait for such stores.
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

// Lane n of the result is lane from[n] of v. `from` has numbers of 32 bits: a lane of 64 is two neighbours.
#if defined(__AVX512F__)
constexpr bool kPermutes = true;
template <class T>
inline Vec<T> permute(Vec<T> v, const std::int32_t* from) {
  return (Vec<T>)_mm512_maskz_permutexvar_ps(__mmask16(-1), _mm512_loadu_si512(from), (__m512)v);
}
#elif defined(__AVX2__)
constexpr bool kPermutes = true;
template <class T>
inline Vec<T> permute(Vec<T> v, const std::int32_t* from) {
  return (Vec<T>)_mm256_permutevar8x32_ps((__m256)v,
                                          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
#else
constexpr bool kPermutes = false;
template <class T>
Vec<T> permute(Vec<T> v, const std::int32_t* from) = delete;
#endif

// Keeps a vector in its register. Compilers would rather load it again for every use, which costs twice where
// it crosses a cache line.
template <class V>
inline void hold(V& v) {
#if defined(__x86_64__)
  asm("" : "+v"(v));
#elif defined(__aarch64__)
  asm("" : "+w"(v));
#else
  (void)v;
#endif
}

// The lanes [begin, end) of a vector, for loads that read no other (those are zeros) and stores that write
// no other.
#if defined(__AVX512F__)
template <class T>
struct Part {
  unsigned mask = 0;
  Part() = default;
  Part(std::int64_t begin, std::int64_t end) : mask(below(end) & ~below(begin)) {}
  static unsigned below(std::int64_t n) {
    return n <= 0 ? 0u : (2u << ((n < Simd<T>::lanes ? n : Simd<T>::lanes) - 1)) - 1;
  }
};
inline Vec<float> load(const float* p, Part<float> part) {
  return (Vec<float>)_mm512_maskz_loadu_ps(__mmask16(part.mask), p);
}
inline Vec<double> load(const double* p, Part<double> part) {
  return (Vec<double>)_mm512_maskz_loadu_pd(__mmask8(part.mask), p);
}
inline void store(float* p, Vec<float> v, Part<float> part) {
  _mm512_mask_storeu_ps(p, __mmask16(part.mask), (__m512)v);
}
inline void store(double* p, Vec<double> v, Part<double> part) {
  _mm512_mask_storeu_pd(p, __mmask8(part.mask), (__m512d)v);
}
#elif defined(__AVX2__)
// Bits of the first lanes of a vector, read at the right place: 32 bits each, as many set as cleared.
alignas(64) constexpr std::int32_t kPartBits[16] = {-1, -1, -1, -1, -1, -1, -1, -1};

template <class T>
struct Part {
  __m256i mask = {};
  int begin = 0, end = 0;
  Part() = default;
  Part(std::int64_t begin_, std::int64_t end_) : begin(inside(begin_)), end(inside(end_)) {
    mask = _mm256_andnot_si256(below(begin), below(end));
  }
  static int inside(std::int64_t n) { return n < 0 ? 0 : n < Simd<T>::lanes ? int(n) : Simd<T>::lanes; }
  static __m256i below(int n) {
    const std::int32_t* bits = kPartBits + 8 - n * int(sizeof(T) / sizeof(std::int32_t));
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bits));
  }
};
inline Vec<float> load(const float* p, const Part<float>& part) {
  return (Vec<float>)_mm256_maskload_ps(p, part.mask);
}
inline Vec<double> load(const double* p, const Part<double>& part) {
  return (Vec<double>)_mm256_maskload_pd(p, part.mask);
}
// Masked stores of this instruction set are microcode on many machines: pieces of 16, 8 and 4 bytes instead.
template <class T>
inline void store(T* p, Vec<T> v, const Part<T>& part) {
  constexpr int lanes = Simd<T>::lanes;
  const int count = part.end - part.begin;
  if (count >= lanes) return store(p, v);
  T all[lanes];
  store(all, v);
  int n = part.begin;
  const auto piece = [&](int size) {
    if (size == 0 || !(count & size)) return;
    __builtin_memcpy(p + n, all + n, std::size_t(size) * sizeof(T));
    n += size;
  };
  piece(lanes / 2);
  piece(lanes / 4);
  piece(lanes / 8);
}
#else
template <class T>
struct Part {
  std::int64_t begin = 0, end = 0;
  Part() = default;
  Part(std::int64_t begin_, std::int64_t end_) : begin(begin_), end(end_) {}
};
template <class T>
inline Vec<T> load(const T* p, Part<T> part) {
  T out[Simd<T>::lanes];
  for (int n = 0; n < Simd<T>::lanes; ++n) out[n] = n >= part.begin && n < part.end ? p[n] : T(0);
  return load(out);
}
template <class T>
inline void store(T* p, Vec<T> v, Part<T> part) {
  for (int n = 0; n < Simd<T>::lanes; ++n)
    if (n >= part.begin && n < part.end) p[n] = v[n];
}
#endif

// Two vectors seen as one of twice the lanes; lane n of the result is lane from(n) of that.
template <class T, class From>
inline Vec<T> pick(Vec<T> a, Vec<T> b, From from) {
  constexpr int lanes = Simd<T>::lanes;
#if defined(__clang__)
  Vec<T> out;
#pragma clang loop unroll(full)
  for (int n = 0; n < lanes; ++n) out[n] = from(n) < lanes ? a[from(n)] : b[from(n) - lanes];
  return out;
#else
  decltype(a < b) mask;
#pragma GCC unroll 16
  for (int n = 0; n < lanes; ++n) mask[n] = from(n);
  return __builtin_shuffle(a, b, mask);
#endif
}

// a0 b0 a1 b1 ..., first and second half; and the way back.
template <class T>
inline Vec<T> zip_low(Vec<T> a, Vec<T> b) {
  return pick<T>(a, b, [](int n) { return n / 2 + n % 2 * Simd<T>::lanes; });
}
template <class T>
inline Vec<T> zip_high(Vec<T> a, Vec<T> b) {
  return pick<T>(a, b, [](int n) { return (n + Simd<T>::lanes) / 2 + n % 2 * Simd<T>::lanes; });
}
template <class T>
inline Vec<T> even(Vec<T> a, Vec<T> b) {
  return pick<T>(a, b, [](int n) { return 2 * n; });
}
template <class T>
inline Vec<T> odd(Vec<T> a, Vec<T> b) {
  return pick<T>(a, b, [](int n) { return 2 * n + 1; });
}

// Numbers in the order of halves: every piece of 16 bytes has neighbours of the first half of a vector, then
// of the second. Two such vectors meet number by number without leaving their pieces.
template <class T>
constexpr int kPiece = 16 / int(sizeof(T));
template <class T>
constexpr int half_order(int n) {
  return n / kPiece<T> * (kPiece<T> / 2) + n % (kPiece<T> / 2) +
         n % kPiece<T> / (kPiece<T> / 2) * (Simd<T>::lanes / 2);
}
template <class T>
inline Vec<T> to_halves(Vec<T> v) {
  return pick<T>(v, v, [](int n) { return half_order<T>(n); });
}
// The numbers of even or odd places of two vectors that follow one another, in the order of halves; and a
// vector in that order back in its own.
template <class T, int Odd>
inline Vec<T> split_halves(Vec<T> a, Vec<T> b) {
  return pick<T>(a, b, [](int n) {
    const int at = n % kPiece<T>, half = kPiece<T> / 2;
    return n - at + at % half * 2 + Odd + at / half * Simd<T>::lanes;
  });
}
template <class T>
inline Vec<T> from_halves(Vec<T> v) {
  return pick<T>(v, v, [](int n) {
    const int at = n % (Simd<T>::lanes / 2), half = kPiece<T> / 2;
    return at / half * kPiece<T> + at % half + n / (Simd<T>::lanes / 2) * half;
  });
}
template <class T, int Half>
inline Vec<T> zip_halves(Vec<T> a, Vec<T> b) {
  return pick<T>(a, b, [](int n) {
    const int at = n % kPiece<T> / 2 + Half * (kPiece<T> / 2);
    return n / kPiece<T> * kPiece<T> + at + n % 2 * Simd<T>::lanes;
  });
}

// The beginnings of so many lines. Compilers would keep the distance of each from the first, for which there
// are not enough registers: every fourth line has a pointer that they cannot see through.
template <class T, int Count>
struct Lines {
  T* every[(Count + 3) / 4];
  ct::index stride;

  [[gnu::always_inline]] Lines(T* first, ct::index distance) : stride(distance) {
#pragma GCC unroll 8
    for (int n = 0; n < (Count + 3) / 4; ++n) {
      every[n] = first + 4 * n * distance;
      asm("" : "+r"(every[n]));
    }
  }
  T* operator()(int n) const { return every[n / 4] + n % 4 * stride; }
};

}  // namespace
