// The kernel gradient on planes, for few output channels: vectors along the positions of the inputs, which
// are read where they lie. Outputs become one plane per tap of w and phase of h, whose rows are as long as
// those of the inputs: the positions that a tap joins are then two runs of memory, whole planes where a box
// has them.
//
// Items are a few input channels each. Tasks share them out, and every task walks the same boxes of positions
// in the same order, or those of its slice. Around the outputs lie zeros: a number that is not finite may
// spread among the taps of its channels.
#include <cstring>
#include <vector>

#include "method.h"
#include "slices.h"
#include "window.h"

namespace ct {
namespace {

// Transposed inputs, which the other methods work on, pay for themselves where every one of them meets more
// taps times output channels, or more of the latter. Measured on lines of 4000, planes of 28 x 28 and 64 x 64
// and cubes of 16, for 2 to 128 input channels.
constexpr index kMostTaps = 64, kMostOutputs = 8;
// The lanes of a sum take some time to meet: runs of memory have at least so many vectors.
constexpr index kLeastVectors = 8;

template <class T>
struct Run : GradientRun<T> {
  using Base = GradientRun<T>;
  using Base::x, Base::table, Base::groups, Base::c_in, Base::c_out, Base::blocks, Base::items;
  static constexpr index kChannels = DotGradientTile<T>::kChannels;
  // Outputs lie by slice (plane of y), channel, tap or phase of w, phase of h, line.
  bool joined;          // the lines of a box follow one another, and there is a plane per tap of w
  index planes, lines;  // taps or phases of w; lines of a phase of h
  index pitch, plane, channel, slice;   // elements of a line and so on
  index slices, elements;               // those that a box meets, and all they have
  index split_elements;                 // lines of y by the phases of w
  std::vector<index> y_places, places;  // per tap of a plane and output channel; the latter in the result
  index tile;

  Run(const View<const T>& given_x, const View<const T>& given_y, const Axis* axes, index count,
      const Path& path)
      : Base(given_x, given_y, axes, count, path) {
    cut_blocks();
  }

  void cut_items() {
    items = groups * ceil_div(c_in, kChannels);
    const Axis &h = blocks.axes[1], &w = blocks.axes[2];
    for (index t = 0; t < h.k * w.k; ++t)
      for (index o = 0; o < c_out; ++o) {
        const index row = t / w.k * h.d;
        const index column = t % w.k * w.d;
        const index place = joined ? t % w.k * plane : column % w.s * plane + column / w.s;
        y_places.push_back(o * channel + place + (row % h.s * lines + row / h.s) * pitch);
        places.push_back((t * c_out + o) * x.c);
      }
    tile = tile_size(index(places.size()), table->max_dot_taps);
  }

  index run() const { return joined ? blocks.size[1] * blocks.size[2] : blocks.size[2]; }
  // Products of an input.
  index taps() const { return blocks.axes[0].k * blocks.axes[1].k * blocks.axes[2].k * c_out; }

  // Positions whose inputs stay in the first cache together with the outputs of some taps, while those of all
  // taps stay in the second.
  void cut_blocks() {
    const index size = index(sizeof(T)), first = (32 << 10) / size / (kChannels + table->max_dot_taps);
    do measure();
    while ((blocks.x_positions() > first || elements > l2_bytes() / 2 / size) && blocks.halve());
  }

  void measure() {
    const Axis &d = blocks.axes[0], &h = blocks.axes[1], &w = blocks.axes[2];
    const index(&size)[kAxes] = blocks.size;
    joined = size[1] > 1 && size[2] == x.size[2] && x.stride[1] == x.size[2];
    planes = joined ? w.k : std::min(w.s, (w.k - 1) * w.d + 1);
    pitch = size[2] + (joined ? 0 : (w.k - 1) * w.d / w.s);
    lines = size[1] + (h.k - 1) * h.d / h.s;
    plane = h.s * lines * pitch;
    channel = planes * plane;
    slice = c_out * channel;
    slices = (size[0] - 1) * d.s + (d.k - 1) * d.d + 1;
    elements = blocks.batch * slices * slice;
    split_elements = w.s == 1 ? 0 : (size[2] + (w.k - 1) * w.d / w.s + 2) * w.s * lines * h.s;
  }
};

template <class T>
class Task {
 public:
  Task(const Run<T>& run, index begin, index end, T* sums)
      : r_(run), begin_(begin), end_(end), sums_(sums), rows_(std::size_t(run.blocks.axes[0].k)) {
    planes_ = static_cast<T*>(scratch(sizeof(T) * std::size_t(r_.elements + r_.split_elements)));
    split_ = planes_ + r_.elements;
  }

