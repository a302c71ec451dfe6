// The depthwise method, channels last: vectors along the channels, read where they lie.
#pragma once
#include "../core.h"
#include "simd.h"

namespace {

// Positions of a tile: its sums of each, its window and one vector of weights fit the registers.
constexpr int depthwise_positions(int window, int step, int sums) {
  int m = 8;
  while (m > 1 && m * sums + (m - 1) * step + window + 1 > kRegisters) m /= 2;
  return m;
}

// The columns of a source row; at an edge, those outside are zeros.
template <class T, int N, bool Edge>
inline void load_columns(const ct::DepthwiseAxis& w, const T* x, ct::index first, Vec<T> (&source)[N]) {
#pragma GCC unroll 40
  for (int j = 0; j < N; ++j) {
    if (!Edge || (first + j >= 0 && first + j < w.src_size))
      source[j] = load(x + j * w.src_stride);
    else
      source[j] = Vec<T>{};
  }
}

// M neighbouring q with all their phases, for all channels. Neighbours share their window, so a source
// is loaded once per row and line. At an edge, what lies outside is neither read nor written.
template <class T, int K, int S, int M, bool Edge>
inline void forward_tile(const ct::DepthwiseRun<T>& a, const ct::DepthwiseLine& line, ct::index q) {
  constexpr int lanes = Simd<T>::lanes, window = (K + S - 1) / S, columns = M - 1 + window;
  const ct::index first = q + a.w.src_first - (window - 1);
  const ct::index to = q * S + a.w.dst_first;
  const ct::index dst_stride = a.w.dst_stride;
  // Shorter vectors fill a cache line by twos: the tile's lines wait for their other half in the buffers that
  // processors have for it, eight or more.
  const bool streams = kVectorBytes >= 32 && a.streams;
  T* const dst = a.dst + line.dst + to * dst_stride;
  for (ct::index c = a.channel_begin; c < a.channel_end; c += lanes) {
    // The last vector ends at the last channel; what it shares with its neighbour is the same twice.
    if (c + lanes > a.channel_end) c = a.channel_end - lanes;
    Vec<T> acc[S][M];
    const Vec<T> bias = load(a.bias + c);
#pragma GCC unroll 8
    for (int r = 0; r < S; ++r)
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) acc[r][m] = bias;
    const ct::DepthwiseRow* row = a.rows + line.first;
    for (ct::index n = 0; n < line.count; ++n, ++row) {
      const T* w = a.weights + row->weights + c;
      Vec<T> source[columns];
      load_columns<T, columns, Edge>(a.w, a.src + row->src + first * a.w.src_stride + c, first, source);
#pragma GCC unroll 8
      for (int t = 0; t < K; ++t) {
        const Vec<T> k = load(w + t * a.channels);
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m) acc[t % S][m] += source[m + window - 1 - t / S] * k;
      }
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
      for (int r = 0; r < S; ++r)
        if (!Edge || (to + m * S + r >= 0 && to + m * S + r < a.w.dst_size)) {
          T* p = dst + (m * S + r) * dst_stride + c;
          streams ? stream(p, acc[r][m]) : store(p, acc[r][m]);
        }
  }
}

