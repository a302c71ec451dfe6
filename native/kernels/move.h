// Moving data: transposes between the two data formats, and the measure of the machine's FMA peak.
#pragma once
#include "../core.h"
#include "simd.h"

namespace {

// Numbers, or pairs of them, of two vectors in turn, from the first or second half of every piece of 16
// bytes.
template <class T, int Width, int Half>
inline Vec<T> zip_pieces(Vec<T> a, Vec<T> b) {
  return pick<T>(a, b, [](int n) {
    const int at = n % kPiece<T> / Width;
    return n / kPiece<T> * kPiece<T> + at / 2 * Width + n % Width + at % 2 * Simd<T>::lanes +
           Half * kPiece<T> / 2;
  });
}

// Of two vectors with two pieces in every half, the first or second of each.
template <class T, int Second>
inline Vec<T> pick_pieces(Vec<T> a, Vec<T> b) {
  return pick<T>(a, b, [](int n) {
    const int half = n / kPiece<T>;
    return half / 2 * Simd<T>::lanes + (half % 2 * 2 + Second) * kPiece<T> + n % kPiece<T>;
  });
}

// The transpose inside of pieces.
template <class T>
inline void transpose_pieces(Vec<T> (&v)[kPiece<T>]) {
  if constexpr (kPiece<T> == 2) {
    const Vec<T> first = zip_pieces<T, 1, 0>(v[0], v[1]);
    v[1] = zip_pieces<T, 1, 1>(v[0], v[1]), v[0] = first;
  } else {
    const Vec<T> ab0 = zip_pieces<T, 1, 0>(v[0], v[1]), cd0 = zip_pieces<T, 1, 0>(v[2], v[3]);
    const Vec<T> ab1 = zip_pieces<T, 1, 1>(v[0], v[1]), cd1 = zip_pieces<T, 1, 1>(v[2], v[3]);
    v[0] = zip_pieces<T, 2, 0>(ab0, cd0), v[1] = zip_pieces<T, 2, 1>(ab0, cd0);
    v[2] = zip_pieces<T, 2, 0>(ab1, cd1), v[3] = zip_pieces<T, 2, 1>(ab1, cd1);
  }
}

// The columns of a block that its rows are loaded for at once.
template <class T>
constexpr int kStrip = Simd<T>::lanes / kParts;

// As many columns of one square block, from q on: row n begins at row(n), set(n, v) takes column n. Vectors
// are put together from halves of two rows as they are loaded, which costs no shuffle; then come transposes
// inside of pieces of 16 bytes, and where a vector has four of those, pieces of two vectors trade places.
template <class T>
struct Strip {
  static constexpr int side = kPiece<T>, groups = kStrip<T> / side;
  Vec<T> v[groups][side];

