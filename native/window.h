// What the kernel gradients share: boxes of positions that stay in cache, and copies of what they need.
#pragma once
#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "core.h"
#include "schedule.h"
#include "threads.h"

namespace ct {

// Images [n0, n1) and positions [lo, hi) of each axis.
struct Box {
  index n0, n1, lo[kAxes], hi[kAxes];

  index positions() const { return (n1 - n0) * (hi[0] - lo[0]) * (hi[1] - lo[1]) * (hi[2] - lo[2]); }
};

// The positions of the inputs, cut into boxes: the same ones for every task and any number of threads.
struct Blocks {
  index n, batch, size[kAxes];  // images; images and positions of a box
  const Axis* axes;

  Blocks(index images, const Axis* given) : n(images), batch(std::max<index>(images, 1)), axes(given) {
    for (int a = 0; a < kAxes; ++a) size[a] = axes[a].i;
  }
  index count() const {
    index blocks = ceil_div(n, batch);
    for (int a = 0; a < kAxes; ++a) blocks *= ceil_div(axes[a].i, size[a]);
    return blocks;
  }
  Box box(index block) const {
    Box b;
    for (int a = kAxes - 1; a >= 0; --a) {
      const index blocks = ceil_div(axes[a].i, size[a]);
      b.lo[a] = block % blocks * size[a];
      b.hi[a] = std::min(b.lo[a] + size[a], axes[a].i);
      block /= blocks;
    }
    b.n0 = block * batch;
    b.n1 = std::min(b.n0 + batch, n);
    return b;
  }
  // Smaller boxes, as long as there are any: fewer images first, then fewer lines, then shorter ones.
  bool halve() { return halve(batch, 1) || halve(size[0], 1) || halve(size[1], 1) || halve(size[2], 64); }
  static bool halve(index& length, index smallest) {
    if (length <= smallest) return false;
    length = ceil_div(length, 2);
    return true;
  }
  index x_positions() const { return batch * size[0] * size[1] * size[2]; }
  // Most positions of the outputs that a box reaches; a padded axis keeps those outside of the array.
  index y_positions(const bool (&padded)[kAxes]) const {
    index count = batch;
    for (int a = 0; a < kAxes; ++a) {
      const index reach = (size[a] - 1) * axes[a].s + (axes[a].k - 1) * axes[a].d + 1;
      count *= padded[a] ? reach : std::min(reach, axes[a].o);
    }
    return count;
  }
  // Whether the zeros around the outputs are not much more than the outputs.
  static bool paddable(const Axis& a) { return (a.i - 1) * a.s + (a.k - 1) * a.d < 4 * a.o + 64; }
  // The positions of the outputs that a box of the inputs reaches.
  Box reached(const Box& x, const bool (&padded)[kAxes]) const {
    Box y = x;
    for (int a = 0; a < kAxes; ++a) {
      y.lo[a] = x.lo[a] * axes[a].s - axes[a].lo;
      y.hi[a] = (x.hi[a] - 1) * axes[a].s + (axes[a].k - 1) * axes[a].d - axes[a].lo + 1;
      if (padded[a]) continue;
      y.lo[a] = std::clamp<index>(y.lo[a], 0, axes[a].o);
      y.hi[a] = std::clamp<index>(y.hi[a], y.lo[a], axes[a].o);
    }
    return y;
  }
  // Positions [begin, end) of a box along an axis that at least one of the taps [first, last] joins with an
  // output. For one tap they are exact: x[i] belongs to y[i * s + t * d - lo].
  void joined(const Box& x, int a, index first, index last, index& begin, index& end) const {
    const Axis& axis = axes[a];
    begin = std::max(x.lo[a], -floor_div(last * axis.d - axis.lo, axis.s));
    end = std::min(x.hi[a], -floor_div(first * axis.d - axis.lo - axis.o, axis.s));
  }
};

// Channels-last memory that is addressed by the positions of the whole array.
template <class T>
struct Window {
  const T* base;  // of position 0, 0, 0 of image 0
  index stride_n, stride[kAxes];

