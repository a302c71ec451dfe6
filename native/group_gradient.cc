// The kernel gradient of groups of few channels: vectors along the output channels of several groups, while
// the input channels are permuted within their register. A permuted sample serves several taps.
//
// Items are tiles of taps of a bundle of groups. Tasks share them out, never positions, and every task walks
// the same boxes of positions in the same order. Around the outputs lie zeros: a number that is not finite
// may spread among the taps of its channels.
#include "group_window.h"
#include "method.h"

namespace ct {
namespace {

constexpr bool kPadded[kAxes] = {true, true, true};

template <class T>
struct Run : GradientRun<T> {
  using Base = GradientRun<T>;
  using Base::table, Base::c_in, Base::c_out;
  T* out;
  bool add;
  index bundle;
  GroupLayout layout;
  std::vector<std::int32_t> order;
  index taps, tile, tiles;  // of the kernel, of an item, items of a bundle
  index x_elements, y_elements, line_elements;

  Run(const View<const T>& given_x, const View<const T>& given_y, const Axis* axes, index count,
      const Path& path)
      : Base(given_x, given_y, axes, count, path),
        bundle(bundle_of(table->lanes, c_out, count)),
        layout(table->lanes, bundle, c_in),
        order(layout.template order<T>(table->lanes, c_out)) {}

  index tap_sums() const { return layout.part * table->lanes; }
  index part_sums() const { return taps * tap_sums(); }
};

template <class T>
class Task {
 public:
  Task(const Run<T>& run, index begin, index end) : r_(run), begin_(begin), end_(end) {
    const index sums = r_.layout.parts * r_.part_sums();
    const index all = sums + r_.x_elements + r_.y_elements + r_.line_elements + 2 * kGroupSlack;
    sums_ = static_cast<T*>(scratch(sizeof(T) * std::size_t(all)));
    x_memory_ = sums_ + sums;
    y_memory_ = x_memory_ + r_.x_elements + kGroupSlack;
    line_ = y_memory_ + r_.y_elements + kGroupSlack;
    std::fill_n(y_memory_ - kGroupSlack, kGroupSlack, T(0));
    std::fill_n(line_ - kGroupSlack, kGroupSlack, T(0));
  }

  void run() {
    for (index begin = begin_; begin < end_;) {
      const index bundle = begin / r_.tiles, end = std::min(end_, (bundle + 1) * r_.tiles);
      group_ = bundle * r_.bundle;
      bundled_ = std::min(r_.bundle, r_.groups - group_);
      const index first = begin % r_.tiles * r_.tile;
      const index last = std::min(((end - 1) % r_.tiles + 1) * r_.tile, r_.taps);
      std::fill_n(sums_, r_.layout.parts * r_.part_sums(), T(0));
      for (index block = 0; block < r_.blocks.count(); ++block) {
        box_ = r_.blocks.box(block);
        x_ = r_.layout.open(*r_.table, r_.x, group_, bundled_, box_, x_memory_, line_);
        y_ = copy_window(*r_.table, r_.y, group_ * r_.c_out, bundled_ * r_.c_out,
                         r_.blocks.reached(box_, kPadded), r_.bundle * r_.c_out, y_memory_);
        for (index tap = first; tap < last; tap += r_.tile) add_taps(tap, std::min(r_.tile, last - tap));
      }
      for (index tap = first; tap < last; ++tap) write(tap);
      begin = end;
    }
  }

