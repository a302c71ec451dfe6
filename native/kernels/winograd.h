// Winograd transforms of one tile: samples to points, products to destinations. See winograd.h.
#pragma once
#include "../core.h"
#include "simd.h"

namespace {

constexpr int winograd_samples(int kind) { return kind == 0 ? 1 : 3; }
constexpr int winograd_points(int kind) { return kind == 0 ? 1 : kind == 1 ? 3 : 4; }
constexpr int winograd_outputs(int kind) { return kind == 0 ? 1 : 2; }

// Three samples to d0 - d1, d1, d2 - d1 and, for phases of one tap, d2.
template <int Kind, class V>
inline void to_points(const V* d, int step, V* p, int point_step) {
  if (Kind == 0) {
    p[0] = d[0];
  } else {
    p[0] = d[0] - d[step];
    p[point_step] = d[step];
    p[2 * point_step] = d[2 * step] - d[step];
    if (Kind == 2) p[3 * point_step] = d[2 * step];
  }
}

template <class T, int D, int H, int W>
void winograd_input(const ct::WinogradInput<T>& a) {
  constexpr int lanes = Simd<T>::lanes;
  constexpr int nd = winograd_samples(D), nh = winograd_samples(H), nw = winograd_samples(W);
  constexpr int pd = winograd_points(D), ph = winograd_points(H), pw = winograd_points(W);
  for (ct::index c = 0; c < a.channels; c += lanes) {
    Vec<T> along_w[nd][nh][pw], along_h[nd][ph][pw];
#pragma GCC unroll 3
    for (int d = 0; d < nd; ++d)
#pragma GCC unroll 3
      for (int h = 0; h < nh; ++h) {
        Vec<T> row[nw];
#pragma GCC unroll 3
        for (int w = 0; w < nw; ++w)
          row[w] = load(a.src + d * a.stride[0] + h * a.stride[1] + w * a.stride[2] + c);
        to_points<W>(row, 1, along_w[d][h], 1);
      }
#pragma GCC unroll 3
    for (int d = 0; d < nd; ++d)
#pragma GCC unroll 4
      for (int w = 0; w < pw; ++w) to_points<H>(&along_w[d][0][w], pw, &along_h[d][0][w], pw);
#pragma GCC unroll 4
    for (int h = 0; h < ph; ++h)
#pragma GCC unroll 4
      for (int w = 0; w < pw; ++w) {
        Vec<T> points[pd];
        to_points<D>(&along_h[0][h][w], ph * pw, points, 1);
#pragma GCC unroll 4
        for (int d = 0; d < pd; ++d) store(a.dst + ((d * ph + h) * pw + w) * a.point_stride + c, points[d]);
      }
  }
}

// Products to destinations: one of one, two of two, or P0 + P1 and P1 + P2.
template <int Kind, class V>
inline void to_outputs(const V* p, int step, V* y, int output_step) {
  y[0] = Kind == 2 ? p[0] + p[step] : p[0];
  if (Kind == 1) y[output_step] = p[step];
  if (Kind == 2) y[output_step] = p[step] + p[2 * step];
}

template <class T, int D, int H, int W>
void winograd_output(const ct::WinogradOutput<T>& a) {
  constexpr int lanes = Simd<T>::lanes;
  constexpr int pd = D + 1, ph = H + 1, pw = W + 1;  // products of a plain axis, one tap, two taps
  constexpr int od = winograd_outputs(D), oh = winograd_outputs(H), ow = winograd_outputs(W);
  for (int v = 0; v < a.vectors; ++v) {
    const ct::index c = v * lanes;
    Vec<T> along_w[pd][ph][ow], along_h[pd][oh][ow];
#pragma GCC unroll 3
    for (int d = 0; d < pd; ++d)
#pragma GCC unroll 3
      for (int h = 0; h < ph; ++h) {
        Vec<T> row[pw];
#pragma GCC unroll 3
        for (int w = 0; w < pw; ++w) row[w] = load(a.src + ((d * ph + h) * pw + w) * a.point_stride + c);
        to_outputs<W>(row, 1, along_w[d][h], 1);
      }
#pragma GCC unroll 3
    for (int d = 0; d < pd; ++d)
#pragma GCC unroll 2
      for (int w = 0; w < ow; ++w) to_outputs<H>(&along_w[d][0][w], ow, &along_h[d][0][w], ow);
    const Vec<T> bias = load(a.bias + c);
    const bool whole = a.stride_c == 1 && c + lanes <= a.columns;
#pragma GCC unroll 2
    for (int h = 0; h < oh; ++h)
#pragma GCC unroll 2
      for (int w = 0; w < ow; ++w) {
        Vec<T> y[od];
        to_outputs<D>(&along_h[0][h][w], oh * ow, y, 1);
#pragma GCC unroll 2
        for (int d = 0; d < od; ++d) {
          if (!(a.valid >> (4 * d + 2 * h + w) & 1)) continue;
          T* dst = a.dst + d * a.stride[0] + h * a.stride[1] + w * a.stride[2] + c * a.stride_c;
          if (whole) {
            store(dst, y[d] + bias);
          } else {
            T part[lanes];
            store(part, y[d] + bias);
            for (int n = 0; n < lanes && c + n < a.columns; ++n) dst[n * a.stride_c] = part[n];
          }
        }
      }
  }
}

}  // namespace