// The same of an adjoint: M neighbouring destinations of L lines, to all of which the rows belong. Sums go on
// from what earlier rows left of them.
template <class T, int K, int S, int L, int M, bool Edge>
inline void adjoint_tile(const ct::DepthwiseRun<T>& a, const ct::DepthwiseLine& line, ct::index q) {
  constexpr int lanes = Simd<T>::lanes, columns = (M - 1) * S + K;
  const ct::index first = q * S + a.w.src_first, dst_stride = a.w.dst_stride;
  const bool streams = kVectorBytes >= 32 && a.streams && L == 1;
  const auto there = [&](int m) { return !Edge || q + m < a.w.end; };
  T* to[L];
#pragma GCC unroll 8
  for (int l = 0; l < L; ++l) {
    const bool mine = L == 1 || (line.number - l >= a.line_begin && line.number - l < a.line_end);
    to[l] = mine ? a.dst + line.dst - l * a.h.dst_stride + q * dst_stride : nullptr;
  }
  for (ct::index c = a.channel_begin; c < a.channel_end; c += lanes) {
    // As above, but sums that go on must not meet the same rows twice: their channels are whole vectors.
    if (L == 1 && c + lanes > a.channel_end) c = a.channel_end - lanes;
    Vec<T> acc[L][M];
    const Vec<T> bias = load(a.bias + c);
#pragma GCC unroll 8
    for (int l = 0; l < L; ++l)
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m)
        acc[l][m] = l > 0 && to[l] && there(m) ? load(to[l] + m * dst_stride + c) : bias;
    const ct::DepthwiseRow* row = a.rows + line.first;
    for (ct::index n = 0; n < line.count; ++n, ++row) {
      const T* x = a.src + row->src + first * a.w.src_stride + c;
      if (a.fetches) {
#pragma GCC unroll 40
        for (int j = columns; j < columns + M * S; ++j) __builtin_prefetch(x + j * a.w.src_stride);
      }
      Vec<T> source[columns];
      load_columns<T, columns, Edge>(a.w, x, first, source);
#pragma GCC unroll 8
      for (int l = 0; l < L; ++l) {
        if (L > 1 && !to[l]) continue;
        if (K % S != 0 && L > 1 && row->tap + l * S >= K) break;
        const T* w = a.weights + row->weights + l * S * K * a.channels + c;
#pragma GCC unroll 8
        for (int t = 0; t < K; ++t) {
          const Vec<T> k = load(w + t * a.channels);
#pragma GCC unroll 8
          for (int m = 0; m < M; ++m) acc[l][m] += source[m * S + t] * k;
        }
      }
    }
#pragma GCC unroll 8
    for (int l = 0; l < L; ++l) {
      if (!to[l]) continue;
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m)
        if (there(m)) {
          T* p = to[l] + m * dst_stride + c;
          streams ? stream(p, acc[l][m]) : store(p, acc[l][m]);
        }
    }
  }
}

template <class T, int M, class Inner, class Outer>
inline void each_tile(const ct::DepthwiseRun<T>& a, Inner inner, Outer outer) {
  constexpr int E = M < 4 ? M : 4;
  for (ct::index n = 0; n < a.line_count; ++n)
    for (ct::index q = a.w.begin; q < a.w.end;) {
      if (q >= a.w.inner_begin && q + M <= a.w.inner_end) {
        inner(a.lines[n], q);
        q += M;
      } else {
        outer(a.lines[n], q);
        q += E;
      }
    }
}

template <class T, int K, int S>
void depthwise_forward(const ct::DepthwiseRun<T>& a) {
  constexpr int M = depthwise_positions((K + S - 1) / S, 1, S), E = M < 4 ? M : 4;
  each_tile<T, M>(
      a, [&](const ct::DepthwiseLine& line, ct::index q) { forward_tile<T, K, S, M, false>(a, line, q); },
      [&](const ct::DepthwiseLine& line, ct::index q) { forward_tile<T, K, S, E, true>(a, line, q); });
}

template <class T, int K, int S, int L>
void depthwise_adjoint(const ct::DepthwiseRun<T>& a) {
  constexpr int M = depthwise_positions(K, S, L), E = M < 4 ? M : 4;
  each_tile<T, M>(
      a, [&](const ct::DepthwiseLine& line, ct::index q) { adjoint_tile<T, K, S, L, M, false>(a, line, q); },
      [&](const ct::DepthwiseLine& line, ct::index q) { adjoint_tile<T, K, S, L, E, true>(a, line, q); });
}

