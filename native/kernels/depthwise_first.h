// The depthwise method, channels first: vectors along the positions of a row, read where they lie. The
// phases of a stride meet in registers and leave as whole lines; an adjoint takes lines apart the same way.
#pragma once
#include "../core.h"
#include "simd.h"

namespace {

// S vectors of phases -> S vectors in the order of positions.
template <class T, int S>
inline void join_phases(Vec<T> (&v)[S]) {
  if constexpr (S == 2) {
    const Vec<T> a = v[0], b = v[1];
    v[0] = zip_low<T>(a, b);
    v[1] = zip_high<T>(a, b);
  } else if constexpr (S == 4) {
    const Vec<T> a = zip_low<T>(v[0], v[2]), b = zip_high<T>(v[0], v[2]);
    const Vec<T> c = zip_low<T>(v[1], v[3]), d = zip_high<T>(v[1], v[3]);
    v[0] = zip_low<T>(a, c);
    v[1] = zip_high<T>(a, c);
    v[2] = zip_low<T>(b, d);
    v[3] = zip_high<T>(b, d);
  }
}

// The way back.
template <class T, int S>
inline void split_phases(Vec<T> (&v)[S]) {
  if constexpr (S == 2) {
    const Vec<T> a = v[0], b = v[1];
    v[0] = even<T>(a, b);
    v[1] = odd<T>(a, b);
  } else if constexpr (S == 4) {
    const Vec<T> a = even<T>(v[0], v[1]), b = even<T>(v[2], v[3]);
    const Vec<T> c = odd<T>(v[0], v[1]), d = odd<T>(v[2], v[3]);
    v[0] = even<T>(a, b);
    v[1] = even<T>(c, d);
    v[2] = odd<T>(a, b);
    v[3] = odd<T>(c, d);
  }
}

// The lanes whose positions are inside of [0, size), the first being `at`.
template <class T>
inline Part<T> inside(ct::index at, ct::index size) {
  return Part<T>(-at, size - at);
}

// V vectors of neighbouring q with all their phases. At an edge, what lies outside is neither read nor
// written.
template <class T, int S, bool Forward, int V, bool Edge>
inline void depthwise_first_tile(const ct::DepthwiseRun<T>& a, const ct::DepthwiseLine& line, ct::index q) {
  constexpr int lanes = Simd<T>::lanes, phases = Forward ? S : 1, step = Forward ? 1 : S;
  const ct::index full = a.kernel_size / S, rest = a.kernel_size % S;
  const ct::index hop = (Forward ? -1 : S) * (S == 1 ? a.dilation : 1);
  Vec<T> acc[V][phases];
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v)
#pragma GCC unroll 8
    for (int r = 0; r < phases; ++r) acc[v][r] = splat(*a.bias);
  for (ct::index n = 0; n < line.count; ++n) {
    const ct::DepthwiseRow& row = a.rows[line.first + n];
    const T* x = a.src + row.src;
    const T* w = a.weights + row.weights;
    ct::index at = q * step + a.w.src_first;
    // S taps: forward, one per phase on the same sources; adjoint, one per phase of the source.
    const auto taps = [&](int count) {
      Vec<T> source[V][step];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
#pragma GCC unroll 8
        for (int r = 0; r < step; ++r) {
          const ct::index from = at + (v * step + r) * lanes;
          source[v][r] = Edge ? load(x + from, inside<T>(from, a.w.src_size)) : load(x + from);
        }
        split_phases<T, step>(source[v]);
      }
#pragma GCC unroll 8
      for (int r = 0; r < S; ++r) {
        if (r >= count) break;
        const Vec<T> k = splat(w[r]);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) acc[v][Forward ? r : 0] += source[v][Forward ? 0 : r] * k;
      }
    };
    for (ct::index j = 0; j < full; ++j, at += hop, w += S) taps(S);
    if (S > 1 && rest > 0) taps(int(rest));
  }
  const ct::index to = q * phases + a.w.dst_first;
  T* dst = a.dst + line.dst;
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) {
    join_phases<T, phases>(acc[v]);
#pragma GCC unroll 8
    for (int r = 0; r < phases; ++r) {
      const ct::index o = to + (v * phases + r) * lanes;
      if constexpr (Edge)
        store(dst + o, acc[v][r], inside<T>(o, a.w.dst_size));
      else
        store(dst + o, acc[v][r]);
    }
  }
}

template <class T, int S, bool Forward>
void depthwise_first(const ct::DepthwiseRun<T>& a) {
  // They share the weights; their sums, or sources, fill half of the registers at most.
  constexpr int lanes = Simd<T>::lanes, V = kRegisters / 2 / S < 4 ? kRegisters / 2 / S : 4;
  for (ct::index n = 0; n < a.line_count; ++n) {
    const ct::DepthwiseLine& line = a.lines[n];
    for (ct::index q = a.w.begin; q < a.w.end;) {
      if (q >= a.w.inner_begin && q + V * lanes <= a.w.inner_end) {
        depthwise_first_tile<T, S, Forward, V, false>(a, line, q);
        q += V * lanes;
      } else if (q >= a.w.inner_begin && q + lanes <= a.w.inner_end) {
        depthwise_first_tile<T, S, Forward, 1, false>(a, line, q);
        q += lanes;
      } else {
        depthwise_first_tile<T, S, Forward, 1, true>(a, line, q);
        q += lanes;
      }
    }
  }
}

}  // namespace
