// The depthwise method: one channel per group, so every tap is an element-wise product along channels.
#pragma once
#include "../core.h"
#include "simd.h"

namespace {

template <class T>
void depthwise_kernel(const ct::DepthwiseTile<T>& a) {
  constexpr int lanes = Simd<T>::lanes, M = 4;
  ct::index p = 0;
  for (; p + M <= a.positions; p += M) {
    const T* src = a.src + p * a.src_stride;
    T* dst = a.dst + p * a.dst_stride;
    ct::index c = 0;
    for (; c + lanes <= a.channels; c += lanes) {
      Vec<T> acc[M];
#pragma GCC unroll 4
      for (int m = 0; m < M; ++m) acc[m] = load(a.bias + c);
      for (ct::index t = 0; t < a.taps; ++t) {
        const T* x = src + a.src_offset[t] + c;
        const Vec<T> w = load(a.weights + a.weight_offset[t] + c);
#pragma GCC unroll 4
        for (int m = 0; m < M; ++m) acc[m] += load(x + m * a.src_stride) * w;
      }
#pragma GCC unroll 4
      for (int m = 0; m < M; ++m) store(dst + m * a.dst_stride + c, acc[m]);
    }
    for (; c < a.channels; ++c)
      for (int m = 0; m < M; ++m) {
        T sum = a.bias[c];
        for (ct::index t = 0; t < a.taps; ++t)
          sum += src[a.src_offset[t] + m * a.src_stride + c] * a.weights[a.weight_offset[t] + c];
        dst[m * a.dst_stride + c] = sum;
      }
  }
  for (; p < a.positions; ++p) {
    const T* src = a.src + p * a.src_stride;
    T* dst = a.dst + p * a.dst_stride;
    ct::index c = 0;
    for (; c + lanes <= a.channels; c += lanes) {
      Vec<T> acc = load(a.bias + c);
      for (ct::index t = 0; t < a.taps; ++t)
        acc += load(src + a.src_offset[t] + c) * load(a.weights + a.weight_offset[t] + c);
      store(dst + c, acc);
    }
    for (; c < a.channels; ++c) {
      T sum = a.bias[c];
      for (ct::index t = 0; t < a.taps; ++t)
        sum += src[a.src_offset[t] + c] * a.weights[a.weight_offset[t] + c];
      dst[c] = sum;
    }
  }
}

}  // namespace
