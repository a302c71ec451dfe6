// Conversions between float and the two half types, by the hardware where it can, else by integers.
//
//   float16   1 sign, 5 exponent, 10 fraction bits; subnormal numbers count
//   bfloat16  the upper half of a float
//
// Narrowing rounds to nearest, ties to even; a NaN stays one.
#pragma once
#include <cstddef>
#include <cstdint>

#include "../core.h"
#if defined(__F16C__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

inline std::uint32_t bits_of(float x) {
  std::uint32_t u;
  __builtin_memcpy(&u, &x, sizeof u);
  return u;
}

inline float float_of(std::uint32_t u) {
  float x;
  __builtin_memcpy(&x, &u, sizeof x);
  return x;
}

struct Float16 {
  // The fraction and exponent move to their places; a multiplication corrects the bias of the exponent and
  // makes subnormal numbers normal on the way.
  static float widen(std::uint16_t h) {
    const std::uint32_t rest = std::uint32_t(h & 0x7fff) << 13, sign = std::uint32_t(h & 0x8000) << 16;
    const std::uint32_t number = bits_of(float_of(rest) * 0x1p112f);
    return float_of(sign | (rest >= 0x0f800000 ? rest | 0x7f800000 : number));
  }
  // The addition of a power of two rounds a float at the last bit that a subnormal half has.
  static std::uint16_t narrow(float x) {
    const std::uint32_t u = bits_of(x), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
    const std::uint32_t subnormal = bits_of(float_of(a) + 0.5f) - bits_of(0.5f);
    const std::uint32_t normal = (a - (112u << 23) + 0xfff + (a >> 13 & 1)) >> 13;
    const std::uint32_t huge = a > 0x7f800000 ? 0x7e00 : 0x7c00;
    return std::uint16_t(sign | (a >= 0x477ff000 ? huge : a < 0x38800000 ? subnormal : normal));
  }
#if defined(__AVX512F__)
  static constexpr int lanes = 16;
  static void widen_vector(const std::uint16_t* src, float* dst) {
    _mm512_storeu_ps(dst, _mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256((const __m256i*)src)));
  }
  static void narrow_vector(const float* src, std::uint16_t* dst) {
    _mm256_storeu_si256((__m256i*)dst,
                        _mm512_maskz_cvtps_ph(0xffff, _mm512_loadu_ps(src), 8));  // 8: nearest, no flags
  }
#elif defined(__F16C__)
  static constexpr int lanes = 8;
  static void widen_vector(const std::uint16_t* src, float* dst) {
    _mm256_storeu_ps(dst, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)src)));
  }
  static void narrow_vector(const float* src, std::uint16_t* dst) {
    _mm_storeu_si128((__m128i*)dst, _mm256_cvtps_ph(_mm256_loadu_ps(src), 0));
  }
#elif defined(__aarch64__)
  static constexpr int lanes = 4;
  static void widen_vector(const std::uint16_t* src, float* dst) {
    vst1q_f32(dst, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(src))));
  }
  static void narrow_vector(const float* src, std::uint16_t* dst) {
    vst1_u16(dst, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(src))));
  }
#else
  static constexpr int lanes = 1;
  static void widen_vector(const std::uint16_t* src, float* dst) { *dst = widen(*src); }
  static void narrow_vector(const float* src, std::uint16_t* dst) { *dst = narrow(*src); }
#endif
};

struct BFloat16 {
  static float widen(std::uint16_t h) { return float_of(std::uint32_t(h) << 16); }
  static std::uint16_t narrow(float x) {
    const std::uint32_t u = bits_of(x), rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16;
    return std::uint16_t((u & 0x7fffffff) > 0x7f800000 ? u >> 16 | 0x40 : rounded);
  }
  // Fixed lengths, for the compiler to make vectors of.
  static constexpr int lanes = 16;
  static void widen_vector(const std::uint16_t* src, float* dst) {
    for (int n = 0; n < lanes; ++n) dst[n] = widen(src[n]);
  }
  static void narrow_vector(const float* src, std::uint16_t* dst) {
    for (int n = 0; n < lanes; ++n) dst[n] = narrow(src[n]);
  }
};

// Numbers `step` apart become neighbours.
template <class Half>
void widen(const std::uint16_t* __restrict src, ct::index step, ct::index count, float* __restrict dst) {
  ct::index n = 0;
  if (step == 1)
    for (; n + Half::lanes <= count; n += Half::lanes) Half::widen_vector(src + n, dst + n);
  for (; n < count; ++n) dst[n] = Half::widen(src[n * step]);
}

template <class Half>
void narrow(const float* __restrict src, ct::index count, std::uint16_t* __restrict dst, ct::index step) {
  ct::index n = 0;
  if (step == 1)
    for (; n + Half::lanes <= count; n += Half::lanes) Half::narrow_vector(src + n, dst + n);
  for (; n < count; ++n) dst[n * step] = Half::narrow(src[n]);
}

}  // namespace
