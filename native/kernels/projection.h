// The projection method: the second half of it, where shifted rows of products meet.
#pragma once
#include "../core.h"
#include "simd.h"

namespace {

// The numbers of x whose bits the mask keeps; the others become zero, whatever they are.
template <class T>
inline Vec<T> masked(Vec<T> x, Vec<T> mask) {
  typedef decltype(Vec<T>{} < Vec<T>{}) Bits;
  return (Vec<T>)((Bits)x & (Bits)mask);
}

template <class T, int V>
inline void sum_vectors(const ct::SumTile<T>& a, ct::index c, ct::index at) {
  constexpr int lanes = Simd<T>::lanes;
  Vec<T> acc[V];
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) acc[v] = splat(a.bias[c]);
  for (ct::index l = 0; l < a.line_count; ++l)
    for (ct::index t = 0; t < a.tap_count; ++t) {
      const T* x = a.lines[l] + a.taps[t].src + c * a.src_step + at;
      const T* mask = a.taps[t].mask + at;
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) acc[v] += masked<T>(load(x + v * lanes), load(mask + v * lanes));
    }
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) store(a.dst + c * a.dst_step + at + v * lanes, acc[v]);
}

template <class T>
void sum_rows(const ct::SumTile<T>& a) {
  constexpr int lanes = Simd<T>::lanes;
  for (ct::index c = 0; c < a.channels; ++c) {
    ct::index at = 0;
    for (; at + 4 * lanes <= a.count; at += 4 * lanes) sum_vectors<T, 4>(a, c, at);
    for (; at + lanes < a.count; at += 2 * lanes) sum_vectors<T, 2>(a, c, at);
    if (at < a.count) sum_vectors<T, 1>(a, c, at);
  }
}

}  // namespace
