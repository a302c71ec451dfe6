// The kernel gradient: per tap, a product of two channel matrices summed over all positions.
//
// Tasks share out the taps and channels of the result, never the positions, and every task walks the
// same blocks of positions in the same order: no partial sums, and bits that do not depend on threads.
#include <algorithm>
#include <cstring>
#include <vector>

#include "method.h"
#include "schedule.h"

namespace ct {
namespace {

template <class T>
struct Run {
  View<const T> x, y;
  const Axis* axes;
  index groups, c_in, c_out;  // per group
  bool x_is_vector;           // vectors along the input channels, else along the output channels
  T* out;
  const KernelTable<T>* table;
  index taps, panels, items_per_task, items;
  index block[kAxes], blocks[kAxes], batch_block, batch_blocks;
  index panel_width;
};

// The part of an array that a block of positions needs, as channels-last memory.
template <class T>
struct Window {
  const T* base;  // of position 0, 0, 0 of image 0
  index stride_n, stride[kAxes];
};

template <class T>
Window<T> open_window(const KernelTable<T>& table, const View<const T>& a, index group, index channels,
                      index n0, index n1, const index (&lo)[kAxes], const index (&hi)[kAxes], T*& memory) {
  const T* first = a.data + group * channels * a.stride_c;
  if (a.stride_c == 1) return {first, a.stride_n, {a.stride[0], a.stride[1], a.stride[2]}};
  Window<T> w;
  w.stride[2] = channels;
  w.stride[1] = (hi[2] - lo[2]) * w.stride[2];
  w.stride[0] = (hi[1] - lo[1]) * w.stride[1];
  w.stride_n = (hi[0] - lo[0]) * w.stride[0];
  T* to = memory;
  w.base = to - n0 * w.stride_n - lo[0] * w.stride[0] - lo[1] * w.stride[1] - lo[2] * w.stride[2];
  for (index n = n0; n < n1; ++n)
    for (index d = lo[0]; d < hi[0]; ++d)
      for (index h = lo[1]; h < hi[1]; ++h, to += w.stride[1]) {
        const T* from = first + n * a.stride_n + d * a.stride[0] + h * a.stride[1] + lo[2] * a.stride[2];
        if (a.stride[2] == 1) {
          table.transpose(from, a.stride_c, channels, hi[2] - lo[2], to, channels);
        } else {
          for (index j = 0; j < hi[2] - lo[2]; ++j)
            for (index c = 0; c < channels; ++c)
              to[j * channels + c] = from[j * a.stride[2] + c * a.stride_c];
        }
      }
  memory = to;
  return w;
}

template <class T>
index window_elements(const Run<T>& r, bool of_y) {
  index count = r.batch_block * (of_y ? r.c_out : r.c_in);
  for (int a = 0; a < kAxes; ++a) {
    const Axis& axis = r.axes[a];
    count *= of_y ? std::min((r.block[a] - 1) * axis.s + (axis.k - 1) * axis.d + 1, axis.o)
                  : std::min(r.block[a], axis.i);
  }
  return count;
}

template <class T>
void run_items(void* context, index task) {
  const Run<T>& r = *static_cast<const Run<T>*>(context);
  const index item_begin = task * r.items_per_task;
  const index item_end = std::min(item_begin + r.items_per_task, r.items);
  const index x_elements = r.x.stride_c == 1 ? 0 : window_elements(r, false);
  const index y_elements = r.y.stride_c == 1 ? 0 : window_elements(r, true);
  T* const memory = static_cast<T*>(scratch(sizeof(T) * std::size_t(x_elements + y_elements + 64)));

  std::vector<const T*> a_rows, b_rows;
  std::vector<index> counts;
  index open_group = -1;

  index total_blocks = r.batch_blocks;
  for (int a = 0; a < kAxes; ++a) total_blocks *= r.blocks[a];
  for (index block = 0; block < total_blocks; ++block) {
    index rest = block, i0[kAxes], i1[kAxes], ylo[kAxes], yhi[kAxes];
    for (int a = kAxes - 1; a >= 0; --a) {
      const Axis& axis = r.axes[a];
      i0[a] = rest % r.blocks[a] * r.block[a];
      i1[a] = std::min(i0[a] + r.block[a], axis.i);
      ylo[a] = std::clamp<index>(i0[a] * axis.s - axis.lo, 0, axis.o);
      yhi[a] = std::clamp<index>((i1[a] - 1) * axis.s + (axis.k - 1) * axis.d - axis.lo + 1, ylo[a], axis.o);
      rest /= r.blocks[a];
    }
    const index n0 = rest * r.batch_block, n1 = std::min(n0 + r.batch_block, r.x.n);
    Window<T> x = {}, y = {};
    open_group = -1;
    for (index item = item_begin; item < item_end; ++item) {
      const index panel = item % r.panels, tap = item / r.panels % r.taps, group = item / r.panels / r.taps;
      if (group != open_group) {
        T* free_memory = memory;
        x = open_window(*r.table, r.x, group, r.c_in, n0, n1, i0, i1, free_memory);
        y = open_window(*r.table, r.y, group, r.c_out, n0, n1, ylo, yhi, free_memory);
        open_group = group;
      }
      // The positions of the block that this tap joins: x[i] with y[i * s + t * d - lo].
      index t[kAxes], begin[kAxes], end[kAxes], shift[kAxes];
      bool empty = false;
      rest = tap;
      for (int a = kAxes - 1; a >= 0; --a) {
        const Axis& axis = r.axes[a];
        t[a] = rest % axis.k;
        rest /= axis.k;
        shift[a] = t[a] * axis.d - axis.lo;
        begin[a] = std::max(i0[a], -floor_div(shift[a], axis.s));
        end[a] = std::min(i1[a], -floor_div(shift[a] - axis.o, axis.s));
        empty |= begin[a] >= end[a];
      }
      if (empty) continue;
      a_rows.clear();
      b_rows.clear();
      counts.clear();
      for (index n = n0; n < n1; ++n)
        for (index d = begin[0]; d < end[0]; ++d)
          for (index h = begin[1]; h < end[1]; ++h) {
            const T* px =
                x.base + n * x.stride_n + d * x.stride[0] + h * x.stride[1] + begin[2] * x.stride[2];
            const T* py = y.base + n * y.stride_n + (d * r.axes[0].s + shift[0]) * y.stride[0] +
                          (h * r.axes[1].s + shift[1]) * y.stride[1] +
                          (begin[2] * r.axes[2].s + shift[2]) * y.stride[2];
            a_rows.push_back(r.x_is_vector ? py : px);
            b_rows.push_back(r.x_is_vector ? px : py);
            counts.push_back(end[2] - begin[2]);
          }
      const index wide = r.x_is_vector ? r.c_in : r.c_out, other = r.x_is_vector ? r.c_out : r.c_in;
      const index v0 = panel * r.panel_width;
      GradientTile<T> tile;
      tile.rows = index(counts.size());
      tile.a = a_rows.data();
      tile.b = b_rows.data();
      tile.count = counts.data();
      tile.columns = std::min(r.panel_width, wide - v0);
      tile.b_offset = v0;
      const index x_step = x.stride[2], y_step = y.stride[2] * r.axes[2].s;
      tile.a_step = r.x_is_vector ? y_step : x_step;
      tile.b_step = r.x_is_vector ? x_step : y_step;
      const index c_in_all = r.c_in * r.groups;
      T* slice = r.out + tap * r.c_out * c_in_all + group * r.c_in;
      tile.dst_stride_m = r.x_is_vector ? c_in_all : 1;
      tile.dst_stride_v = r.x_is_vector ? 1 : c_in_all;
      const int vectors = tile.columns > r.table->lanes ? 2 : 1;
      const index largest = r.table->max_positions[vectors - 1];
      const index size = ceil_div(other, ceil_div(other, largest));
      for (index m = 0; m < other; m += size) {
        const index rows = std::min(size, other - m);
        tile.a_offset = m;
        tile.dst = slice + m * tile.dst_stride_m + v0 * tile.dst_stride_v;
        r.table->gradient[vectors - 1][rows - 1](tile);
      }
    }
  }
}

}  // namespace

template <class T>
bool kernel_gradient(const View<const T>& x, const View<const T>& y, T* out, const Axis (&axes)[kAxes],
                     index groups, const Path& path, int threads, ShouldStop should_stop) {
  Run<T> r;
  r.x = x;
  r.y = y;
  r.axes = axes;
  r.groups = groups;
  r.c_in = x.c / groups;
  r.c_out = y.c / groups;
  r.out = out;
  r.table = &kernels<T>(path);
  r.taps = axes[0].k * axes[1].k * axes[2].k;
  std::memset(out, 0, sizeof(T) * std::size_t(r.taps * r.c_out * x.c));

  // Vectors go where they fill best; on a tie along the contiguous axis of the result.
  const index lanes = r.table->lanes;
  const auto filled = [&](index c) { return double(c) / double(ceil_div(c, lanes) * lanes); };
  r.x_is_vector = filled(r.c_in) >= filled(r.c_out);
  r.panel_width = 2 * lanes;
  r.panels = ceil_div(r.x_is_vector ? r.c_in : r.c_out, r.panel_width);
  r.items = groups * r.taps * r.panels;

  // A block of positions stays in cache while all taps and channels pass over it.
  const index l2 = cpu().l2_bytes > 0 ? cpu().l2_bytes : 1 << 20;
  const index budget = l2 / 2 / index(sizeof(T));
  for (int a = 0; a < kAxes; ++a) r.block[a] = std::max<index>(axes[a].i, 1);
  r.batch_block = std::max<index>(x.n, 1);
  const auto elements = [&] { return window_elements(r, false) + window_elements(r, true); };
  while (r.batch_block > 1 && elements() > budget) r.batch_block = ceil_div(r.batch_block, 2);
  for (int a = 0; a < kAxes; ++a)
    while (r.block[a] > (a == 2 ? 64 : 1) && elements() > budget) r.block[a] = ceil_div(r.block[a], 2);
  for (int a = 0; a < kAxes; ++a) r.blocks[a] = ceil_div(axes[a].i, r.block[a]);
  r.batch_blocks = ceil_div(x.n, r.batch_block);

  if (threads < 1) threads = default_threads();
  // Every task that must copy its windows copies them all, so there are no more tasks than threads.
  const bool copies = x.stride_c != 1 || y.stride_c != 1;
  const index tasks = std::min<index>(r.items, copies ? threads : 4 * threads);
  r.items_per_task = ceil_div(r.items, std::max<index>(tasks, 1));
  return parallel_for(ceil_div(r.items, r.items_per_task), threads, &run_items<T>, &r, should_stop);
}

template bool kernel_gradient<float>(const View<const float>&, const View<const float>&, float*,
                                     const Axis (&)[kAxes], index, const Path&, int, ShouldStop);
template bool kernel_gradient<double>(const View<const double>&, const View<const double>&, double*,
                                      const Axis (&)[kAxes], index, const Path&, int, ShouldStop);

}  // namespace ct
