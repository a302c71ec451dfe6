// The kernel gradient of depthwise layers: one channel per group, so every sum is one of element-wise
// products, along the channels, or along the rows of planes. Tasks share out channels and lines of taps,
// never positions.
#include <algorithm>
#include <cstring>
#include <vector>

#include "method.h"
#include "window.h"

namespace ct {
namespace {

template <class T>
struct Run {
  View<const T> x, y;
  const KernelTable<T>* table;
  T* out;
  bool add;
  Blocks blocks;
  index vectors, panel;  // of all channels, and of an item
  index lines, w_taps;   // items of a panel, and taps along w
  index tap_lines;       // lines of taps of an item: one, or those of a square
  bool copied;
  index x_elements, y_elements;
  index items, items_per_task;

  Run(const View<const T>& given_x, const View<const T>& given_y, const Axis* axes)
      : x(given_x), y(given_y), blocks(given_x.n, axes) {}

  // The last vector ends at the last channel, so it may repeat channels of the one before: every vector has
  // sums of its own, and nothing is added twice.
  index first_channel(index v) const {
    return std::max<index>(0, std::min(v * table->lanes, x.c - table->lanes));
  }
  index end_channel(index v) const { return std::min(first_channel(v) + table->lanes, x.c); }
};

constexpr bool kNoPadding[kAxes] = {false, false, false};

template <class T>
class Task {
 public:
  Task(const Run<T>& run, index begin, index end) : r_(run), begin_(begin), end_(end) {
    item_sums_ = r_.tap_lines * line_stride();
    const index sums = (end_ - begin_) * item_sums_;
    sums_ = static_cast<T*>(scratch(sizeof(T) * std::size_t(sums + r_.y_elements + r_.x_elements)));
    std::memset(sums_, 0, sizeof(T) * std::size_t(sums));
    y_memory_ = sums_ + sums;
    x_memory_ = y_memory_ + r_.y_elements;
  }

  void run() {
    for (index begin = begin_; begin < end_;) {
      const index panel = begin / r_.lines, end = std::min(end_, (panel + 1) * r_.lines);
      vector_ = panel * r_.panel;
      vectors_ = std::min(r_.panel, r_.vectors - vector_);
      for (index block = 0; block < r_.blocks.count(); ++block) {
        box_ = r_.blocks.box(block);
        open();
        for (index item = begin; item < end; ++item)
          add_item(item % r_.lines, sums_ + (item - begin_) * item_sums_);
      }
      for (index item = begin; item < end; ++item)
        write_item(item % r_.lines, sums_ + (item - begin_) * item_sums_);
      begin = end;
    }
  }

 private:
  void open() {
    const index channel = r_.first_channel(vector_);
    if (!r_.copied) {
      x_ = whole_array(r_.x, channel);
      y_ = whole_array(r_.y, channel);
      return;
    }
    const index channels = r_.end_channel(vector_ + vectors_ - 1) - channel;
    const index pitch = std::max<index>(channels, r_.table->lanes);
    x_ = copy_window(*r_.table, r_.x, channel, channels, box_, pitch, x_memory_);
    y_ = copy_window(*r_.table, r_.y, channel, channels, r_.blocks.reached(box_, kNoPadding), pitch,
                     y_memory_);
  }

  // The lines of taps of an item: all of them at once where all meet the outputs, one by one at the ends.
  void add_item(index item, T* sums) {
    const Axis* axes = r_.blocks.axes;
    const index lines = r_.tap_lines, groups = axes[1].k / lines;
    const index d = item / groups, h = item % groups * lines;
    index begin, end;
    joined_by_all(1, h, lines, begin, end);
    add_lines(d, h, lines, begin, end, sums);
    for (index n = 0; n < lines; ++n) {
      index first, stop;
      r_.blocks.joined(box_, 1, h + n, h + n, first, stop);
      T* const to = sums + n * line_stride();
      add_lines(d, h + n, 1, first, std::min(begin, stop), to);
      add_lines(d, h + n, 1, std::max(end, first), stop, to);
    }
  }

