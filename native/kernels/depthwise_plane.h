// The depthwise method on planes whose kernel is a known square: like depthwise_first.h, but a tile spans
// several rows, which share the loads of the source rows between them.
#pragma once
#include "../core.h"
#include "depthwise_first.h"
#include "simd.h"

namespace {

// std::true_type and its opposite: no standard header, for its code would be of this instruction set.
struct Yes {
  static constexpr bool value = true;
};
struct No {
  static constexpr bool value = false;
};

// What a tile of one column of tiles loads and stores. P taps that do not exist stand before the first one of
// a line: they move the vectors of destinations to where rows begin, for any crop.
template <class T, int K, int S, bool Forward, int P>
struct TileColumn {
  static constexpr int lanes = Simd<T>::lanes, phases = Forward ? S : 1, step = Forward ? 1 : S;
  // Groups of taps: one per phase of the destinations or the sources.
  static constexpr int groups = (K + P + S - 1) / S;
  ct::index q;
  Part<T> loaded[groups * step], stored[phases];
  bool whole[phases];

  // Of load n, relative to the tile's first source.
  static constexpr int offset(int n) { return (Forward ? -1 : S) * (n / step) + n % step * lanes; }

  void set(const ct::DepthwiseRun<T>& a, ct::index first) {
    q = first;
    for (int n = 0; n < groups * step; ++n)
      loaded[n] = inside<T>(q * step + a.w.src_first + offset(n), a.w.src_size);
    for (int n = 0; n < phases; ++n) {
      const ct::index at = q * phases + a.w.dst_first + n * lanes;
      stored[n] = inside<T>(at, a.w.dst_size);
      whole[n] = at >= 0 && at + lanes <= a.w.dst_size;
    }
  }
};

// With two phases the lanes of sources and sums are in the order of halves: the phases meet, or part, by
// shuffles inside of the pieces of a vector then, which run beside the products where others take their
// place. The longest vectors have single instructions that part them in order.
template <int S, bool Forward>
constexpr bool kHalves = S == 2 && (Forward || kVectorBytes < 64);

template <class T, int S, bool Forward>
inline void to_lanes(Vec<T> (&v)[Forward ? 1 : S]) {
  if constexpr (kHalves<S, Forward> && Forward) {
    v[0] = to_halves<T>(v[0]);
  } else if constexpr (kHalves<S, Forward>) {
    const Vec<T> a = v[0], b = v[1];
    v[0] = split_halves<T, 0>(a, b);
    v[1] = split_halves<T, 1>(a, b);
  } else if constexpr (!Forward) {
    split_phases<T, S>(v);
  }
}
template <class T, int S, bool Forward>
inline void from_lanes(Vec<T>* v) {
  if constexpr (kHalves<S, Forward> && Forward) {
    const Vec<T> a = v[0], b = v[1];
    v[0] = zip_halves<T, 0>(a, b);
    v[1] = zip_halves<T, 1>(a, b);
  } else if constexpr (kHalves<S, Forward>) {
    v[0] = from_halves<T>(v[0]);
  }
}

// Adjoints with a stride of two and an even number of taps never part the phases of their sources: pairs of
// neighbours meet pairs of weights, and the sums of even and odd taps along w meet at the end.
template <int K, int S, bool Forward>
constexpr bool kPairs = S == 2 && !Forward && K % 2 == 0;

// Where the weights of a tile are: in registers beside its sums, if they find room there. Else instructions
// without broadcast operands want them spread over vectors, once per line, as pairs are. The bias is kept
// beside them where one more register is left.
template <int K, int S, bool Forward, int H>
struct PlaneWeights {
  static constexpr int phases = Forward ? S : 1, step = Forward ? 1 : S;
  static constexpr bool pairs = kPairs<K, S, Forward>;
  static constexpr bool kept = !pairs && K * K + H * phases * phases + 2 * step + 2 <= kRegisters;
  static constexpr bool bias_kept = kept && K * K + H * phases * phases + 2 * step + 3 <= kRegisters;
  static constexpr bool spread = pairs || (!kept && kVectorBytes < 64);
  static constexpr int vectors = spread ? K * K / (pairs ? 2 : 1) : 0;
};

// The weights of one row of a line, spread over vectors, each number or each two.
template <class T, int K, bool Pairs>
inline void spread_weights(const T* w, T* vectors) {
  for (int t = 0; t < K * K; t += Pairs ? 2 : 1, vectors += Simd<T>::lanes)
    store(vectors, Pairs ? zip_low<T>(splat(w[t]), splat(w[t + 1])) : splat(w[t]));
}

// What a tile sums: one vector of neighbouring q by H rows of q, with all phases of both axes.
template <class T, int K, int S, bool Forward, int P, int H>
struct TileSums {
  static_assert(S <= 2 && (Forward || P == 0));
  using Column = TileColumn<T, K, S, Forward, P>;
  static constexpr int lanes = Column::lanes, phases = Column::phases, step = Column::step;
  static constexpr int groups = Column::groups;
  static constexpr int window = Forward ? (K + S - 1) / S : K, rows = (H - 1) * step + window;
  static constexpr bool pairs = PlaneWeights<K, S, Forward, H>::pairs;
  Vec<T> acc[H * phases][pairs ? 2 : phases];

