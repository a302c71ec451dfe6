// The channel method: vectors along the destination channels, positions broadcast. No zero is
// multiplied and nothing is gathered: the positions of a tile are one pointer and one stride.
#pragma once
#include "../core.h"
#include "simd.h"

namespace {

using ct::index;

// Writes a tile that does not fill its panel, or whose channels are not neighbours.
template <class T, int M, int V>
inline void store_scattered(const Vec<T> (&acc)[M][V], const ct::ChannelTile<T>& a) {
  constexpr int lanes = Simd<T>::lanes;
  if (a.dst_stride_c == 1) {
    const Part<T> rest(0, a.columns - (V - 1) * lanes);  // the last vector
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      T* dst = a.dst + m * a.dst_stride;
#pragma GCC unroll 2
      for (int v = 0; v < V - 1; ++v) store(dst + v * lanes, acc[m][v]);
      store(dst + (V - 1) * lanes, acc[m][V - 1], rest);
    }
    return;
  }
  T panel[V * lanes];
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) store(panel + v * lanes, acc[m][v]);
    T* dst = a.dst + m * a.dst_stride;
    for (index c = 0; c < a.columns; ++c) dst[c * a.dst_stride_c] = panel[c];
  }
}

// What the sums of a tile start from.
template <class T, int M, int V>
inline void load_bias(Vec<T> (&acc)[M][V], const ct::ChannelTile<T>& a) {
  constexpr int lanes = Simd<T>::lanes;
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) acc[m][v] = load(a.bias + v * lanes);
  if (__builtin_expect(a.bias_stride != 0, 0)) {
#pragma GCC unroll 16
    for (int m = 1; m < M; ++m)
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) acc[m][v] = load(a.bias + m * a.bias_stride + v * lanes);
  }
}

template <class T, int M, int V>
void channel_kernel(const ct::ChannelTile<T>& a) {
  constexpr int lanes = Simd<T>::lanes;
  Vec<T> acc[M][V];
  load_bias(acc, a);

  const index s = a.src_stride, channels = a.channels;
  const char* ahead = a.ahead;
  const index piece = a.ahead_bytes > 0 ? a.kAheadChannels : channels;
  for (index t = 0; t < a.taps; ++t) {
    // Positions in threes share a base: five pointers and two strides fit the integer registers.
    const T* p0 = a.src + a.src_offset[t];
    const T* p3 = p0 + 3 * s;
    const T* p6 = p0 + 6 * s;
    const T* p9 = p0 + 9 * s;
    const T* p12 = p0 + 12 * s;
    const T* w = a.weights + a.weight_offset[t];
    for (index c = 0; c < channels;) {
      const index stop = channels - c < piece ? channels : c + piece;
      for (const char* end = ahead + a.ahead_bytes; ahead < end; ahead += 64) __builtin_prefetch(ahead, 0, 2);
      for (; c < stop; ++c) {
        Vec<T> panel[V];
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) panel[v] = load(w + v * lanes);
        w += V * lanes;
#pragma GCC unroll 16
        for (int m = 0; m < M; ++m) {
          const T* base = m < 3 ? p0 : m < 6 ? p3 : m < 9 ? p6 : m < 12 ? p9 : p12;
          const Vec<T> x = splat(base[(m % 3) * s]);
#pragma GCC unroll 2
          for (int v = 0; v < V; ++v) acc[m][v] += x * panel[v];
        }
        ++p0, ++p3, ++p6, ++p9, ++p12;
      }
    }
  }

  if (a.streams) {
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) stream(a.dst + m * a.dst_stride + v * lanes, acc[m][v]);
  } else if (a.dst_strip != 0) {
    T* dst = a.dst;
    const index strip = a.dst_strip, step = a.dst_stride;
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) {
        store_parts<T>([&](int n) { return dst + n * strip; }, acc[m][v]);
        dst += kParts * strip;
      }
      dst += step - V * kParts * strip;
    }
  } else if (a.columns == V * lanes && a.dst_stride_c == 1) {
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) store(a.dst + m * a.dst_stride + v * lanes, acc[m][v]);
  } else {
    store_scattered<T, M, V>(acc, a);
  }
}

// A tap whose weights are the sum of so many.
template <int Terms, class T, int M, int V>
inline void add_products(Vec<T> (&acc)[M][V], const ct::ChannelTile<T>& a) {
  constexpr int lanes = Simd<T>::lanes;
  const index s = a.src_stride, channels = a.channels;
  const char* ahead = a.ahead;
  const index piece = a.ahead_bytes > 0 ? a.kAheadChannels : channels;
  const T* p0 = a.src + a.src_offset[0];
  const T* p3 = p0 + 3 * s;
  const T* p6 = p0 + 6 * s;
  const T* p9 = p0 + 9 * s;
  const T* p12 = p0 + 12 * s;
  const T* w = a.weights + a.weight_offset[0];
  index term[Terms];
#pragma GCC unroll 4
  for (int t = 1; t < Terms; ++t) term[t] = a.weight_offset[t] - a.weight_offset[0];
  for (index c = 0; c < channels;) {
    const index stop = channels - c < piece ? channels : c + piece;
    for (const char* end = ahead + a.ahead_bytes; ahead < end; ahead += 64) __builtin_prefetch(ahead, 0, 2);
    for (; c < stop; ++c) {
      Vec<T> panel[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) {
        panel[v] = load(w + v * lanes);
#pragma GCC unroll 4
        for (int t = 1; t < Terms; ++t) panel[v] += load(w + term[t] + v * lanes);
      }
      w += V * lanes;
#pragma GCC unroll 16
      for (int m = 0; m < M; ++m) {
        const T* base = m < 3 ? p0 : m < 6 ? p3 : m < 9 ? p6 : m < 12 ? p9 : p12;
        const Vec<T> x = splat(base[(m % 3) * s]);
#pragma GCC unroll 2
        for (int v = 0; v < V; ++v) acc[m][v] += x * panel[v];
      }
      ++p0, ++p3, ++p6, ++p9, ++p12;
    }
  }
}

// A whole panel of neighbours, of one tap: the weights of Winograd points that are sums of others, added up
// where they are used.
template <class T, int M, int V>
void summed_channel_kernel(const ct::ChannelTile<T>& a) {
  constexpr int lanes = Simd<T>::lanes;
  Vec<T> acc[M][V];
  load_bias(acc, a);
  switch (a.terms) {
    case 1:
      add_products<1>(acc, a);
      break;
    case 2:
      add_products<2>(acc, a);
      break;
    default:
      add_products<4>(acc, a);
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) store(a.dst + m * a.dst_stride + v * lanes, acc[m][v]);
}

// The sums of such weights.
template <class T>
void sum_terms(const T* const* src, int terms, index count, T* dst) {
  for (index n = 0; n < count; n += Simd<T>::lanes) {
    Vec<T> sum = load(src[0] + n);
    for (int t = 1; t < terms; ++t) sum += load(src[t] + n);
    store(dst + n, sum);
  }
}

}  // namespace