// Any kernel, stride and dilation, and fewer channels than a vector has lanes: M neighbouring q of N vectors
// V of channels, or single ones, the last of which begins `last` behind c.
template <class T, class V, int N, int M, bool Edge>
inline void depthwise_any_tile(const ct::DepthwiseRun<T>& a, const ct::DepthwiseLine& line, ct::index q,
                               ct::index phase, ct::index c, ct::index last) {
  constexpr ct::index cache_line = 64, lanes = Simd<T>::lanes;
  const auto from = [last](const T* p, int n) { return load_as<V>(p + (n < N - 1 ? n * lanes : last)); };
  V acc[N][M];
#pragma GCC unroll 2
  for (int n = 0; n < N; ++n)
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) acc[n][m] = from(a.bias + c, n);
  const ct::index hop = a.w.src_step * a.w.src_stride, column = q * a.w.src_step + a.w.src_first;
  const ct::DepthwiseTap* const taps = a.taps + a.phase_taps[phase];
  const ct::index count = a.phase_taps[phase + 1] - a.phase_taps[phase];
  // Several walks through long rows hide from the processor what comes next, so every tap fetches a part of
  // the row after the next one.
  const bool fetches = !Edge && count >= 16 && a.channels <= N * lanes;
  const ct::index ahead =
      fetches ? (M * hop * ct::index(sizeof(T)) + cache_line * count - 1) / (cache_line * count) : 0;
  for (ct::index r = 0; r < line.count; ++r) {
    const ct::DepthwiseRow* const row = a.rows + line.first + r;
    const T* const x = a.src + row->src + column * a.w.src_stride + c;
    const T* const w = a.weights + row->weights + c;
    const ct::index below = row[r + 2 < line.count ? 2 : 0].src - row->src;
    const char* next = reinterpret_cast<const char*>(x + below);
    for (ct::index t = 0; t < count; ++t) {
      for (ct::index i = 0; i < ahead; ++i, next += cache_line) __builtin_prefetch(next, 0, 2);
      const T* const source = x + taps[t].column * a.w.src_stride;
      const T* const weight = w + taps[t].weight * a.channels;
#pragma GCC unroll 2
      for (int n = 0; n < N; ++n) {
        const V k = from(weight, n);
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m) {
          const ct::index at = column + taps[t].column + m * a.w.src_step;
          if (!Edge || (at >= 0 && at < a.w.src_size)) acc[n][m] += from(source + m * hop, n) * k;
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
    const ct::index to = (q + m) * a.w.phases + phase + a.w.dst_first;
    if (Edge && (to < 0 || to >= a.w.dst_size)) continue;
    T* const dst = a.dst + line.dst + to * a.w.dst_stride + c;
#pragma GCC unroll 2
    for (int n = 0; n < N; ++n) store(dst + (n < N - 1 ? n * lanes : last), acc[n][m]);
  }
}

// All channels of a tile.
template <class T, int M, bool Edge>
inline void depthwise_any_channels(const ct::DepthwiseRun<T>& a, const ct::DepthwiseLine& line, ct::index q,
                                   ct::index phase) {
  using V = Vec<T>;
  constexpr ct::index lanes = Simd<T>::lanes;
  if (a.channels < lanes) {
    for (ct::index c = 0; c < a.channels; ++c) depthwise_any_tile<T, T, 1, M, Edge>(a, line, q, phase, c, 0);
    return;
  }
  // The last vector ends at the last channel; what it shares with its neighbour is the same twice.
  for (ct::index c = a.channel_begin; c < a.channel_end; c += 2 * lanes) {
    const ct::index left = a.channel_end - c;
    if (left > lanes)
      depthwise_any_tile<T, V, 2, M, Edge>(a, line, q, phase, c, left < 2 * lanes ? left - lanes : lanes);
    else
      depthwise_any_tile<T, V, 1, M, Edge>(a, line, q, phase, a.channel_end - lanes, 0);
  }
}

template <class T>
void depthwise_any(const ct::DepthwiseRun<T>& a) {
  constexpr int M = kRegisters == 32 ? 8 : 4, E = 4;
  for (ct::index n = 0; n < a.line_count; ++n)
    for (ct::index q = a.w.begin; q < a.w.end;) {
      const bool inner = q >= a.w.inner_begin && q + M <= a.w.inner_end;
      for (ct::index phase = 0; phase < a.w.phases; ++phase)
        if (inner)
          depthwise_any_channels<T, M, false>(a, a.lines[n], q, phase);
        else
          depthwise_any_channels<T, E, true>(a, a.lines[n], q, phase);
      q += inner ? M : E;
    }
}

}  // namespace