  // Positions of the box that all of some neighbouring taps join with outputs.
  void joined_by_all(int a, index tap, index taps, index& begin, index& end) const {
    begin = box_.lo[a];
    end = box_.hi[a];
    for (index m = 0; m < taps; ++m) {
      index first, stop;
      r_.blocks.joined(box_, a, tap + m, tap + m, first, stop);
      begin = std::max(begin, first);
      end = std::min(end, stop);
    }
    end = std::max(begin, end);
  }

  // Lines of taps, and lines [h0, h1) of the inputs.
  void add_lines(index d, index h, index lines, index h0, index h1, T* sums) {
    index d0, d1;
    r_.blocks.joined(box_, 0, d, d, d0, d1);
    if (d0 >= d1 || h0 >= h1) return;
    for (index tw = 0; tw < r_.w_taps; tw += KernelTable<T>::kMaxDepthwiseTaps) {
      const index taps = std::min<index>(KernelTable<T>::kMaxDepthwiseTaps, r_.w_taps - tw);
      index begin, end;
      joined_by_all(2, tw, taps, begin, end);
      add_taps({d, h, tw}, lines, taps, {d0, h0, begin}, {d1, h1, end}, sums);
      for (index n = 0; n < lines; ++n)
        for (index m = 0; m < taps; ++m) {
          index first, stop;
          r_.blocks.joined(box_, 2, tw + m, tw + m, first, stop);
          T* const to = sums + n * line_stride();
          add_taps({d, h + n, tw + m}, 1, 1, {d0, h0, first}, {d1, h1, std::min(begin, stop)}, to);
          add_taps({d, h + n, tw + m}, 1, 1, {d0, h0, std::max(end, first)}, {d1, h1, stop}, to);
        }
    }
  }

  struct Place {
    index d, h, w;
  };

  void add_taps(const Place& tap, index lines, index taps, const Place& begin, const Place& end, T* sums) {
    if (begin.w >= end.w) return;
    const Axis* axes = r_.blocks.axes;
    const index lanes = r_.table->lanes, pitch = r_.panel * lanes;
    const index from[kAxes] = {begin.d, begin.h, begin.w}, to[kAxes] = {end.d, end.h, end.w};
    const index t[kAxes] = {tap.d, tap.h, tap.w};
    index step[kAxes], shift[kAxes];
    for (int a = 0; a < kAxes; ++a) {
      step[a] = axes[a].s;
      shift[a] = t[a] * axes[a].d - axes[a].lo;
    }
    rows_.collect(box_, x_, y_, from, to, step, shift);
    DepthwiseGradientTile<T> tile;
    tile.rows = index(rows_.x.size());
    tile.x = rows_.x.data();
    tile.y = rows_.y.data();
    tile.count = end.w - begin.w;
    tile.x_step = x_.stride[2];
    tile.y_step = y_.stride[2] * axes[2].s;
    tile.y_tap = y_.stride[2] * axes[2].d;
    tile.y_line = y_.stride[1] * axes[1].d;
    tile.sums_stride = pitch;
    tile.line_stride = line_stride();
    const auto& kernel = lines > 1 ? r_.table->depthwise_gradient_square : r_.table->depthwise_gradient;
    const index origin = r_.first_channel(vector_);
    for (index v = 0; v < vectors_;) {
      tile.offset = r_.first_channel(vector_ + v) - origin;
      tile.sums = sums + tap.w * pitch + v * lanes;
      // Those that lie side by side go together.
      index some = vectors_ - v;
      while (r_.first_channel(vector_ + v + some - 1) - origin != tile.offset + (some - 1) * lanes) --some;
      kernel[some - 1][taps - 1](tile);
      v += some;
    }
  }

  index line_stride() const { return r_.w_taps * r_.panel * r_.table->lanes; }

