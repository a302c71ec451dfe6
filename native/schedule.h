// The arithmetic of one axis that all methods share: residue classes of destinations, their taps, and
// which source positions a block of destinations reads.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "core.h"
#include "cpu.h"

namespace ct {

inline index ceil_div(index a, index b) { return (a + b - 1) / b; }
inline index floor_div(index a, index b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// A residue class of destinations of one axis and its taps.
struct AxisClass {
  index residue;
  std::vector<AxisTap> taps;
  index taps_before;  // taps of the earlier classes of this axis
};

// The phase structure of one axis: which taps meet which residue class of destinations.
inline std::vector<AxisClass> classify(Kind kind, index k, index s, index d) {
  std::vector<AxisClass> classes(kind == Kind::forward ? s : 1);
  for (index r = 0; r < index(classes.size()); ++r) classes[r].residue = r;
  for (index t = 0; t < k; ++t) {
    if (kind == Kind::forward)
      classes[t * d % s].taps.push_back({t, t * d / s});
    else
      classes[0].taps.push_back({t, t * d});
  }
  index before = 0;
  for (auto& c : classes) {
    c.taps_before = before;
    before += index(c.taps.size());
  }
  return classes;
}

// A phase of one axis for actual sizes. Destination j is dst0 + j * dst_step for j < count; tap t of the
// class reads source shift_sign * shift + source0 + j * src_step.
struct Phase {
  const AxisClass* cls;
  index dst0, count;
  index q0;       // q of j = 0; blocks are cut in q
  index source0;  // source position of a tap with shift 0 at j = 0
};

struct AxisSchedule {
  std::vector<Phase> phases;  // those with destinations
  index dst_step, src_step, src_size;
  int shift_sign;
  index q_begin = 0, q_end = 0;

  index source(const Phase& p, const AxisTap& tap, index j) const {
    return p.source0 + j * src_step + shift_sign * tap.shift;
  }
  // Destinations [begin, end) of a phase inside the block [q, q_stop).
  void range(const Phase& p, index q, index q_stop, index& begin, index& end) const {
    begin = std::max<index>(0, q - p.q0);
    end = std::min(p.count, q_stop - p.q0);
  }
  // Destinations [begin, end) that the block [q, q_stop) of some phases reaches; none where begin >= end.
  void destinations(const Phase* some, std::size_t count, index q, index q_stop, index& begin,
                    index& end) const {
    begin = INT64_MAX;
    end = 0;
    for (const Phase* p = some; p < some + count; ++p) {
      index first, stop;
      range(*p, q, q_stop, first, stop);
      if (first >= stop) continue;
      begin = std::min(begin, p->dst0 + first * dst_step);
      end = std::max(end, p->dst0 + (stop - 1) * dst_step + 1);
    }
  }
  // The same of all phases.
  void destinations(index q, index q_stop, index& begin, index& end) const {
    destinations(phases.data(), phases.size(), q, q_stop, begin, end);
  }
  // Part of [begin, end) where at least one tap meets the source.
  void covered(const Phase& p, index& begin, index& end) const {
    index lo = end, hi = begin;
    for (const AxisTap& tap : p.cls->taps) {
      const index at0 = source(p, tap, 0);
      lo = std::min(lo, std::max(begin, -floor_div(at0, src_step)));
      hi = std::max(hi, std::min(end, -floor_div(at0 - src_size, src_step)));
    }
    if (lo >= hi) {
      end = begin;
      return;
    }
    begin = lo;
    end = hi;
  }

  // Whether a tap meets the source for one of the destinations [begin, end).
  bool meets(const Phase& p, const AxisTap& tap, index begin, index end) const {
    const index at0 = source(p, tap, 0);
    return std::max(begin, -floor_div(at0, src_step)) < std::min(end, -floor_div(at0 - src_size, src_step));
  }

  // Source positions [lo, hi) that the covered destinations of a block read, halo included.
  void window(index q, index q_stop, index& lo, index& hi) const {
    lo = INT64_MAX;
    hi = INT64_MIN;
    for (const Phase& p : phases) {
      index begin, end;
      range(p, q, q_stop, begin, end);
      if (begin >= end) continue;
      covered(p, begin, end);
      if (begin >= end) continue;
      for (const AxisTap& tap : p.cls->taps) {
        lo = std::min(lo, source(p, tap, begin));
        hi = std::max(hi, source(p, tap, end - 1) + 1);
      }
    }
    if (lo > hi) lo = hi = 0;
  }
};

inline AxisSchedule schedule_axis(Kind kind, const Axis& a, const std::vector<AxisClass>& classes) {
  AxisSchedule out;
  out.q_begin = INT64_MAX;
  out.q_end = INT64_MIN;
  if (kind == Kind::forward) {
    out.dst_step = a.s;
    out.src_step = 1;
    out.src_size = a.i;
    out.shift_sign = -1;
    for (const AxisClass& c : classes) {
      const index q0 = -floor_div(c.residue - a.lo, a.s);  // the least q with s * q + r >= lo
      const index dst0 = a.s * q0 + c.residue - a.lo;
      if (dst0 >= a.o) continue;
      out.phases.push_back({&c, dst0, ceil_div(a.o - dst0, a.s), q0, q0});
    }
  } else {
    out.dst_step = 1;
    out.src_step = a.s;
    out.src_size = a.o;
    out.shift_sign = 1;
    out.phases.push_back({&classes[0], 0, a.i, 0, -a.lo});
  }
  for (const Phase& p : out.phases) {
    out.q_begin = std::min(out.q_begin, p.q0);
    out.q_end = std::max(out.q_end, p.q0 + p.count);
  }
  if (out.phases.empty()) out.q_begin = out.q_end = 0;
  return out;
}

// The blocks of a run: boxes of q, which the tasks take one after the other, the last axis first.
struct BlockedAxes {
  AxisSchedule axis[kAxes];
  index extent[kAxes], block[kAxes], blocks[kAxes];

  void open(Kind kind, const Axis (&axes)[kAxes], const std::vector<AxisClass> (&classes)[kAxes]) {
    for (int a = 0; a < kAxes; ++a) {
      axis[a] = schedule_axis(kind, axes[a], classes[a]);
      extent[a] = axis[a].q_end - axis[a].q_begin;
      block[a] = std::max<index>(extent[a], 1);
    }
  }
  index count() {
    index all = 1;
    for (int a = 0; a < kAxes; ++a) all *= blocks[a] = ceil_div(extent[a], block[a]);
    return all;
  }
  // Block [q, q_stop) of a number, which keeps what is beyond the blocks.
  void take(index& number, index (&q)[kAxes], index (&q_stop)[kAxes]) const {
    for (int a = kAxes - 1; a >= 0; --a) {
      q[a] = axis[a].q_begin + number % blocks[a] * block[a];
      q_stop[a] = std::min(q[a] + block[a], axis[a].q_end);
      number /= blocks[a];
    }
  }
};

inline index l2_bytes() { return cpu().l2_bytes > 0 ? cpu().l2_bytes : 1 << 20; }

// Whether so many bytes that every call reads again hardly stay in the third cache, which others share.
inline bool is_far(index bytes) { return bytes > 16 << 20; }

// An axis in terms of q; taps read from `low` to `high`, relative to q.
inline DepthwiseAxis depthwise_axis(Kind kind, const Axis& axis, index low, index high, index src_stride,
                                    index dst_stride) {
  const bool forward = kind == Kind::forward;
  const auto round_up = [](index a, index b) { return -floor_div(-a, b); };
  DepthwiseAxis f;
  f.phases = forward ? axis.s : 1;
  f.src_step = forward ? 1 : axis.s;
  f.src_first = forward ? 0 : -axis.lo;
  f.dst_first = forward ? -axis.lo : 0;
  f.src_size = forward ? axis.i : axis.o;
  f.dst_size = forward ? axis.o : axis.i;
  f.begin = floor_div(-f.dst_first, f.phases);
  f.end = floor_div(f.dst_size - 1 - f.dst_first, f.phases) + 1;
  f.inner_begin =
      std::max({f.begin, round_up(-f.dst_first, f.phases), round_up(-f.src_first - low, f.src_step)});
  f.inner_end = std::min({f.end, floor_div(f.dst_size - f.dst_first, f.phases),
                          floor_div(f.src_size - 1 - f.src_first - high, f.src_step) + 1});
  f.src_stride = src_stride;
  f.dst_stride = dst_stride;
  return f;
}

// Bytes of source that a block may hold: about a third of the L2 cache.
inline index block_budget() { return std::clamp<index>(l2_bytes() / 3, 64 << 10, 512 << 10); }

template <class T>
index elements_of(const View<T>& a) {
  return a.n * a.c * a.size[0] * a.size[1] * a.size[2];
}

template <class T>
index bytes_of(const View<T>& a) {
  return elements_of(a) * index(sizeof(T));
}

// Whether a source is fetched ahead: much of it, so many times what the second cache holds, would not be
// there.
template <class T>
bool worth_fetching(const View<const T>& src, index caches) {
  return bytes_of(src) > std::max<index>(caches * l2_bytes(), 4 << 20);
}

// What the third cache keeps of an array, in second caches, of which larger ones count as so many bytes: what
// lies behind them is slower still.
constexpr index kKeptCaches = 12, kLargestSecondCache = 1 << 20;

// Whether destinations are written around the caches: an array far larger than the second cache would only
// pass through it, after being read for nothing. `caches` is how many times the second cache an array must
// be: where arithmetic hides the stores that is little, where it does not, the array had better stay in the
// third cache.
template <class T>
bool outgrows_caches(const View<T>& dst, index caches = 4) {
  return bytes_of(dst) > caches * std::min(l2_bytes(), kLargestSecondCache);
}

// The same where kernels write as they compute. Every store must then be an aligned vector: `run` channels
// from one group to the next, whole cache lines between all neighbours.
template <class T>
bool worth_streaming(const View<T>& dst, index run, index caches = 4) {
  const index line = 64;
  index misaligned = run * index(sizeof(T)) % line;
  misaligned |= index(reinterpret_cast<std::uintptr_t>(dst.data) % std::uintptr_t(line));
  if (dst.stride_c != 1) misaligned |= dst.stride_c * index(sizeof(T)) % line;
  if (dst.n > 1) misaligned |= dst.stride_n * index(sizeof(T)) % line;
  for (int a = 0; a < kAxes; ++a)
    if (dst.size[a] > 1 && dst.stride[a] != 1) misaligned |= dst.stride[a] * index(sizeof(T)) % line;
  return (dst.stride_c == 1 || dst.stride[2] == 1) && misaligned == 0 && outgrows_caches(dst, caches);
}

// Elements between neighbouring positions of scratch memory. A distance of whole pages' fractions would put
// all positions of a tile into the same few sets of the first cache; one more line spreads them.
template <class T>
index spread(index channels) {
  return channels * index(sizeof(T)) % 1024 == 0 ? channels + 64 / index(sizeof(T)) : channels;
}

// The channels of results that a transpose makes planes of at once; few positions leave all together.
template <class T>
index strip_of(const KernelTable<T>& table, index positions, index channels) {
  return positions < table.lanes ? channels : std::min<index>(table.strip, channels);
}

// Balanced tiles: 16 positions by at most 14 are 8 + 8, not 14 + 2.
inline index tile_size(index count, index largest) { return ceil_div(count, ceil_div(count, largest)); }

}  // namespace ct