  // Boxes [begin, end); `fresh`: the first sets the sums.
  void run(index begin, index end, bool fresh) {
    const index tiles = r_.items / r_.groups;
    for (index block = begin; block < end; ++block) {
      box_ = r_.blocks.box(block);
      index group = -1;
      for (index item = begin_; item < end_; ++item) {
        if (group != item / tiles) open(group = item / tiles);
        multiply(group, item % tiles * Run<T>::kChannels, fresh && block == begin);
      }
    }
  }

 private:
  void open(index group) {
    const Axis& depth = r_.blocks.axes[0];
    const Box reached = r_.blocks.reached(box_, kUnpadded);
    const index front = box_.lo[0] * depth.s - depth.lo;  // plane of y that comes first in memory
    for (index n = box_.n0; n < box_.n1; ++n)
      for (index d = reached.lo[0]; d < reached.hi[0]; ++d) {
        if (!met(d - front)) continue;
        T* const to = planes_ + ((n - box_.n0) * r_.slices + d - front) * r_.slice;
        for (index o = 0; o < r_.c_out; ++o)
          lay_out(r_.y.data + n * r_.y.stride_n + d * r_.y.stride[0] + (group * r_.c_out + o) * r_.y.stride_c,
                  reached, to + o * r_.channel);
      }
    collect(group);
  }

  // Whether some tap brings a plane of the box to plane `at` of those it reaches.
  bool met(index at) const {
    const Axis& depth = r_.blocks.axes[0];
    for (index t = 0; t < depth.k; ++t) {
      const index from = at - t * depth.d;
      if (from >= 0 && from % depth.s == 0 && from / depth.s < box_.hi[0] - box_.lo[0]) return true;
    }
    return false;
  }

  // A plane of y for all taps, or phases, of w.
  void lay_out(const T* from, const Box& reached, T* to) {
    const Axis &h = r_.blocks.axes[1], &w = r_.blocks.axes[2];
    index first = 0, pitch = r_.y.stride[1], phase = 0;  // of the lines: first position, pitch, next phase
    const index count = reached.hi[1] - reached.lo[1];
    from += reached.lo[1] * pitch;
    if (w.s > 1) {
      first = reached.lo[2] / w.s;
      pitch = ceil_div(reached.hi[2], w.s) - first;
      phase = count * pitch;
      split(from, first, pitch, count);
      from = split_;
    }
    const index length = r_.pitch - r_.blocks.size[2] + box_.hi[2] - box_.lo[2];
    for (index n = 0; n < r_.planes; ++n, to += r_.plane) {
      // Position j of a line is position j * s + column of y, which is at + j of its phase.
      const index column = box_.lo[2] * w.s - w.lo + (r_.joined ? n * w.d : n);
      const index at = floor_div(column, w.s), residue = column - at * w.s;
      const index begin = std::clamp<index>(-at, 0, length);
      const index end = std::clamp<index>(ceil_div(reached.hi[2] - residue, w.s) - at, begin, length);
      const T* const line = begin < end ? from + residue * phase + at + begin - first : from;
      for (index p = 0; p < std::min(h.s, (h.k - 1) * h.d + 1); ++p) {
        // Lines of this phase: q is line q * s + p of those that the box reaches, in and outside of y.
        const index top = box_.lo[1] * h.s - h.lo + p;
        const index all = r_.lines - r_.blocks.size[1] + box_.hi[1] - box_.lo[1];
        const index q0 = std::clamp<index>(-floor_div(top, h.s), 0, all);
        const index q1 = std::clamp<index>(-floor_div(top - reached.hi[1], h.s), q0, all);
        T* const lines = to + p * r_.lines * r_.pitch;
        const auto clear = [&](index q, index stop) {
          std::memset(lines + q * r_.pitch, 0, sizeof(T) * std::size_t((stop - q) * r_.pitch));
        };
        clear(0, q0);
        clear(q1, all);
        if (q0 < q1)
          r_.table->pad_rows(line + (top + q0 * h.s - reached.lo[1]) * pitch, h.s * pitch, q1 - q0, begin,
                             end - begin, length - end, lines + q0 * r_.pitch, r_.pitch);
      }
    }
  }

  // Lines of y by the phases of w: (phase, line, position), positions from `first` on.
  void split(const T* from, index first, index pitch, index count) {
    const index s = r_.blocks.axes[2].s, width = r_.y.size[2], step = r_.y.stride[1];
    if (first == 0 && pitch * s == width && step == width)
      return r_.table->transpose(from, s, count * pitch, s, split_, count * pitch);
    const index whole = std::min(pitch, width / s - first);
    for (index n = 0; n < count; ++n) {
      const T* const line = from + n * step + first * s;
      T* const to = split_ + n * pitch;
      if (whole > 0) r_.table->transpose(line, s, whole, s, to, count * pitch);
      if (whole < pitch)
        for (index p = 0; p < width % s; ++p) to[p * count * pitch + whole] = line[whole * s + p];
    }
  }