  void write_item(index item, const T* sums) const {
    const index lanes = r_.table->lanes;
    const index taps = r_.tap_lines * r_.w_taps;
    for (index t = 0; t < taps; ++t)
      for (index v = 0; v < r_.panel; ++v, sums += lanes) {
        if (v >= vectors_) continue;
        const index begin = (vector_ + v) * lanes, first = r_.first_channel(vector_ + v);
        T* const to = r_.out + (item * taps + t) * r_.x.c + begin;
        const index count = r_.end_channel(vector_ + v) - begin;
        for (index c = 0; c < count; ++c) to[c] = (r_.add ? to[c] : T(0)) + sums[begin - first + c];
      }
  }

  const Run<T>& r_;
  const index begin_, end_;
  index item_sums_;
  index vector_, vectors_;  // of the panel at hand
  T *sums_, *x_memory_, *y_memory_;
  Box box_;
  Window<T> x_, y_;
  JoinedRows<T> rows_;
};

// Channels first, sizes that have a kernel: a plane of the inputs and one of the outputs at a time.
template <class T>
struct Planes {
  View<const T> x, y;
  const KernelTable<T>* table;
  const DepthwiseKernel<T>* kernel;
  const Axis* axes;
  T* out;
  bool add;
  index channels_per_task;
  DepthwiseAxis w, h;