  template <class Row>
  [[gnu::always_inline]] void load(const Row& row, int q) {
#pragma GCC unroll 2
    for (int g = 0; g < groups; ++g)
#pragma GCC unroll 4
      for (int k = 0; k < side; ++k)
        v[g][k] = load_parts<T>([&](int n) { return row((g * kParts + n) * side + k) + q; });
  }
  template <class Set>
  [[gnu::always_inline]] void store(const Set& set, int q) {
#pragma GCC unroll 2
    for (int g = 0; g < groups; ++g) transpose_pieces<T>(v[g]);
#pragma GCC unroll 4
    for (int k = 0; k < side; ++k) {
      if constexpr (groups == 1) {
        set(q + k, v[0][k]);
      } else {
        set(q + k, pick_pieces<T, 0>(v[0][k], v[1][k]));
        set(q + k + side, pick_pieces<T, 1>(v[0][k], v[1][k]));
      }
    }
  }
};

template <class T, class Row, class Set>
inline void transpose_strip(const Row& row, const Set& set) {
  Strip<T> strip;
  strip.load(row, 0);
  strip.store(set, 0);
}

template <class T, class Row, class Set>
[[gnu::always_inline]] inline void transpose_block(const Row& row, const Set& set) {
  constexpr int strips = Simd<T>::lanes / kStrip<T>;
  Strip<T> strip[strips];
#pragma GCC unroll 4
  for (int n = 0; n < strips; ++n) strip[n].load(row, n * kStrip<T>);
#pragma GCC unroll 4
  for (int n = 0; n < strips; ++n) strip[n].store(set, n * kStrip<T>);
}

// Blocks that are smaller than a vector on one side.
template <class T>
void transpose_small(const T* src, ct::index src_stride, ct::index rows, ct::index columns, T* dst,
                     ct::index dst_stride) {
  constexpr int lanes = Simd<T>::lanes;
  for (ct::index c = 0; c < columns; c += lanes)
    for (ct::index r = 0; r < rows; r += lanes) {
      const int height = int(rows - r < lanes ? rows - r : lanes);
      const int width = int(columns - c < lanes ? columns - c : lanes);
      T part[lanes][lanes] = {};
      for (int n = 0; n < height; ++n)
        store<T>(part[n], load(src + (r + n) * src_stride + c, Part<T>(0, width)));
      transpose_block<T>([&](int n) { return part[n]; },
                         [&](int n, Vec<T> v) {
                           if (n < width) store(dst + (c + n) * dst_stride + r, v, Part<T>(0, height));
                         });
    }
}

// N vectors of a0 b0 c0 ... a1 b1 c1 ... become N vectors a, b, c, ...
template <class T, int N>
inline void split_vectors(Vec<T> (&v)[N]) {
  constexpr int lanes = Simd<T>::lanes;
  if constexpr (N % 2 == 0) {
    Vec<T> evens[N / 2], odds[N / 2];
#pragma GCC unroll 4
    for (int n = 0; n < N / 2; ++n) {
      evens[n] = even<T>(v[2 * n], v[2 * n + 1]);
      odds[n] = odd<T>(v[2 * n], v[2 * n + 1]);
    }
    split_vectors<T, N / 2>(evens);
    split_vectors<T, N / 2>(odds);
#pragma GCC unroll 4
    for (int n = 0; n < N / 2; ++n) v[2 * n] = evens[n], v[2 * n + 1] = odds[n];
  } else if constexpr (N > 1) {
    // Lane n of output r is lane (n * N + r) % lanes of vector (n * N + r) / lanes.
    Vec<T> out[N];
#pragma GCC unroll 8
    for (int r = 0; r < N; ++r) {
      out[r] = v[0];
#pragma GCC unroll 8
      for (int k = 1; k < N; ++k)
        out[r] = pick<T>(out[r], v[k], [&](int n) {
          const int from = n * N + r;
          return from / lanes == k ? lanes + from % lanes : k == 1 ? from % lanes : n;
        });
    }
#pragma GCC unroll 8
    for (int r = 0; r < N; ++r) v[r] = out[r];
  }
}

// Rows of N numbers that follow one another, at least a vector of them. The last block ends with the last
// row.
template <class T, int N>
inline bool transpose_narrow(const T* src, ct::index rows, T* dst, ct::index dst_stride) {
  constexpr int lanes = Simd<T>::lanes;
  for (ct::index r = 0;;) {
    Vec<T> v[N];
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) v[n] = load(src + r * N + n * lanes);
    split_vectors<T, N>(v);
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) store(dst + n * dst_stride + r, v[n]);
    if (r + lanes >= rows) return true;
    r = r + 2 * lanes <= rows ? r + lanes : rows - lanes;
  }
}

// The same for any number; false where it has no kernel.
template <class T>
inline bool transpose_narrow(const T* src, ct::index rows, ct::index columns, T* dst, ct::index dst_stride) {
  if (columns == 1) return transpose_narrow<T, 1>(src, rows, dst, dst_stride);
  if (columns == 2) return transpose_narrow<T, 2>(src, rows, dst, dst_stride);
  if (columns == 4) return transpose_narrow<T, 4>(src, rows, dst, dst_stride);
  if (columns == 8) return transpose_narrow<T, 8>(src, rows, dst, dst_stride);
  if constexpr (kVectorBytes == 64) {  // older instruction sets have no shuffle for odd patterns
    if (columns == 3) return transpose_narrow<T, 3>(src, rows, dst, dst_stride);
    if (columns == 5) return transpose_narrow<T, 5>(src, rows, dst, dst_stride);
    if (columns == 6) return transpose_narrow<T, 6>(src, rows, dst, dst_stride);
  }
  return false;
}