  const T* at(index n, index d, index h, index w) const {
    return base + n * stride_n + d * stride[0] + h * stride[1] + w * stride[2];
  }
};

template <class T>
Window<T> whole_array(const View<const T>& a, index channel) {
  return {a.data + channel * a.stride_c, a.stride_n, {a.stride[0], a.stride[1], a.stride[2]}};
}

// A box that lies in memory of its own, `pitch` elements per position.
template <class T>
Window<T> window_of(const T* memory, const Box& box, index pitch) {
  Window<T> w;
  w.stride[2] = pitch;
  w.stride[1] = (box.hi[2] - box.lo[2]) * w.stride[2];
  w.stride[0] = (box.hi[1] - box.lo[1]) * w.stride[1];
  w.stride_n = (box.hi[0] - box.lo[0]) * w.stride[0];
  w.base = memory - box.n0 * w.stride_n - box.lo[0] * w.stride[0] - box.lo[1] * w.stride[1] -
           box.lo[2] * w.stride[2];
  return w;
}

// Lines that follow each other in memory, whole in the box, become one line, along the axes from `outermost`
// on.
template <class T>
void join_lines(View<const T>& a, Box& box, int outermost) {
  for (int outer = 1; outer >= outermost; --outer) {
    const int inner = outer + 1;
    if (inner == 1) {  // the lines of w have been joined with h before, or h has nothing to join
      if (a.size[1] != 1 || box.lo[1] != 0 || box.hi[1] != 1) return;
    }
    const index size = a.size[2];
    if (box.lo[2] != 0 || box.hi[2] != size || a.stride[outer] != size * a.stride[2]) return;
    a.size[2] *= a.size[outer];
    box.lo[2] = box.lo[outer] * size;
    box.hi[2] = box.hi[outer] * size;
    a.size[outer] = 1;
    box.lo[outer] = 0;
    box.hi[outer] = 1;
  }
}

// Whether a tap joins the output at this position, and whether there are positions that none does.
inline bool is_joined(const Axis& a, index position) {
  const index place = position + a.lo;
  for (index t = 0; t < a.k; ++t)
    if ((place - t * a.d) % a.s == 0) return true;
  return false;
}
inline bool has_gaps(const Axis& a) { return std::min(a.k, a.s / std::gcd(a.s, a.d)) < a.s; }

// A copy of some channels of a box, channels last with `pitch` elements per position; zeros lie between the
// channels and the pitch, and outside of the array. Lines of outputs that no tap of `reads` joins are left
// out: their memory keeps what it had.
template <class T>
Window<T> copy_window(const KernelTable<T>& table, View<const T> a, index channel, index channels, Box box,
                      index pitch, T* to, const Axis* reads = nullptr) {
  const Window<T> window = window_of<T>(to, box, pitch);
  const bool gaps[2] = {reads && has_gaps(reads[0]), reads && has_gaps(reads[1])};
  join_lines(a, box, gaps[1] ? 2 : gaps[0] ? 1 : 0);
  const index width = box.hi[2] - box.lo[2], line = width * pitch;
  const index inside = std::clamp<index>(0, box.lo[2], box.hi[2]);
  const index inside_end = std::clamp<index>(a.size[2], inside, box.hi[2]);
  const index before = inside - box.lo[2], count = inside_end - inside;
  const auto clear = [](T* p, index elements) { std::memset(p, 0, sizeof(T) * std::size_t(elements)); };
  for (index n = box.n0; n < box.n1; ++n)
    for (index d = box.lo[0]; d < box.hi[0]; ++d)
      for (index h = box.lo[1]; h < box.hi[1]; ++h, to += line) {
        if ((gaps[0] && !is_joined(reads[0], d)) || (gaps[1] && !is_joined(reads[1], h))) continue;
        if (d < 0 || d >= a.size[0] || h < 0 || h >= a.size[1] || count == 0) {
          clear(to, line);
          continue;
        }
        const T* from = a.data + n * a.stride_n + d * a.stride[0] + h * a.stride[1] + inside * a.stride[2] +
                        channel * a.stride_c;
        T* const row = to + before * pitch;
        clear(to, before * pitch);
        clear(row + count * pitch, (width - before - count) * pitch);
        if ((a.stride_c == 1 || channels == 1) && a.stride[2] == channels && pitch == channels) {
          table.pad_rows(from, 0, 1, 0, count * channels, 0, row, 0);
        } else if (a.stride_c == 1) {
          table.pad_rows(from, a.stride[2], count, 0, channels, pitch - channels, row, pitch);
        } else {
          if (pitch > channels) clear(row, count * pitch);
          if (a.stride[2] == 1) {
            table.transpose(from, a.stride_c, channels, count, row, pitch);
          } else {
            for (index j = 0; j < count; ++j)
              for (index c = 0; c < channels; ++c)
                row[j * pitch + c] = from[j * a.stride[2] + c * a.stride_c];
          }
        }
      }
  return window;
}

// Rows of positions that taps join: of the inputs, and where their outputs begin.
template <class T>
struct JoinedRows {
  std::vector<const T*> x, y;
  std::vector<index> counts;

  // Positions [begin, end) of the images of a box; position p belongs to output p * step + shift.
  void collect(const Box& box, const Window<T>& inputs, const Window<T>& outputs, const index (&begin)[kAxes],
               const index (&end)[kAxes], const index (&step)[kAxes], const index (&shift)[kAxes]) {
    x.clear();
    y.clear();
    counts.clear();
    for (index n = box.n0; n < box.n1; ++n)
      for (index d = begin[0]; d < end[0]; ++d)
        for (index h = begin[1]; h < end[1] && begin[2] < end[2]; ++h) {
          x.push_back(inputs.at(n, d, h, begin[2]));
          y.push_back(
              outputs.at(n, d * step[0] + shift[0], h * step[1] + shift[1], begin[2] * step[2] + shift[2]));
          counts.push_back(end[2] - begin[2]);
        }
  }
};

// The items of a gradient; a task gets some that follow each other.
template <class Task, class Run>
bool run_items(const Run& run, int threads, ShouldStop should_stop) {
  const auto body = [&](index task) {
    const index begin = task * run.items_per_task;
    Task(run, begin, std::min(begin + run.items_per_task, run.items)).run();
  };
  return parallel_for(ceil_div(run.items, run.items_per_task), threads, body, should_stop);
}

// What the kernel gradients work on, and the items that their tasks share out.
template <class T>
struct GradientRun {
  View<const T> x, y;
  const KernelTable<T>* table;
  index groups, c_in, c_out;  // channels per group
  Blocks blocks;
  index items, items_per_task;

  GradientRun(const View<const T>& given_x, const View<const T>& given_y, const Axis* axes, index count,
              const Path& path)
      : x(given_x),
        y(given_y),
        table(&kernels<T>(path)),
        groups(count),
        c_in(x.c / count),
        c_out(y.c / count),
        blocks(given_x.n, axes) {}
};

}  // namespace ct