  // The first source row of the tile of rows from q_h on.
  static ct::index top(const ct::DepthwiseRun<T>& a, ct::index q_h) {
    return q_h * step + a.h.src_first - (Forward ? window - 1 : 0);
  }
  static Vec<T> spread_bias(const T* bias) {
    return pairs ? zip_low<T>(splat(*bias), splat(T(-0.0))) : splat(*bias);
  }
  [[gnu::always_inline]] void begin(Vec<T> bias) {
#pragma GCC unroll 32
    for (auto& sums : acc)
#pragma GCC unroll 8
      for (Vec<T>& sum : sums) sum = bias;
  }

  // Adds a source, whose rows begin at row(n), with its weights weight(tap), or `vectors` of pairs.
  template <bool EdgeColumn, class Row, class Weight>
  [[gnu::always_inline]] void add(const Row& row, const Column& column, const Weight& weight,
                                  const T* vectors) {
#pragma GCC unroll 32
    for (int m = 0; m < rows; ++m) {
      const int r_h = Forward ? rows - 1 - m : m;  // ascending taps
      const T* const x = row(r_h);
#pragma GCC unroll 8
      for (int j = 0; j < groups; ++j) {
        Vec<T> source[step];
#pragma GCC unroll 8
        for (int r = 0; r < step; ++r) {
          const int n = j * step + r;
          source[r] =
              EdgeColumn ? load(x + Column::offset(n), column.loaded[n]) : load(x + Column::offset(n));
        }
        if constexpr (!pairs) to_lanes<T, S, Forward>(source);
#pragma GCC unroll 8
        for (int r = 0; r < step; ++r) hold(source[r]);
        if constexpr (pairs) {
#pragma GCC unroll 32
          for (int i = 0; i < H; ++i) {
            const int th = r_h - i * S;
            if (th < 0 || th >= K) continue;
            const Vec<T> pair = load(vectors + (th * groups + j) * lanes);
            acc[i][0] += source[0] * pair;
            acc[i][1] += source[1] * pair;
          }
        } else {
#pragma GCC unroll 8
          for (int r = 0; r < S; ++r) {
            const int tw = j * S + r - P;
            if (tw < 0 || tw >= K) continue;
#pragma GCC unroll 32
            for (int i = 0; i < H * phases; ++i) {
              const int th = Forward ? (i / S + window - 1 - r_h) * S + i % S : r_h - i * S;
              if (th < (Forward ? i % S : 0) || th >= K) continue;
              acc[i][Forward ? r : 0] += source[Forward ? 0 : r] * weight(th * K + tw);
            }
          }
        }
      }
    }
  }

