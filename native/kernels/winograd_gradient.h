// Winograd transforms of the kernel gradient. The gradient of y = A ((G g) * (B d)) to g is
// G' ((B d) * (A' y)): the transposed matrices of winograd_forms.h, and those of kernels/winograd.h.
#pragma once
#include "../core.h"
#include "../winograd_forms.h"
#include "simd.h"

namespace {

// One line of the smaller tile to its points: the transposed matrix A of a form. The point at infinity is
// the last sample alone; those behind it are zeros.
template <int Input, class V>
inline void gradient_points(const V* y, int step, V* p, int point_step, int last) {
  constexpr int samples = ct::winograd_outputs(Input);
  const auto at = [&](int n) { return y[n * step]; };
  const auto put = [&](int n, V v) { p[n * point_step] = v; };
  if constexpr (Input == 0) {
    put(0, at(0));
    return;
  } else if constexpr (Input == 1) {
    put(1, at(0) + at(1));
  } else if constexpr (Input == 2) {
    const V even = at(0) + at(2);
    put(1, even + at(1));
    put(2, even - at(1));
  } else if constexpr (Input == 3) {
    put(1, at(0) + at(2) - (at(1) + at(3)));
    put(2, at(0) + 2.0f * at(1) + 4.0f * at(2) + 8.0f * at(3));
    put(3, at(0) + 0.5f * at(1) + 0.25f * at(2) + 0.125f * at(3));
  } else {
    const V even = at(0) + at(2), odd = at(1) + at(3);
    put(1, even + odd);
    put(2, even - odd);
    put(3, at(0) + 2.0f * at(1) + 4.0f * at(2) + 8.0f * at(3));
    put(4, at(0) - 0.5f * at(1) + 0.25f * at(2) - 0.125f * at(3));
  }
  put(0, at(0));
  V infinity = at(samples - 1);
#pragma GCC unroll 4
  for (int n = 0; n + 1 < samples; ++n) infinity = n == last ? at(n) : infinity;
  put(ct::winograd_samples(Input) - 1, infinity);
}

// Points of one vector of channels along h and w.
template <class T, int H, int W>
inline void gradient_plane(const T* const* samples, ct::index c, const int* last, T* dst,
                           ct::index point_stride) {
  constexpr int mh = ct::winograd_outputs(H), mw = ct::winograd_outputs(W);
  constexpr int ph = ct::winograd_samples(H), pw = ct::winograd_samples(W);
  Vec<T> along_w[mh * pw], points[ph * pw];
#pragma GCC unroll 4
  for (int h = 0; h < mh; ++h) {
    Vec<T> row[mw];
#pragma GCC unroll 4
    for (int w = 0; w < mw; ++w) row[w] = load(samples[h * mw + w] + c);
    gradient_points<W>(row, 1, along_w + h * pw, 1, last[2]);
  }
#pragma GCC unroll 6
  for (int w = 0; w < pw; ++w) {
    gradient_points<H>(along_w + w, pw, points + w, pw, last[1]);
#pragma GCC unroll 6
    for (int h = 0; h < ph; ++h) store(dst + (h * pw + w) * point_stride, points[h * pw + w]);
  }
}

// The same along d, from the points of its planes.
template <class T, int D>
__attribute__((noinline)) void gradient_depth(const T* planes, int plane, int last, T* dst,
                                              ct::index point_stride) {
  constexpr int lanes = Simd<T>::lanes, md = ct::winograd_outputs(D), pd = ct::winograd_samples(D);
  for (int n = 0; n < plane; ++n) {
    Vec<T> line[md], points[pd];
#pragma GCC unroll 4
    for (int d = 0; d < md; ++d) line[d] = load(planes + (d * plane + n) * lanes);
    gradient_points<D>(line, 1, points, 1, last);
#pragma GCC unroll 6
    for (int d = 0; d < pd; ++d) store(dst + (d * plane + n) * point_stride, points[d]);
  }
}

template <class T, int H, int W>
void winograd_gradient_input(const ct::WinogradGradientInput<T>& a) {
  constexpr int lanes = Simd<T>::lanes;
  constexpr int samples = ct::winograd_outputs(H) * ct::winograd_outputs(W);
  constexpr int plane = ct::winograd_samples(H) * ct::winograd_samples(W);
  for (ct::index c = 0; c < a.channels; c += lanes) {
    if (a.depth == 0) {
      gradient_plane<T, H, W>(a.samples, c, a.last, a.dst + c, a.point_stride);
      continue;
    }
    alignas(64) T planes[ct::kWinogradMostOutputs * plane * lanes];
    for (int d = 0; d < ct::winograd_outputs(a.depth); ++d)
      gradient_plane<T, H, W>(a.samples + d * samples, c, a.last, planes + d * plane * lanes, lanes);
    switch (a.depth) {
      case 1:
        gradient_depth<T, 1>(planes, plane, a.last[0], a.dst + c, a.point_stride);
        break;
      case 2:
        gradient_depth<T, 2>(planes, plane, a.last[0], a.dst + c, a.point_stride);
        break;
      case 3:
        gradient_depth<T, 3>(planes, plane, a.last[0], a.dst + c, a.point_stride);
        break;
      default:
        gradient_depth<T, 4>(planes, plane, a.last[0], a.dst + c, a.point_stride);
    }
  }
}

// Lines of vectors at P points to lines of `taps`: the transposed matrix G.
template <class T, int P>
void lines_to_taps(const Vec<T>* from, int from_line, int step, int lines, int taps, const T* weight,
                   Vec<T>* to, int to_line) {
  for (int n = 0; n < lines; ++n) {
    Vec<T> v[P];
#pragma GCC unroll 6
    for (int p = 0; p < P; ++p) v[p] = from[n * from_line + p * step];
    for (int k = 0; k < taps; ++k) {
      Vec<T> sum = weight[k * P] * v[0];
#pragma GCC unroll 6
      for (int p = 1; p < P; ++p) sum += weight[k * P + p] * v[p];
      to[n * to_line + k * step] = sum;
    }
  }
}

template <class T>
inline void lines_to_taps(int points, const Vec<T>* from, int from_line, int step, int lines, int taps,
                          const T* weight, Vec<T>* to, int to_line) {
  switch (points) {
    case 1:
      return lines_to_taps<T, 1>(from, from_line, step, lines, taps, weight, to, to_line);
    case 2:
      return lines_to_taps<T, 2>(from, from_line, step, lines, taps, weight, to, to_line);
    case 3:
      return lines_to_taps<T, 3>(from, from_line, step, lines, taps, weight, to, to_line);
    case 4:
      return lines_to_taps<T, 4>(from, from_line, step, lines, taps, weight, to, to_line);
    case 5:
      return lines_to_taps<T, 5>(from, from_line, step, lines, taps, weight, to, to_line);
    default:
      return lines_to_taps<T, 6>(from, from_line, step, lines, taps, weight, to, to_line);
  }
}

// Sums of the products at all points to taps. Once per kernel: one code for all forms.
template <class T>
void winograd_gradient_output(const ct::WinogradGradientOutput<T>& a) {
  constexpr int lanes = Simd<T>::lanes, most = ct::kWinogradMostPoints;
  Vec<T> sums[most * most * most], next[most * most * most];
  const int line = a.points[2], plane = a.points[1] * line, all = a.points[0] * plane;
  const auto each_tap = [&](ct::index c, auto visit) {
    for (int d = 0; d < a.taps[0]; ++d)
      for (int h = 0; h < a.taps[1]; ++h)
        for (int w = 0; w < a.taps[2]; ++w)
          visit(a.dst + d * a.stride[0] + h * a.stride[1] + w * a.stride[2] + c, d * plane + h * line + w);
  };
  for (ct::index c = 0; c < a.channels; c += lanes) {
    each_tap(c, [](T* dst, int) { __builtin_prefetch(dst, 1); });
    for (int n = 0; n < all; ++n) sums[n] = load(a.src + n * a.point_stride + c);
    // An axis that is done counts taps where it counted points.
    lines_to_taps<T>(a.points[0], sums, 1, plane, plane, a.taps[0], a.weight[0], next, 1);
    for (int d = 0; d < a.taps[0]; ++d)
      lines_to_taps<T>(a.points[1], next + d * plane, 1, line, line, a.taps[1], a.weight[1], sums + d * plane,
                       1);
    for (int d = 0; d < a.taps[0]; ++d)
      lines_to_taps<T>(line, sums + d * plane, line, 1, a.taps[1], a.taps[2], a.weight[2], next + d * plane,
                       line);
    const Part<T> part(0, a.channels - c);
    each_tap(c, [&](T* dst, int n) {
      if (c + lanes <= a.channels)
        store(dst, a.add ? load(dst) + next[n] : next[n]);
      else
        store(dst, a.add ? load(dst, part) + next[n] : next[n], part);
    });
  }
}

}  // namespace