// Blocks of so many columns. The last block of a side ends at its edge and writes some numbers a second time.
template <class T, int Columns, bool Streaming>
inline void transpose_blocks(const T* src, ct::index src_stride, ct::index rows, ct::index columns, T* dst,
                             ct::index dst_stride) {
  constexpr int lanes = Simd<T>::lanes;
  // Rows may lie pages apart, where the hardware sees no streams; short ones are one stream together.
  const bool apart = src_stride > 4 * lanes;
  const auto block = [&](ct::index r, ct::index c) __attribute__((always_inline)) {
    const Lines<const T, lanes> from(src + r * src_stride + c, src_stride);
    const Lines<T, Columns> to(dst + c * dst_stride + r, dst_stride);
    if (apart)
#pragma GCC unroll 16
      for (int n = 0; n < lanes; ++n) __builtin_prefetch(from(n) + 2 * lanes);
    const auto set = [&](int n, Vec<T> v) { Streaming ? stream<T>(to(n), v) : store<T>(to(n), v); };
    if constexpr (Columns == lanes)
      transpose_block<T>(from, set);
    else
      transpose_strip<T>(from, set);
  };
  const auto each = [](ct::index size, ct::index side, ct::index first, const auto& body) {
    for (ct::index at = 0, step = first;; step = side) {
      body(at);
      if (at + side >= size) break;
      at = at + step + side <= size ? at + step : size - side;
    }
  };
  if (!apart || dst_stride >= src_stride) {
    each(columns, Columns, Columns,
         [&](ct::index c) { each(rows, lanes, lanes, [&](ct::index r) { block(r, c); }); });
  } else {
    // Rows of planes may share the same few sets of the caches: a few rows at a time, and all blocks but the
    // first begin with a cache line of the first row, or they would share most lines with their neighbours.
    // That costs another block, which few would not pay for.
    const auto begin = reinterpret_cast<std::uintptr_t>(src) / sizeof(T);
    const ct::index past = columns >= 4 * Columns ? ct::index(begin % Columns) : 0;
    each(rows, lanes, lanes,
         [&](ct::index r) { each(columns, Columns, Columns - past, [&](ct::index c) { block(r, c); }); });
  }
}

template <class T>
inline void copy_few(const T* src, ct::index count, T* dst) {
  constexpr int few = 16 / int(sizeof(T));
  ct::index n = 0;
  for (; n + few <= count; n += few) __builtin_memcpy(dst + n, src + n, sizeof(T) * few);
  for (; n < count; ++n) dst[n] = src[n];
}

// Rows of `count` numbers. Whole cache lines go around the caches; lines that a row shares with what is
// before or behind it must not, for their other part may be on its way as well.
template <class T>
void copy_streaming(const T* src, ct::index src_stride, ct::index rows, ct::index count, T* dst,
                    ct::index dst_stride) {
  constexpr ct::index lanes = Simd<T>::lanes, line = 64 / ct::index(sizeof(T));
  for (ct::index r = 0; r < rows; ++r, src += src_stride, dst += dst_stride) {
    const ct::index to_line = ct::index(-reinterpret_cast<std::uintptr_t>(dst) % 64 / sizeof(T));
    const ct::index begin = to_line < count ? to_line : count;
    const ct::index end = begin + (count - begin) / line * line;
    copy_few(src, begin, dst);
    for (ct::index n = begin; n < end; n += lanes) stream<T>(dst + n, load(src + n));
    copy_few(src + end, count - end, dst + end);
  }
}

// Rows of `count` numbers between zeros.
template <class T>
void pad_rows(const T* src, ct::index src_stride, ct::index rows, ct::index before, ct::index count,
              ct::index after, T* dst, ct::index dst_stride) {
  constexpr int lanes = Simd<T>::lanes;
  for (ct::index r = 0; r < rows; ++r, src += src_stride, dst += dst_stride) {
    for (ct::index n = 0; n < before; ++n) dst[n] = 0;
    T* to = dst + before;
    if (count >= lanes) {
      for (ct::index n = 0; n + lanes <= count; n += lanes) {
        __builtin_prefetch(src + src_stride + n);  // the next row, which may begin anywhere
        store(to + n, load(src + n));
      }
      store(to + count - lanes, load(src + count - lanes));
    } else {
      copy_few(src, count, to);
    }
    for (ct::index n = 0; n < after; ++n) to[count + n] = 0;
  }
}