  // Writes the rows that are left of the destinations, the first of which is `first`.
  template <bool EdgeColumn, bool EdgeRow>
  [[gnu::always_inline]] void write(T* dst, ct::index pitch, const Column& column, bool streams,
                                    ct::index first, ct::index rows_left) {
#pragma GCC unroll 32
    for (int i = 0; i < H * phases; ++i, dst += pitch) {
      if (EdgeRow && (first + i < 0 || i >= rows_left)) continue;
      if constexpr (pairs) {
        to_lanes<T, S, Forward>(acc[i]);
        acc[i][0] += acc[i][1];
      }
      from_lanes<T, S, Forward>(acc[i]);
#pragma GCC unroll 8
      for (int r = 0; r < phases; ++r)
        if (EdgeColumn && !column.whole[r])
          store(dst + r * lanes, acc[i][r], column.stored[r]);
        else if (kVectorBytes * phases >= 64 && Forward && streams)
          stream(dst + r * lanes, acc[i][r]);
        else
          store(dst + r * lanes, acc[i][r]);
    }
  }
};

template <class T, int K>
[[gnu::always_inline]] inline void keep_weights(const T* w, Vec<T>* k) {
#pragma GCC unroll 32
  for (int t = 0; t < K * K; ++t) k[t] = splat(w[t]);
}

// One tile. At an edge, vectors are loaded and stored in part, and rows outside are zeros.
template <class T, int K, int S, bool Forward, int P, int H, bool EdgeColumn, bool EdgeRow>
inline void depthwise_plane_tile(const ct::DepthwiseRun<T>& a, const ct::DepthwiseLine& line, ct::index q_h,
                                 ct::index q, const TileColumn<T, K, S, Forward, P>& column,
                                 const T* spread) {
  using Sums = TileSums<T, K, S, Forward, P, H>;
  using Weights = PlaneWeights<K, S, Forward, H>;
  constexpr int lanes = Sums::lanes;
  static const T zeros[K * S + Sums::step * lanes] = {};
  const ct::index src_pitch = a.h.src_stride, src_rows = a.h.src_size, top = Sums::top(a, q_h);
  Sums sums;
  sums.begin(Sums::spread_bias(a.bias));
  for (ct::index n = 0; n < line.count; ++n) {
    const ct::DepthwiseRow& from = a.rows[line.first + n];
    const T* const w = a.weights + from.weights;
    Vec<T> k[Weights::kept ? K * K : 1];
    if constexpr (Weights::kept) keep_weights<T, K>(w, k);
    alignas(kVectorBytes) T here[Weights::vectors * lanes + 1];
    if (Weights::spread && !spread) spread_weights<T, K, Weights::pairs>(w, here);
    const T* const vectors = spread ? spread + n * Weights::vectors * lanes : here;
    const auto weight = [&](int t) {
      return Weights::kept ? k[t] : Weights::spread ? load(vectors + t * lanes) : splat(w[t]);
    };
    const Lines<const T, Sums::rows> plane(
        a.src + from.src + q * Sums::step + a.w.src_first + top * src_pitch, src_pitch);
    const auto row = [=](int m) {  // with copies: by reference they would leave the registers
      const bool outside = EdgeRow && (top + m < 0 || top + m >= src_rows);
      return outside ? zeros + (Forward ? Sums::groups : 0) : plane(m);
    };
    sums.template add<EdgeColumn>(row, column, weight, vectors);
  }
  const ct::index dst_pitch = a.h.dst_stride, first = q_h * Sums::phases + a.h.dst_first;
  // Rows behind the end of a task are another one's.
  const ct::index end = a.h.end * Sums::phases + a.h.dst_first;
  const ct::index rows_left = (end < a.h.dst_size ? end : a.h.dst_size) - first;
  T* const dst = a.dst + line.dst + first * dst_pitch + q * Sums::phases + a.w.dst_first;
  sums.template write<EdgeColumn, EdgeRow>(dst, dst_pitch, column, a.streams, first, rows_left);
}

// Rare, and too large to be in the way of the tiles.
template <class T, class Column>
[[gnu::noinline]] void set_column(Column& column, const ct::DepthwiseRun<T>& a, ct::index q) {
  column.set(a, q);
}

// Rows of tiles, [begin, end), without an edge above or below, of a line with a single source: its weights
// stay in registers from tile to tile.
template <class T, int K, int S, bool Forward, int P, int H>
[[gnu::noinline]] void depthwise_plane_rows(const ct::DepthwiseRun<T>& a, const ct::DepthwiseLine& line,
                                            ct::index begin, ct::index end,
                                            TileColumn<T, K, S, Forward, P> (&columns)[2]) {
  using Sums = TileSums<T, K, S, Forward, P, H>;
  using Weights = PlaneWeights<K, S, Forward, H>;
  static_assert(Weights::kept);
  constexpr int lanes = Sums::lanes;
  // Stores could change what `a` says, for all that compilers know.
  const ct::index src_pitch = a.h.src_stride, dst_pitch = a.h.dst_stride;
  const ct::index w_begin = a.w.begin, w_end = a.w.end;
  const ct::index inner_begin = a.w.inner_begin, inner_end = a.w.inner_end;
  const bool streams = a.streams;
  const ct::DepthwiseRow& from = a.rows[line.first];
  const T* const bias_at = a.bias;
  const Vec<T> bias = Weights::bias_kept ? Sums::spread_bias(bias_at) : Vec<T>{};
  Vec<T> k[K * K];
  keep_weights<T, K>(a.weights + from.weights, k);
  const auto weight = [&](int t) { return k[t]; };
  for (ct::index q_h = begin; q_h < end; q_h += H) {
    const T* const corner = a.src + from.src + a.w.src_first + Sums::top(a, q_h) * src_pitch;
    T* const to = a.dst + line.dst + (q_h * Sums::phases + a.h.dst_first) * dst_pitch + a.w.dst_first;
    for (ct::index q = w_begin; q < w_end; q += lanes) {
      TileColumn<T, K, S, Forward, P>& column = columns[q > w_begin];
      const auto tile = [&](auto edge) __attribute__((always_inline)) {
        constexpr bool EdgeColumn = decltype(edge)::value;
        const auto row = [&](int m) { return corner + q * Sums::step + m * src_pitch; };
        Sums sums;
        sums.begin(Weights::bias_kept ? bias : Sums::spread_bias(bias_at));
        sums.template add<EdgeColumn>(row, column, weight, nullptr);
        sums.template write<EdgeColumn, false>(to + q * Sums::phases, dst_pitch, column, streams, 0, 0);
      };
      if (q >= inner_begin && q + lanes <= inner_end) {
        tile(No());
      } else {
        if (q != column.q) set_column(column, a, q);
        tile(Yes());
      }
    }
  }
}

// Rows of a tile: enough sums to hide the latency of one, and more where the weights leave them registers.
constexpr int depthwise_rows(int kernel_size, int stride, bool forward) {
  if (stride == 1) return kernel_size == 3 ? 8 : 4;
  if (kRegisters < 32) return 2;
  return !forward ? 8 : kernel_size <= 4 ? 3 : 2;
}

template <class T, int K, int S, bool Forward, int P = 0>
void depthwise_plane(const ct::DepthwiseRun<T>& a) {
  constexpr int lanes = Simd<T>::lanes, H = depthwise_rows(K, S, Forward);
  // The first column of tiles and another, for planes that have an edge on both sides in turn.
  TileColumn<T, K, S, Forward, P> columns[2];
  for (auto& column : columns) column.q = a.w.begin - 1;  // no tile's
  using Weights = PlaneWeights<K, S, Forward, H>;
  constexpr bool spreads = Weights::spread;
  constexpr int most_rows = 4;
  alignas(kVectorBytes) T vectors[most_rows * Weights::vectors * lanes + 1];
  for (ct::index n = 0; n < a.line_count; ++n) {
    const ct::DepthwiseLine& line = a.lines[n];
    const bool spread = spreads && line.count <= most_rows;
    for (ct::index r = 0; spread && r < line.count; ++r)
      spread_weights<T, K, Weights::pairs>(a.weights + a.rows[line.first + r].weights,
                                           vectors + r * Weights::vectors * lanes);
    const T* const weights = spread ? vectors : nullptr;
    for (ct::index q_h = a.h.begin, next; q_h < a.h.end; q_h = next) {
      next = q_h + H;
      const bool inner_rows = q_h >= a.h.inner_begin && next <= a.h.inner_end;
      if constexpr (Weights::kept) {
        if (inner_rows && line.count == 1) {
          while (next < a.h.end && next + H <= a.h.inner_end) next += H;
          depthwise_plane_rows<T, K, S, Forward, P, H>(a, line, q_h, next, columns);
          continue;
        }
      }
      for (ct::index q = a.w.begin; q < a.w.end; q += lanes) {
        const bool inner_column = q >= a.w.inner_begin && q + lanes <= a.w.inner_end;
        TileColumn<T, K, S, Forward, P>& column = columns[q > a.w.begin];
        if (inner_rows && inner_column) {
          depthwise_plane_tile<T, K, S, Forward, P, H, false, false>(a, line, q_h, q, column, weights);
          continue;
        }
        if (q != column.q) column.set(a, q);
        if (inner_rows)
          depthwise_plane_tile<T, K, S, Forward, P, H, true, false>(a, line, q_h, q, column, weights);
        else
          depthwise_plane_tile<T, K, S, Forward, P, H, true, true>(a, line, q_h, q, column, weights);
      }
    }
  }
}

}  // namespace
