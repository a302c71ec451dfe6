// One line of destinations leaves a buffer of planar rows: all phases of the last axis interleaved.
#pragma once
#include "core.h"
#include "schedule.h"

namespace ct {

// Row map[r * channels + c] of the buffer holds, for the positions q_begin ... q_end of the last axis, the
// destinations s * q + r - lo of channel c. Those inside [0, length) are written.
template <class T>
struct Line {
  static constexpr index kMostRows = 256;
  const T* buffer;  // of position q_begin
  index pitch;      // between rows
  const index* map;
  index q_begin, q_end, s, lo, length, channels;
  T* dst;  // of destination 0, channel 0
  index stride, stride_c;
  bool streams = false;  // a few rows go around the caches
  bool passes = false;   // any number of them, perhaps by way of a buffer
};

// More rows than that were not faster around the caches.
constexpr index kFewRows = 8;

// Rows become one by way of a buffer, around the caches, which takes pieces of a few thousand numbers.
template <class T>
void interleave_in_pieces(const KernelTable<T>& table, const T* const* rows, index n, index count, T* dst) {
  constexpr index room = 4096;
  T buffer[room];
  const T* at[Line<T>::kMostRows];
  const index most = std::max<index>(room / n / table.lanes, 1) * table.lanes;
  for (index j = 0; j < count; j += most) {
    const index some = std::min(most, count - j);
    for (index r = 0; r < n; ++r) at[r] = rows[r] + j;
    table.interleave(at, n, some, buffer);
    table.copy_streaming(buffer, 0, 1, some * n, dst + j * n, 0);
  }
}

// Rows become one, around the caches. Kernels do that from the first aligned number on, which may belong to
// any row: those before it come behind the others. False where there is no kernel for so many rows, or for so
// few numbers.
template <class T>
bool interleave_around(const KernelTable<T>& table, const T* const* rows, index n, index count, T* dst) {
  constexpr index kLine = 64 / index(sizeof(T));
  const index first = index(-reinterpret_cast<std::uintptr_t>(dst) % 64 / sizeof(T));
  const index row = first % n, column = first / n, whole = count - column - (row > 0);
  if (whole * n < kLine) return false;
  const T* turned[Line<T>::kMostRows];
  for (index r = row; r < n; ++r) turned[r - row] = rows[r] + column;
  for (index r = 0; r < row; ++r) turned[r + n - row] = rows[r] + column + 1;
  if (!table.interleave_streaming(turned, n, whole, dst + first)) return false;
  // What is left at both ends.
  const auto put = [&](index j, index r, index begin, index end) {
    for (T* to = dst + begin; to < dst + end; ++to) {
      *to = rows[r][j];
      if (++r == n) r = 0, ++j;
    }
  };
  put(0, 0, 0, first);
  put(column + whole, row, first + whole * n, count * n);
  return true;
}

template <class T>
void store_line(const KernelTable<T>& table, const Line<T>& a) {
  // Whole groups of s outputs inside the crop go fast; the ends go one by one.
  index fast = a.q_begin, fast_end = a.q_end;
  while (fast < fast_end && a.s * fast < a.lo) ++fast;
  while (fast_end > fast && a.s * fast_end - a.lo > a.length) --fast_end;
  const auto one = [&](index q) {
    for (index r = 0; r < a.s; ++r) {
      const index o = a.s * q + r - a.lo;
      if (o < 0 || o >= a.length) continue;
      for (index c = 0; c < a.channels; ++c)
        a.dst[o * a.stride + c * a.stride_c] = a.buffer[a.map[r * a.channels + c] * a.pitch + q - a.q_begin];
    }
  };
  for (index q = a.q_begin; q < fast; ++q) one(q);
  for (index q = fast_end; q < a.q_end; ++q) one(q);
  if (fast >= fast_end) return;
  constexpr index most = Line<T>::kMostRows;
  const T* rows[most];
  const auto move = [&](index n, T* to) {
    const index count = fast_end - fast;
    const bool around = a.passes || (a.streams && a.stride == 1);
    if (around && n <= kFewRows && interleave_around(table, rows, n, count, to)) return;
    if (a.passes) return interleave_in_pieces(table, rows, n, count, to);
    table.interleave(rows, n, count, to);
  };
  const T* at = a.buffer + fast - a.q_begin;
  const index o = a.s * fast - a.lo;
  if (a.stride_c == 1 && a.stride == a.channels && a.s * a.channels <= most) {
    for (index r = 0; r < a.s * a.channels; ++r) rows[r] = at + a.map[r] * a.pitch;
    move(a.s * a.channels, a.dst + o * a.stride);
  } else if (a.stride == 1 && a.s <= most) {
    for (index c = 0; c < a.channels; ++c) {
      for (index r = 0; r < a.s; ++r) rows[r] = at + a.map[r * a.channels + c] * a.pitch;
      move(a.s, a.dst + o + c * a.stride_c);
    }
  } else {
    for (index q = fast; q < fast_end; ++q) one(q);
  }
}

}  // namespace ct