 private:
  void add_taps(index tap, index taps) {
    const Axis* axes = r_.blocks.axes;
    GroupGradientTile<T> tile;
    index first[kAxes], last[kAxes], begin[kAxes], end[kAxes];
    for (index n = 0; n < taps; ++n) {
      const index t[kAxes] = {(tap + n) / axes[2].k / axes[1].k, (tap + n) / axes[2].k % axes[1].k,
                              (tap + n) % axes[2].k};
      tile.y_offset[n] = 0;
      for (int a = 0; a < kAxes; ++a) {
        first[a] = n ? std::min(first[a], t[a]) : t[a];
        last[a] = n ? std::max(last[a], t[a]) : t[a];
        tile.y_offset[n] += t[a] * axes[a].d * y_.stride[a];
      }
    }
    index step[kAxes], shift[kAxes];
    for (int a = 0; a < kAxes; ++a) {
      r_.blocks.joined(box_, a, first[a], last[a], begin[a], end[a]);
      step[a] = axes[a].s;
      shift[a] = -axes[a].lo;
    }
    rows_.collect(box_, x_, y_, begin, end, step, shift);
    tile.rows = index(rows_.counts.size());
    tile.x = rows_.x.data();
    tile.y = rows_.y.data();
    tile.count = rows_.counts.data();
    tile.x_step = x_.stride[2];
    tile.y_step = y_.stride[2] * axes[2].s;
    tile.order = r_.order.data();
    for (index part = 0; part < r_.layout.parts; ++part) {
      tile.x_offset = part * r_.layout.part_step();
      tile.sums = sums_ + part * r_.part_sums() + tap * r_.tap_sums();
      r_.table->group_gradient[r_.layout.part - 1][taps - 1](tile);
    }
  }

  // The sums of one tap, (part, channel, group, output channel), to (output channel, input channel).
  void write(index tap) const {
    const index lanes = r_.table->lanes;
    for (index o = 0; o < r_.c_out; ++o)
      for (index g = 0; g < bundled_; ++g) {
        T* const to = r_.out + ((tap * r_.c_out + o) * r_.groups + group_ + g) * r_.c_in;
        for (index c = 0; c < r_.c_in; ++c) {
          const T sum = sums_[c / r_.layout.part * r_.part_sums() + tap * r_.tap_sums() +
                              c % r_.layout.part * lanes + g * r_.c_out + o];
          to[c] = r_.add ? to[c] + sum : sum;
        }
      }
  }

  const Run<T>& r_;
  const index begin_, end_;
  T *sums_, *x_memory_, *y_memory_, *line_;
  index group_, bundled_;
  Box box_;
  Window<T> x_, y_;
  JoinedRows<T> rows_;
};

}  // namespace

template <class T>
bool group_gradient_applies(const View<const T>& x, const View<const T>& y, const Axis (&axes)[kAxes],
                            index groups, const Path& path) {
  const KernelTable<T>& table = kernels<T>(path);
  // With more input channels vectors along them are full enough.
  if (!bundles_fill(table, y.c / groups, groups) || 2 * (x.c / groups) > table.lanes) return false;
  for (const Axis& a : axes)
    if (!Blocks::paddable(a)) return false;
  return true;
}

template <class T>
bool group_kernel_gradient(const View<const T>& x, const View<const T>& y, T* out, const Axis (&axes)[kAxes],
                           index groups, const Path& path, int threads, ShouldStop should_stop, bool add) {
  Run<T> r(x, y, axes, groups, path);
  r.out = out;
  r.add = add;
  r.taps = axes[0].k * axes[1].k * axes[2].k;
  r.tile = tile_size(r.taps, r.table->max_group_taps[r.layout.part - 1]);
  r.tiles = ceil_div(r.taps, r.tile);
  // A box stays in the second cache while all taps pass over it.
  const auto elements = [&] {
    r.x_elements = r.blocks.x_positions() * r.layout.pitch;
    r.y_elements = r.blocks.y_positions(kPadded) * r.bundle * r.c_out;
    r.line_elements = r.layout.line_elements(r.blocks.size[2]);
    return r.x_elements + r.y_elements;
  };
  while (elements() > l2_bytes() / 2 / index(sizeof(T)) && r.blocks.halve()) {
  }
  const index bundles = ceil_div(groups, r.bundle);
  r.items = bundles * r.tiles;
  threads = thread_count(threads);
  // Every task copies the windows of its bundles, so few tasks share one.
  r.items_per_task = bundles >= threads ? r.tiles : ceil_div(r.items, std::min<index>(r.items, threads));
  return run_items<Task<T>>(r, threads, should_stop);
}

#define CT_INSTANCE(T)                                                                                      \
  template bool group_gradient_applies(const View<const T>&, const View<const T>&, const Axis(&)[kAxes],    \
                                       index, const Path&);                                                 \
  template bool group_kernel_gradient(const View<const T>&, const View<const T>&, T*, const Axis(&)[kAxes], \
                                      index, const Path&, int, ShouldStop, bool);
CT_INSTANCE(float)
CT_INSTANCE(double)
#undef CT_INSTANCE

}  // namespace ct
