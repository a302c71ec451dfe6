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
  index lines, w_taps;   // lines of taps along w
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
    item_sums_ = r_.w_taps * r_.panel * r_.table->lanes;
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
          add_line(item % r_.lines, sums_ + (item - begin_) * item_sums_);
      }
      for (index item = begin; item < end; ++item)
        write_line(item % r_.lines, sums_ + (item - begin_) * item_sums_);
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

  // One line of taps: several of them at once where all meet the outputs, one by one at the ends.
  void add_line(index line, T* sums) {
    const Axis* axes = r_.blocks.axes;
    const index t[2] = {line / axes[1].k, line % axes[1].k};
    index begin[2], end[2];
    for (int a = 0; a < 2; ++a) r_.blocks.joined(box_, a, t[a], t[a], begin[a], end[a]);
    if (begin[0] >= end[0] || begin[1] >= end[1]) return;
    for (index tw = 0; tw < r_.w_taps; tw += KernelTable<T>::kMaxDepthwiseTaps) {
      const index taps = std::min<index>(KernelTable<T>::kMaxDepthwiseTaps, r_.w_taps - tw);
      index inner = box_.lo[2], inner_end = box_.hi[2];
      for (index m = 0; m < taps; ++m) {
        index first, stop;
        r_.blocks.joined(box_, 2, tw + m, tw + m, first, stop);
        inner = std::max(inner, first);
        inner_end = std::min(inner_end, stop);
      }
      inner_end = std::max(inner, inner_end);
      const auto add = [&](index tap, index count, index w0, index w1) {
        if (w0 < w1) add_taps({t[0], t[1], tap}, count, begin, end, w0, w1, sums);
      };
      add(tw, taps, inner, inner_end);
      for (index m = 0; m < taps; ++m) {
        index first, stop;
        r_.blocks.joined(box_, 2, tw + m, tw + m, first, stop);
        add(tw + m, 1, first, std::min(inner, stop));
        add(tw + m, 1, std::max(inner_end, first), stop);
      }
    }
  }

  struct Tap {
    index d, h, w;
  };

  void add_taps(const Tap& tap, index taps, const index (&begin)[2], const index (&end)[2], index w0,
                index w1, T* sums) {
    const Axis* axes = r_.blocks.axes;
    const index lanes = r_.table->lanes, pitch = r_.panel * lanes;
    const index from[kAxes] = {begin[0], begin[1], w0}, to[kAxes] = {end[0], end[1], w1};
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
    tile.count = w1 - w0;
    tile.x_step = x_.stride[2];
    tile.y_step = y_.stride[2] * axes[2].s;
    tile.y_tap = y_.stride[2] * axes[2].d;
    tile.sums_stride = pitch;
    const index origin = r_.first_channel(vector_);
    for (index v = 0; v < vectors_;) {
      tile.offset = r_.first_channel(vector_ + v) - origin;
      tile.sums = sums + tap.w * pitch + v * lanes;
      // Those that lie side by side go together.
      index some = vectors_ - v;
      while (r_.first_channel(vector_ + v + some - 1) - origin != tile.offset + (some - 1) * lanes) --some;
      r_.table->depthwise_gradient[some - 1][taps - 1](tile);
      v += some;
    }
  }

  void write_line(index line, const T* sums) const {
    const index lanes = r_.table->lanes;
    for (index t = 0; t < r_.w_taps; ++t)
      for (index v = 0; v < r_.panel; ++v, sums += lanes) {
        if (v >= vectors_) continue;
        const index begin = (vector_ + v) * lanes, first = r_.first_channel(vector_ + v);
        T* const to = r_.out + (line * r_.w_taps + t) * r_.x.c + begin;
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
    const Axis &h = axes[1], &w = axes[2];
    const bool planar = x.stride[2] == 1 && y.stride[2] == 1 && x.size[2] >= table.lanes;
    if (!planar || h.k != w.k || h.s != w.s || h.d != 1 || w.d != 1) return nullptr;
    for (const DepthwiseKernel<T>& k : table.depthwise)
      if (k.kernel_size == w.k && k.stride == w.s && k.plane_gradient) return &k;
    return nullptr;
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
  if (threads < 1) threads = default_threads();
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
  r.panel = tile_size(r.vectors, r.table->max_depthwise_vectors);
  r.lines = axes[0].k * axes[1].k;
  r.w_taps = axes[2].k;
  r.copied = x.stride_c != 1 || y.stride_c != 1 || x.c < lanes;

  // A box stays in the second cache while all taps pass over it.
  const index l2 = l2_bytes();
  const index pitch = r.panel * lanes;
  const auto elements = [&] { return (r.blocks.x_positions() + r.blocks.y_positions(kNoPadding)) * pitch; };
  while (elements() > l2 / 2 / index(sizeof(T)) && r.blocks.halve()) {
  }
  r.x_elements = r.copied ? r.blocks.x_positions() * pitch : 0;
  r.y_elements = r.copied ? r.blocks.y_positions(kNoPadding) * pitch : 0;
  r.items = ceil_div(r.vectors, r.panel) * r.lines;
  // Tasks that copy share out panels first: each panel is copied by as few of them as possible.
  r.items_per_task = ceil_div(r.items, std::min<index>(r.items, r.copied ? threads : 4 * threads));
  return run_items<Task<T>>(r, threads, should_stop);
}

template bool depthwise_kernel_gradient<float>(const View<const float>&, const View<const float>&, float*,
                                               const Axis (&)[kAxes], const Path&, int, ShouldStop, bool);
template bool depthwise_kernel_gradient<double>(const View<const double>&, const View<const double>&, double*,
                                                const Axis (&)[kAxes], const Path&, int, ShouldStop, bool);

}  // namespace ct