// N vectors a, b, c, ... become N vectors that hold a0 b0 c0 ... a1 b1 c1 ...
#if !defined(__clang__)
template <class T, int N>
inline void interleave_vectors(Vec<T> (&v)[N]) {
  constexpr int lanes = Simd<T>::lanes;
  typedef decltype(Vec<T>{} < Vec<T>{}) Mask;
  Vec<T> out[N];
  if constexpr (N == 1) {
    out[0] = v[0];
  } else if constexpr (N % 2 == 0) {
    // Rows r and r + N / 2 in pairs: what is left is the same problem for half as many rows, twice.
    Mask low, high;
    for (int n = 0; n < lanes; ++n) {
      low[n] = n / 2 + (n % 2) * lanes;
      high[n] = lanes / 2 + n / 2 + (n % 2) * lanes;
    }
    Vec<T> first[N / 2], second[N / 2];
#pragma GCC unroll 8
    for (int r = 0; r < N / 2; ++r) {
      first[r] = __builtin_shuffle(v[r], v[r + N / 2], low);
      second[r] = __builtin_shuffle(v[r], v[r + N / 2], high);
    }
    if constexpr (N > 2) {
      interleave_vectors<T, N / 2>(first);
      interleave_vectors<T, N / 2>(second);
    }
#pragma GCC unroll 8
    for (int r = 0; r < N / 2; ++r) out[r] = first[r], out[r + N / 2] = second[r];
  } else {
    // Output k holds at place n the number (k * lanes + n) / N of row (k * lanes + n) % N.
#pragma GCC unroll 8
    for (int k = 0; k < N; ++k) {
      out[k] = v[0];
#pragma GCC unroll 8
      for (int r = 1; r < N; ++r) {
        Mask pick;
        for (int n = 0; n < lanes; ++n) {
          const int row = (k * lanes + n) % N, at = (k * lanes + n) / N;
          pick[n] = row == r ? lanes + at : r == 1 ? at : n;
        }
        out[k] = __builtin_shuffle(out[k], v[r], pick);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < N; ++r) v[r] = out[r];
}
#endif

template <class T, int N, bool Streaming = false>
inline void interleave_some(const T* const* rows, ct::index count, T* dst) {
  ct::index j = 0;
#if !defined(__clang__)  // Clang has other shuffles, and vectorises the plain loop
  constexpr int lanes = Simd<T>::lanes;
  constexpr bool shuffles =
      N % 2 == 0 || kVectorBytes == 64;  // older sets build odd patterns number by number
  if constexpr (shuffles)
    for (; j + lanes <= count; j += lanes, dst += N * lanes) {
      Vec<T> v[N];
#pragma GCC unroll 16
      for (int r = 0; r < N; ++r) v[r] = load(rows[r] + j);
      interleave_vectors<T, N>(v);
#pragma GCC unroll 16
      for (int r = 0; r < N; ++r)
        Streaming ? stream<T>(dst + r * lanes, v[r]) : store<T>(dst + r * lanes, v[r]);
    }
#endif
  for (; j < count; ++j, dst += N)
#pragma GCC unroll 16
    for (int r = 0; r < N; ++r) dst[r] = rows[r][j];
}

// Many rows: a transpose by square blocks. The last block of rows ends with the last row.
template <class T>
inline void interleave_many(const T* const* rows, ct::index n, ct::index count, T* dst) {
  constexpr int lanes = Simd<T>::lanes;
  ct::index j = 0;
  for (; j + lanes <= count; j += lanes)
    for (ct::index r = 0;;) {
      transpose_block<T>([&](int k) { return rows[r + k] + j; },
                         [&](int k, Vec<T> v) { store<T>(dst + (j + k) * n + r, v); });
      if (r + lanes >= n) break;
      r = r + 2 * lanes <= n ? r + lanes : n - lanes;
    }
  for (; j < count; ++j)
    for (ct::index r = 0; r < n; ++r) dst[j * n + r] = rows[r][j];
}

template <class T>
void interleave(const T* const* rows, ct::index n, ct::index count, T* dst) {
  switch (n) {
    case 1:
      return interleave_some<T, 1>(rows, count, dst);
    case 2:
      return interleave_some<T, 2>(rows, count, dst);
    case 3:
      return interleave_some<T, 3>(rows, count, dst);
    case 4:
      return interleave_some<T, 4>(rows, count, dst);
    case 5:
      return interleave_some<T, 5>(rows, count, dst);
    case 6:
      return interleave_some<T, 6>(rows, count, dst);
    case 8:
      return interleave_some<T, 8>(rows, count, dst);
    case 10:
      return interleave_some<T, 10>(rows, count, dst);
    case 12:
      return interleave_some<T, 12>(rows, count, dst);
    default:
      if (n >= Simd<T>::lanes) return interleave_many(rows, n, count, dst);
      for (ct::index j = 0; j < count; ++j, dst += n)
        for (ct::index r = 0; r < n; ++r) dst[r] = rows[r][j];
  }
}

// Whether so few rows are put together by shuffles.
template <class T>
constexpr bool interleaves(ct::index n) {
  return n < Simd<T>::lanes && (n == 2 || n == 4 || n == 6 || n == 8 || n == 10 || n == 12 ||
                                (kVectorBytes == 64 && (n == 3 || n == 5)));
}

template <class T, bool Streaming = false>
void transpose(const T* src, ct::index src_stride, ct::index rows, ct::index columns, T* dst,
               ct::index dst_stride) {
  constexpr int lanes = Simd<T>::lanes;
  // Strips of results, which leave for planes.
  if (src_stride == columns && columns == kStrip<T> && rows >= lanes)
    return transpose_blocks<T, kStrip<T>, Streaming>(src, columns, rows, columns, dst, dst_stride);
  if (!Streaming && src_stride == columns && columns < lanes && rows >= lanes)
    if (transpose_narrow(src, rows, columns, dst, dst_stride)) return;
  if (!Streaming && dst_stride == rows && columns >= lanes && interleaves<T>(rows)) {
    const T* row[lanes];
    for (ct::index r = 0; r < rows; ++r) row[r] = src + r * src_stride;
    return interleave(row, rows, columns, dst);
  }
  if (rows < lanes || columns < lanes)
    return transpose_small(src, src_stride, rows, columns, dst, dst_stride);
  // Lines of results that lie whole pages apart share the sets of the first cache, which hold eight.
  if (!Streaming && dst_stride * ct::index(sizeof(T)) % 4096 == 0)
    transpose_blocks<T, kStrip<T>, false>(src, src_stride, rows, columns, dst, dst_stride);
  else
    transpose_blocks<T, lanes, Streaming>(src, src_stride, rows, columns, dst, dst_stride);
}

// The same around the caches, for the usual strides and where dst is aligned to vectors; false elsewhere.
template <class T>
bool interleave_streaming(const T* const* rows, ct::index n, ct::index count, T* dst) {
  const bool aligned = reinterpret_cast<std::uintptr_t>(dst) % kVectorBytes == 0;
  switch (aligned ? n : 0) {
    case 1:
      interleave_some<T, 1, true>(rows, count, dst);
      return true;
    case 2:
      interleave_some<T, 2, true>(rows, count, dst);
      return true;
    case 4:
      interleave_some<T, 4, true>(rows, count, dst);
      return true;
    case 8:
      interleave_some<T, 8, true>(rows, count, dst);
      return true;
    default:
      return false;
  }
}

// Zero times a number is zero, unless the number is an infinity or NaN, and a NaN stays in its sum.
template <class T>
bool finite(const T* src, ct::index count) {
  constexpr int lanes = Simd<T>::lanes;
  Vec<T> sum[4] = {};
  const Vec<T> zero = {};
  ct::index n = 0;
  for (; n + 4 * lanes <= count; n += 4 * lanes)
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) sum[v] += load(src + n + v * lanes) * zero;
  T last = 0;
  for (; n < count; ++n) last += src[n] * T(0);
  const Vec<T> total = sum[0] + sum[1] + sum[2] + sum[3];
  for (int lane = 0; lane < lanes; ++lane) last += total[lane];
  return last == T(0);
}

// Independent chains of fused multiply-adds: as many as hide the latency, few enough for registers.
constexpr int kPeakChains = 12;

template <class T>
double fma_chain(ct::index iterations) {
  Vec<T> acc[kPeakChains];
  // No compiler may know these numbers: it would compute what it can, and the peak would be too high.
  const Vec<T> x = splat(T(1) - T(1) / T(iterations)), y = splat(T(1) / T(iterations));
#pragma GCC unroll 12
  for (int n = 0; n < kPeakChains; ++n) acc[n] = splat(T(n));
  for (ct::index it = 0; it < iterations; ++it) {
#pragma GCC unroll 12
    for (int n = 0; n < kPeakChains; ++n) acc[n] = acc[n] * x + y;
  }
  double sum = 0;
  for (int n = 0; n < kPeakChains; ++n)
    for (int lane = 0; lane < Simd<T>::lanes; ++lane) sum += double(acc[n][lane]);
  return sum;
}

}  // namespace