  // Per tap of d the runs of positions that it joins.
  void collect(index group) {
    const Axis& depth = r_.blocks.axes[0];
    const Window<T> inputs = whole_array(r_.x, group * r_.c_in);
    Window<T> outputs;
    outputs.stride[2] = 1;
    outputs.stride[1] = r_.pitch;
    outputs.stride[0] = r_.slice;
    outputs.stride_n = r_.slices * r_.slice;
    outputs.base = planes_ - box_.n0 * outputs.stride_n - box_.lo[1] * r_.pitch - box_.lo[2];
    for (index t = 0; t < depth.k; ++t) {
      const index step[kAxes] = {depth.s, 1, 1}, shift[kAxes] = {t * depth.d - box_.lo[0] * depth.s, 0, 0};
      index begin[kAxes], end[kAxes];
      std::copy(box_.lo, box_.lo + kAxes, begin);
      std::copy(box_.hi, box_.hi + kAxes, end);
      r_.blocks.joined(box_, 0, t, t, begin[0], end[0]);
      if (r_.joined) {
        end[2] = begin[2] + (end[1] - begin[1]) * (end[2] - begin[2]);
        end[1] = begin[1] + 1;
      }
      rows_[std::size_t(t)].collect(box_, inputs, outputs, begin, end, step, shift);
    }
  }

  // All taps of some input channels.
  void multiply(index group, index channel, bool fresh) const {
    DotGradientTile<T> tile;
    tile.channels = std::min(Run<T>::kChannels, r_.c_in - channel);
    for (index c = 0; c < Run<T>::kChannels; ++c)
      tile.x_offset[c] = (channel + std::min(c, tile.channels - 1)) * r_.x.stride_c;
    tile.add = !fresh;
    const index taps = index(r_.places.size());
    tile.dst = sums_ + group * r_.c_in + channel;
    for (const JoinedRows<T>& rows : rows_) {
      tile.rows = index(rows.x.size());
      tile.x = rows.x.data();
      tile.y = rows.y.data();
      tile.count = rows.counts.data();
      for (index m = 0; m < taps; m += r_.tile) {
        const index some = std::min(r_.tile, taps - m);
        const bool last = &rows == &rows_.back() && m + some == taps;
        tile.x_ahead = last && channel + Run<T>::kChannels < r_.c_in ? Run<T>::kChannels * r_.x.stride_c : 0;
        std::copy_n(r_.y_places.begin() + m, some, tile.y_offset);
        std::copy_n(r_.places.begin() + m, some, tile.dst_offset);
        r_.table->dot_gradient[some - 1](tile);
      }
      tile.dst += taps * r_.x.c;
    }
  }

  static constexpr bool kUnpadded[kAxes] = {false, false, false};
  const Run<T>& r_;
  const index begin_, end_;  // items
  T* const sums_;
  T *planes_, *split_;
  Box box_;
  std::vector<JoinedRows<T>> rows_;  // per tap of d
};

}  // namespace

template <class T>
bool dot_gradient_applies(const View<const T>& x, const View<const T>& y, const Axis (&axes)[kAxes],
                          index groups, const Path& path) {
  if (x.stride[2] != 1 || y.stride[2] != 1) return false;
  const index c_out = y.c / groups, taps = axes[0].k * axes[1].k * axes[2].k;
  if (x.c == groups || c_out > kMostOutputs || taps * c_out > kMostTaps) return false;
  const Run<T> r(x, y, axes, groups, path);
  return r.run() >= kLeastVectors * r.table->lanes &&
         3 * r.elements <= r.blocks.x_positions() * r.taps() * r.c_in;
}

template <class T>
bool dot_kernel_gradient(const View<const T>& x, const View<const T>& y, T* out, const Axis (&axes)[kAxes],
                         index groups, const Path& path, int threads, ShouldStop should_stop, bool add) {
  Run<T> r(x, y, axes, groups, path);
  r.cut_items();
  const Slices<T> slices(out, add, r.taps() * x.c, elements_of(x) + elements_of(y), r.blocks.count());
  threads = thread_count(threads);
  // Every task lays out the outputs that it needs, so there are no more tasks than threads.
  r.items_per_task = ceil_div(r.items, slices.parts(threads, r.items));
  const double work = 2.0 * double(r.blocks.x_positions()) * double(r.taps()) * double(x.c);
  return slices.template run<Task<T>>(r, work, threads, should_stop);
}

#define CT_INSTANCE(T)                                                                                    \
  template bool dot_gradient_applies(const View<const T>&, const View<const T>&, const Axis(&)[kAxes],    \
                                     index, const Path&);                                                 \
  template bool dot_kernel_gradient(const View<const T>&, const View<const T>&, T*, const Axis(&)[kAxes], \
                                    index, const Path&, int, ShouldStop, bool);
CT_INSTANCE(float)
CT_INSTANCE(double)
#undef CT_INSTANCE

}  // namespace ct