  // Null if no kernel is for these arrays.
  static const DepthwiseKernel<T>* find(const KernelTable<T>& table, const View<const T>& x,
                                        const View<const T>& y, const Axis (&axes)[kAxes]) {
    const bool planar = x.stride[2] == 1 && y.stride[2] == 1 && x.size[2] >= table.lanes;
    Shape shape;
    for (int a = 0; a < kAxes; ++a) {
      shape.k[a] = axes[a].k;
      shape.s[a] = axes[a].s;
      shape.d[a] = axes[a].d;
    }
    return planar ? plane_kernel(table, shape) : nullptr;
  }
};

template <class T>
void run_planes(const Planes<T>& r, index task) {
  const Axis& depth = r.axes[0];
  const index lanes = r.table->lanes, taps = r.axes[1].k * r.axes[2].k;
  T* const sums = static_cast<T*>(scratch(sizeof(T) * std::size_t(taps * lanes)));
  DepthwisePlane<T> plane;
  plane.sums = sums;
  plane.w = r.w;
  plane.h = r.h;
  const index first = task * r.channels_per_task;
  const index multiplier = r.y.c / r.x.c;
  for (index c = first; c < std::min(first + r.channels_per_task, r.y.c); ++c)
    for (index kd = 0; kd < depth.k; ++kd) {
      std::memset(sums, 0, sizeof(T) * std::size_t(taps * lanes));
      for (index n = 0; n < r.x.n; ++n)
        for (index d = 0; d < r.x.size[0]; ++d) {
          const index to = d * depth.s + kd * depth.d - depth.lo;
          if (to < 0 || to >= r.y.size[0]) continue;
          plane.x = r.x.data + n * r.x.stride_n + d * r.x.stride[0] + c / multiplier * r.x.stride_c;
          plane.y = r.y.data + n * r.y.stride_n + to * r.y.stride[0] + c * r.y.stride_c;
          r.kernel->plane_gradient(plane);
        }
      for (index t = 0; t < taps; ++t) {
        T* const part = sums + t * lanes;
        for (index half = lanes / 2; half > 0; half /= 2)
          for (index v = 0; v < half; ++v) part[v] += part[v + half];
        T& to = r.out[((kd * taps + t) * multiplier + c % multiplier) * r.x.c + c / multiplier];
        to = (r.add ? to : T(0)) + part[0];
      }
    }
}

}  // namespace

template <class T>
bool depthwise_gradient_applies(const View<const T>& x, const View<const T>& y, const Axis (&axes)[kAxes],
                                index groups, const Path& path) {
  if (groups == 1 || x.c != groups) return false;
  return y.c == groups || Planes<T>::find(kernels<T>(path), x, y, axes);
}

template bool depthwise_gradient_applies<float>(const View<const float>&, const View<const float>&,
                                                const Axis (&)[kAxes], index, const Path&);
template bool depthwise_gradient_applies<double>(const View<const double>&, const View<const double>&,
                                                 const Axis (&)[kAxes], index, const Path&);

template <class T>
bool depthwise_kernel_gradient(const View<const T>& x, const View<const T>& y, T* out,
                               const Axis (&axes)[kAxes], const Path& path, int threads,
                               ShouldStop should_stop, bool add) {
  threads = thread_count(threads);
  const KernelTable<T>& table = kernels<T>(path);
  if (const DepthwiseKernel<T>* kernel = Planes<T>::find(table, x, y, axes)) {
    Planes<T> r{x, y, &table, kernel, axes, out, add, ceil_div(y.c, 4 * threads), {}, {}};
    const index reach = ceil_div(axes[2].k, axes[2].s) * axes[2].s;  // kernels load whole groups of a stride
    r.w = depthwise_axis(Kind::adjoint, axes[2], 0, reach - 1, 1, 1);
    r.h = depthwise_axis(Kind::adjoint, axes[1], 0, axes[1].k - 1, y.stride[1], x.stride[1]);
    const auto body = [&](index task) { run_planes(r, task); };
    return parallel_for(ceil_div(y.c, r.channels_per_task), threads, body, should_stop);
  }
  Run<T> r(x, y, axes);
  r.table = &kernels<T>(path);
  r.out = out;
  r.add = add;
  const index lanes = r.table->lanes;
  r.vectors = ceil_div(x.c, lanes);
  r.w_taps = axes[2].k;
  // Items that have a whole square of taps read the arrays once.
  const bool square = axes[1].k == r.w_taps && r.w_taps > 1 &&
                      r.w_taps <= KernelTable<T>::kMaxDepthwiseTaps &&
                      table.max_square_vectors[r.w_taps - 1] > 0;
  r.tap_lines = square ? r.w_taps : 1;
  r.panel =
      tile_size(r.vectors, square ? table.max_square_vectors[r.w_taps - 1] : table.max_depthwise_vectors);
  r.lines = axes[0].k * axes[1].k / r.tap_lines;
  r.copied = x.stride_c != 1 || y.stride_c != 1 || x.c < lanes;

  // A box stays in the second cache while all taps pass over it.
  const index l2 = l2_bytes();
  const index pitch = r.panel * lanes;
  const auto elements = [&] { return (r.blocks.x_positions() + r.blocks.y_positions(kNoPadding)) * pitch; };
  while (elements() > l2 / 2 / index(sizeof(T)) && r.blocks.halve()) {
  }
  r.x_elements = r.copied ? r.blocks.x_positions() * pitch : 0;
  r.y_elements = r.copied ? r.blocks.y_positions(kNoPadding) * pitch : 0;
  // Panels may be cut further, because blocks do not depend on it.
  const auto panels = [&] { return ceil_div(r.vectors, r.panel); };
  while (!r.copied && r.panel > 1 && panels() * r.lines < threads) r.panel = ceil_div(r.panel, 2);
  r.items = panels() * r.lines;
  // Tasks that copy share out panels first: each panel is copied by as few of them as possible.
  r.items_per_task = ceil_div(r.items, std::min<index>(r.items, r.copied ? threads : 4 * threads));
  return run_items<Task<T>>(r, threads, should_stop);
}

template bool depthwise_kernel_gradient<float>(const View<const float>&, const View<const float>&, float*,
                                               const Axis (&)[kAxes], const Path&, int, ShouldStop, bool);
template bool depthwise_kernel_gradient<double>(const View<const double>&, const View<const double>&, double*,
                                                const Axis (&)[kAxes], const Path&, int, ShouldStop, bool);

}  // namespace ct
