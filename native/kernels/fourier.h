// Fourier transforms for convolutions: no order of the spectrum matters there, as long as the way back knows
// it, so nothing is ever reordered.
//
// A polynomial f(x) modulo x^(R m) - c^R is split into its R parts modulo x^m - c w^p, with w the R-th root
// of unity: part p is the sum over q of f_q (c w^p)^q, where f_q is the q-th run of m coefficients. Every
// block of a pass has one c. The roots that an axis begins with are the caller's choice: those of x^n - 1
// give cyclic convolutions, those of x^n - i the convolutions of 2 n real numbers with a change of sign where
// they wrap, which x[j] + i x[j + n] for j < n is the same as, because x^n is i. No spectrum has a symmetric
// half then.
//
// Vectors hold neighbouring lines. Elsewhere than in arrays of samples a row of a strip is a vector of real
// parts and one of imaginary parts.
#pragma once
#include "../core.h"
#include "move.h"
#include "simd.h"

namespace {

template <class T>
struct ComplexVec {
  Vec<T> re, im;
};

template <class T>
inline ComplexVec<T> operator+(ComplexVec<T> a, ComplexVec<T> b) {
  return {a.re + b.re, a.im + b.im};
}
template <class T>
inline ComplexVec<T> operator-(ComplexVec<T> a, ComplexVec<T> b) {
  return {a.re - b.re, a.im - b.im};
}
// By a number on the unit circle, or by its inverse.
template <bool Inverse, class T>
inline ComplexVec<T> turned(ComplexVec<T> a, Vec<T> c, Vec<T> s) {
  if constexpr (Inverse)
    return {a.re * c + a.im * s, a.im * c - a.re * s};
  else
    return {a.re * c - a.im * s, a.im * c + a.re * s};
}
template <bool Inverse, class T>
inline ComplexVec<T> times_i(ComplexVec<T> a) {
  if constexpr (Inverse)
    return {a.im, -a.re};
  else
    return {-a.im, a.re};
}

// x_p becomes the sum over q of x_q w^(p q).
template <bool Inverse, class T>
inline void fourier_points(ComplexVec<T> (&x)[3]) {
  constexpr T root = T(0.86602540378443864676);
  const ComplexVec<T> sum = x[1] + x[2], gap = times_i<Inverse>(x[1] - x[2]);
  const ComplexVec<T> mid = {x[0].re - sum.re * splat(T(0.5)), x[0].im - sum.im * splat(T(0.5))};
  x[0] = x[0] + sum;
  x[1] = {mid.re + gap.re * splat(root), mid.im + gap.im * splat(root)};
  x[2] = {mid.re - gap.re * splat(root), mid.im - gap.im * splat(root)};
}
template <bool Inverse, class T>
inline void fourier_points(ComplexVec<T> (&x)[4]) {
  const ComplexVec<T> a = x[0] + x[2], b = x[0] - x[2], c = x[1] + x[3], d = times_i<Inverse>(x[1] - x[3]);
  x[0] = a + c, x[1] = b + d, x[2] = a - c, x[3] = b - d;
}
template <bool Inverse, class T>
inline void fourier_points(ComplexVec<T> (&x)[8]) {
  const Vec<T> half = splat(T(0.70710678118654752440));
  ComplexVec<T> even[4] = {x[0], x[2], x[4], x[6]}, odd[4] = {x[1], x[3], x[5], x[7]};
  fourier_points<Inverse, T>(even);
  fourier_points<Inverse, T>(odd);
  // By the eighth root and its cube, but for the factor `half`.
  const ComplexVec<T> first = odd[1] + times_i<Inverse>(odd[1]), third = times_i<Inverse>(odd[3]) - odd[3];
  const ComplexVec<T> second = times_i<Inverse>(odd[2]);
  x[0] = even[0] + odd[0], x[4] = even[0] - odd[0];
  x[1] = {even[1].re + first.re * half, even[1].im + first.im * half};
  x[5] = {even[1].re - first.re * half, even[1].im - first.im * half};
  x[2] = even[2] + second, x[6] = even[2] - second;
  x[3] = {even[3].re + third.re * half, even[3].im + third.im * half};
  x[7] = {even[3].re - third.re * half, even[3].im - third.im * half};
}

template <class P>
struct FourierRows {
  P base;
  ct::index row, im;
};

// One pass over a strip: blocks of R runs of m rows. Plain: the one block's c is 1.
template <class T, int R, bool Inverse, bool Plain>
void fourier_pass(FourierRows<const T*> src, FourierRows<T*> dst, ct::index blocks, ct::index m,
                  const T* factors) {
  for (ct::index b = 0; b < blocks; ++b, factors += 2 * (R - 1)) {
    for (ct::index j = 0; j < m; ++j) {
      const ct::index first = b * R * m + j;
      ComplexVec<T> x[R];
#pragma GCC unroll 8
      for (int q = 0; q < R; ++q) {
        const T* from = src.base + (first + q * m) * src.row;
        x[q] = {load(from), load(from + src.im)};
        if constexpr (!Plain && !Inverse)
          if (q > 0) x[q] = turned<false>(x[q], splat(factors[2 * q - 2]), splat(factors[2 * q - 1]));
      }
      fourier_points<Inverse, T>(x);
#pragma GCC unroll 8
      for (int q = 0; q < R; ++q) {
        if constexpr (!Plain && Inverse)
          if (q > 0) x[q] = turned<true>(x[q], splat(factors[2 * q - 2]), splat(factors[2 * q - 1]));
        T* to = dst.base + (first + q * m) * dst.row;
        store<T>(to, x[q].re);
        store<T>(to + dst.im, x[q].im);
      }
    }
  }
}

// All passes over some strips, the first from src, the last to dst, in `work` between them.
template <class T, bool Inverse>
void fourier_lines(const ct::FourierLines<T>& a) {
  constexpr ct::index lanes = Simd<T>::lanes;
  const ct::FourierAxis<T>& axis = *a.axis;
  for (ct::index strip = 0; strip < a.strips; ++strip)
    for (int n = 0; n < axis.passes; ++n) {
      const int pass = Inverse ? axis.passes - 1 - n : n;
      FourierRows<const T*> src = {a.work, 2 * lanes, lanes};
      FourierRows<T*> dst = {a.work, 2 * lanes, lanes};
      if (n == 0) src = {a.src + strip * a.src_strip, a.src_row, a.src_im};
      if (n == axis.passes - 1) dst = {a.dst + strip * a.dst_strip, a.dst_row, a.dst_im};
      const ct::index blocks = axis.blocks[pass], m = axis.rows / blocks / axis.radix[pass];
      const T* factors = axis.factors[pass];
      const bool plain = axis.plain && pass == 0;
      switch (axis.radix[pass] * 2 + plain) {
        case 6:
          fourier_pass<T, 3, Inverse, false>(src, dst, blocks, m, factors);
          break;
        case 8:
          fourier_pass<T, 4, Inverse, false>(src, dst, blocks, m, factors);
          break;
        case 9:
          fourier_pass<T, 4, Inverse, true>(src, dst, blocks, m, factors);
          break;
        case 16:
          fourier_pass<T, 8, Inverse, false>(src, dst, blocks, m, factors);
          break;
        case 17:
          fourier_pass<T, 8, Inverse, true>(src, dst, blocks, m, factors);
          break;
      }
    }
}

// Square blocks of as many rows as there are lines in a strip: rows become lines.
template <class T>
void fourier_turn(const T* src, ct::index src_block, T* dst, ct::index dst_block, ct::index blocks) {
  constexpr int lanes = Simd<T>::lanes;
  for (ct::index b = 0; b < blocks; ++b, src += src_block, dst += dst_block)
    for (int part = 0; part < 2 * lanes; part += lanes)
      transpose_block<T>([&](int n) { return src + n * 2 * lanes + part; },
                         [&](int n, Vec<T> v) { store<T>(dst + n * 2 * lanes + part, v); });
}

// Adds the products of some terms to kPairs rows that follow one another, or those with the conjugates of x.
template <bool Conjugate, class T, int Pairs>
inline void add_products(const ct::FourierProducts<T>& a, const T* x, const T* k, ct::index k_term,
                         Vec<T> (&re)[Pairs], Vec<T> (&im)[Pairs]) {
  constexpr int lanes = Simd<T>::lanes;
  for (ct::index term = 0; term < a.terms; ++term, x += a.x_term, k += k_term) {
#pragma GCC unroll 4
    for (int n = 0; n < Pairs; ++n) {
      const Vec<T> xr = load(x + 2 * n * lanes), xi = load(x + (2 * n + 1) * lanes);
      const Vec<T> kr = load(k + 2 * n * lanes), ki = load(k + (2 * n + 1) * lanes);
      re[n] += xr * kr;
      im[n] += xr * ki;
      if constexpr (Conjugate) {
        re[n] += xi * ki;
        im[n] -= xi * kr;
      } else {
        re[n] -= xi * ki;
        im[n] += xi * kr;
      }
    }
  }
}

template <class T, int Pairs>
inline void store_pairs(const Vec<T> (&re)[Pairs], const Vec<T> (&im)[Pairs], T* to) {
  constexpr int lanes = Simd<T>::lanes;
#pragma GCC unroll 4
  for (int n = 0; n < Pairs; ++n) {
    store<T>(to + 2 * n * lanes, re[n]);
    store<T>(to + (2 * n + 1) * lanes, im[n]);
  }
}

template <class T>
void fourier_products(const ct::FourierProducts<T>& a) {
  constexpr int pairs = ct::FourierProducts<T>::kPairs;
  constexpr ct::index row = 2 * pairs * Simd<T>::lanes;
  for (ct::index b = 0; b < a.blocks; ++b) {
    Vec<T> re[pairs] = {}, im[pairs] = {};
    add_products<false>(a, a.x + b * row, a.k + b * a.terms * row, row, re, im);
    store_pairs(re, im, a.dst + b * row);
  }
}

template <class T>
void fourier_gradient(const ct::FourierProducts<T>& a) {
  constexpr int lanes = Simd<T>::lanes, pairs = ct::FourierProducts<T>::kPairs;
  for (ct::index b = 0; b < a.blocks; ++b) {
    const ct::index block = b * 2 * pairs * lanes;
    T* to = a.dst + block;
    Vec<T> re[pairs], im[pairs];
#pragma GCC unroll 4
    for (int n = 0; n < pairs; ++n) {
      re[n] = a.add ? load(to + 2 * n * lanes) : Vec<T>{};
      im[n] = a.add ? load(to + (2 * n + 1) * lanes) : Vec<T>{};
    }
    add_products<true>(a, a.x + block, a.k + block, a.k_term, re, im);
    store_pairs(re, im, to);
  }
}

}  // namespace
