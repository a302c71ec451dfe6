// The kernel gradient with fewer multiplications: the forms of winograd_forms.h, transposed.
//
// The gradient of y = A ((G g) * (B d)) to g is G' ((B d) * (A' y)). Here it is the adjoint that is
// transposed: a tile of m inputs meets the m + r - 1 outputs of every residue of the stride that r taps bring
// it to. Both become points, the products of their channels are summed over all tiles, one matrix per point,
// and restored once. So all residues share the points of the inputs, and one with a tap less has nothing at
// infinity.
//
// An item has some channels of both sides, whose sums and the points of a box of tiles stay in cache. Points
// are made anew for every chunk of the other side's channels.
#include <cstring>
#include <vector>

#include "method.h"
#include "slices.h"
#include "window.h"
#include "winograd_axis.h"

namespace ct {
namespace {

// Fewer channels use a point too seldom to pay for it.
constexpr index kLeastChannels = 32;
// How much larger than a product of the direct sum what a form multiplies is, by which its rounding is too.
// Over many tiles the shorter sums make up for half of it and more.
constexpr double kNoise[kWinogradFormCount] = {1, 1.41, 1.29, 2, 1.29, 1.91, 2.64, 2, 2.64, 2.79};
constexpr double kMostNoise = 4;
constexpr index kFewTiles = 128;
// Pays where its cost is below this part of the direct sum's: both leave out what they have to wait for, but
// this waits for more.
constexpr double kPays = 0.78;
// Vector operations of direct sums that are done before a choice is made.
constexpr double kLeastWork = 1e6;
// Vector operations per vector of points, of sums that a box reads and writes or that are restored, of
// samples that are copied, more if they are few or transposed, and per tile; measured.
constexpr double kPoint = 3.5, kSums = 4, kRestore = 10, kCopy = 8, kHop = 60, kTranspose = 6, kTile = 50;
// Scratch memory of a task, in elements: an eighth of the arrays, but at least and at most so much.
constexpr index kLeastScratch = 1 << 18, kMostScratch = 1 << 19;
// Tiles of a box: fewer leave too little to do between reading and writing the sums.
constexpr index kFewestTiles = 16, kMostTiles = 64;
// Boxes whose products are restored together, whoever asks for it.
constexpr index kMostBoxes = 256;

// The form of an axis, and the residues of the stride that have taps.
struct Line {
  Axis axis;
  int form;
  index distance;  // between neighbouring taps of a class: so many strands of tiles
  std::vector<AxisClass> classes;

  Line(const Axis& of, int number, const std::vector<AxisClass>& all)
      : axis(of), form(number), distance(tap_distance(all)) {
    for (const AxisClass& c : all)
      if (!c.taps.empty()) classes.push_back(c);
  }
  const WinogradForm& shape() const { return kWinogradForms[form]; }
  index unit() const { return distance * shape().outputs; }  // positions of a tile of every strand
  index units() const { return ceil_div(axis.i, unit()); }
  // Tiles that begin in [lo, hi).
  std::vector<index> tiles(index lo, index hi) const {
    std::vector<index> begins;
    for (index at = lo; at < std::min(hi, axis.i); at += unit())
      for (index n = 0; n < distance && at + n < axis.i; ++n) begins.push_back(at + n);
    return begins;
  }
  index tile_count() const { return axis.i / unit() * distance + std::min(axis.i % unit(), distance); }
  // Points that a class meets.
  int points(const AxisClass& c) const {
    return int(c.taps.size()) == shape().taps ? shape().points : shape().points - 1;
  }
  index all_points() const {
    index sum = 0;
    for (const AxisClass& c : classes) sum += points(c);
    return sum;
  }
  // Where the first sample of a class is, from that of the first tap at the same input.
  index offset(const AxisClass& c) const { return axis.s * c.taps[0].shift + c.residue; }
  index reach() const {
    index most = 0;
    for (const AxisClass& c : classes) most = std::max(most, offset(c));
    return most;
  }
  // Products of the direct sum per pair of channels.
  double direct() const {
    double sum = 0;
    for (const AxisClass& c : classes)
      for (const AxisTap& t : c.taps) {
        const index shift = t.kernel_index * axis.d - axis.lo;
        const index begin = std::max<index>(0, -floor_div(shift, axis.s));
        const index end = std::min(axis.i, -floor_div(shift - axis.o, axis.s));
        sum += double(std::max<index>(end - begin, 0));
      }
    return sum;
  }
};

template <class T>
struct Run : GradientRun<T> {
  using Base = GradientRun<T>;
  using Base::x, Base::y, Base::table, Base::c_out;
  std::vector<Line> lines;  // of the axes
  index boxes_per_round;    // which are restored together
  index in_chunk, in_chunks, out_chunk, out_chunks;
  index in_pitch, out_pitch;  // of windows and points
  index points, sums;         // of a tile; of an item per pair of channels
  index all_tiles, tiles;     // of all images, and of the largest box
  index window;               // elements of the copy of one side at a time
  double cost;

  Run(const View<const T>& given_x, const View<const T>& given_y, const Axis* axes, index count,
      const Path& path)
      : Base(given_x, given_y, axes, count, path) {
    this->items_per_task = 1;
  }

  index rounded(index channels) const { return ceil_div(channels, table->lanes) * table->lanes; }
  index sum_elements() const { return sums * out_chunk * rounded(in_chunk); }
  index tile_elements() const { return points * (in_pitch + out_pitch); }
  index elements() const {
    return sum_elements() + points * (point_step(in_pitch) + point_step(out_pitch)) + window +
           std::max(in_pitch, out_pitch);
  }
  // Between the points of a box of so many tiles.
  index point_step(index pitch) const { return spread<T>(tiles * pitch); }
  index kernel_elements() const {
    index taps = 1;
    for (const Line& l : lines) taps *= l.axis.k;
    return taps * c_out * x.c;
  }
  index arrays() const { return elements_of(x) + elements_of(y); }
  // Scratch memory of a task, in elements.
  index budget() const { return std::clamp((arrays() + kernel_elements()) / 8, kLeastScratch, kMostScratch); }
  // The outputs that the tiles of a box read.
  Box reached(const Box& box) const {
    Box out = box;
    for (int a = 0; a < kAxes; ++a) {
      const Line& l = lines[std::size_t(a)];
      const index begin = box.lo[a] * l.axis.s - l.axis.lo;
      const index end = (box.hi[a] - 1 + l.unit() + l.distance * (l.shape().taps - 1)) * l.axis.s - l.axis.lo;
      out.lo[a] = std::clamp<index>(begin, 0, l.axis.o);
      out.hi[a] = std::clamp<index>(end + l.reach() + 1, out.lo[a], l.axis.o);
    }
    return out;
  }
};

template <class T>
class Task {
 public:
  Task(const Run<T>& run, index begin, index end, T* sums)
      : r_(run), table_(*run.table), begin_(begin), end_(end), out_(sums) {
    constexpr index line = 64 / index(sizeof(T));
    const auto whole = [&](index elements) { return ceil_div(elements, line) * line; };
    // Kernels ask for memory ahead, and whole vectors of inputs lie behind the last channel.
    const index zeros = std::max(r_.in_pitch, r_.out_pitch);
    zeros_ = static_cast<T*>(scratch(sizeof(T) * std::size_t(r_.elements() + 6 * line)));
    products_ = zeros_ + whole(zeros);
    x_points_ = products_ + whole(r_.sum_elements());
    y_points_ = x_points_ + whole(r_.points * r_.point_step(r_.in_pitch));
    window_ = y_points_ + whole(r_.points * r_.point_step(r_.out_pitch));
    std::memset(zeros_, 0, sizeof(T) * std::size_t(zeros));
    for (index m = 0; m < r_.out_chunk; ++m) places_.push_back(m * r_.rounded(r_.in_chunk));
  }

  // Rounds [begin, end); `fresh`: the first sets the sums.
  void run(index begin, index end, bool fresh) {
    for (index item = begin_; item < end_; ++item) {
      open(item);
      for (index round = begin; round < end; ++round) {
        const index first = round * r_.boxes_per_round;
        const index stop = std::min(first + r_.boxes_per_round, r_.blocks.count());
        for (index block = first; block < stop; ++block) add(block, block == first);
        restore(!(fresh && round == begin));
      }
    }
  }

 private:
  void open(index item) {
    group_ = item / r_.in_chunks / r_.out_chunks;
    in_first_ = item / r_.out_chunks % r_.in_chunks * r_.in_chunk;
    out_first_ = item % r_.out_chunks * r_.out_chunk;
    in_ = std::min(r_.in_chunk, r_.c_in - in_first_);
    out_channels_ = std::min(r_.out_chunk, r_.c_out - out_first_);
  }

  void add(index block, bool first) {
    const Box box = r_.blocks.box(block);
    count_ = box.n1 - box.n0;
    for (int a = 0; a < kAxes; ++a) {
      tiles_[a] = r_.lines[std::size_t(a)].tiles(box.lo[a], box.hi[a]);
      count_ *= index(tiles_[a].size());
    }
    x_step_ = spread<T>(count_ * r_.in_pitch);
    y_step_ = spread<T>(count_ * r_.out_pitch);
    const index x_channel = group_ * r_.c_in + in_first_, y_channel = group_ * r_.c_out + out_first_;
    transform(box, copy_window(table_, r_.x, x_channel, in_, box, r_.in_pitch, window_));
    const Window<T> y =
        copy_window(table_, r_.y, y_channel, out_channels_, r_.reached(box), r_.out_pitch, window_);
    T* sums = products_;
    const AxisClass* cls[kAxes];
    each_class(cls, [&] {
      transform(box, y, cls);
      multiply(cls, sums, first);
    });
  }

  // All combinations of classes, always in the same order.
  template <class Visit>
  void each_class(const AxisClass* (&cls)[kAxes], Visit visit) const {
    for (const AxisClass& d : r_.lines[0].classes)
      for (const AxisClass& h : r_.lines[1].classes)
        for (const AxisClass& w : r_.lines[2].classes) {
          cls[0] = &d;
          cls[1] = &h;
          cls[2] = &w;
          visit();
        }
  }

  // The tiles of a box, image by image: place(axis, begin, n) says where sample n along an axis is, or
  // kNowhere; take() finds the pointers to all of a tile in order.
  template <class Place, class Take>
  void each_tile(const Box& box, const Window<T>& window, const int (&samples)[kAxes], Place place,
                 Take take) {
    index at[kAxes][kWinogradMostPoints];  // offsets
    const auto find = [&](int a, index begin) {
      for (int n = 0; n < samples[a]; ++n) {
        const index position = place(a, begin, n);
        at[a][n] = position == kNowhere ? kNowhere : position * window.stride[a];
      }
    };
    for (index n = box.n0; n < box.n1; ++n)
      for (const index d : tiles_[0]) {
        find(0, d);
        for (const index h : tiles_[1]) {
          find(1, h);
          for (const index w : tiles_[2]) {
            find(2, w);
            const T** next = samples_;
            for (int sd = 0; sd < samples[0]; ++sd)
              for (int sh = 0; sh < samples[1]; ++sh) {
                const bool there = at[0][sd] != kNowhere && at[1][sh] != kNowhere;
                const T* const row =
                    there ? window.base + n * window.stride_n + at[0][sd] + at[1][sh] : nullptr;
                for (int sw = 0; sw < samples[2]; ++sw)
                  *next++ = there && at[2][sw] != kNowhere ? row + at[2][sw] : zeros_;
              }
            take();
          }
        }
      }
  }

  // Inputs to points.
  void transform(const Box& box, const Window<T>& x) {
    WinogradGradientInput<T> in;
    int samples[kAxes], input[kAxes];
    for (int a = 0; a < kAxes; ++a) {
      const WinogradForm& form = r_.lines[std::size_t(a)].shape();
      input[a] = form.input;
      samples[a] = winograd_outputs(form.input);
      in.last[a] = form.outputs - 1;
    }
    in.samples = samples_;
    in.depth = input[0];
    in.channels = r_.rounded(in_);
    in.dst = x_points_;
    in.point_stride = x_step_;
    const auto kernel = table_.winograd_gradient_input[input[1]][input[2]];
    const auto place = [&](int a, index begin, int n) {
      const Line& l = r_.lines[std::size_t(a)];
      const index at = begin + n * l.distance;
      return n <= in.last[a] && at < l.axis.i ? at : kNowhere;
    };
    each_tile(box, x, samples, place, [&] {
      kernel(in);
      in.dst += r_.in_pitch;
    });
  }

  // Outputs of one combination of classes to points.
  void transform(const Box& box, const Window<T>& y, const AxisClass* const (&cls)[kAxes]) {
    WinogradInput<T> in;
    int samples[kAxes], input[kAxes];
    for (int a = 0; a < kAxes; ++a) {
      input[a] = r_.lines[std::size_t(a)].shape().input;
      samples[a] = winograd_samples(input[a]);
    }
    in.samples = samples_;
    in.depth = input[0];
    in.channels = r_.rounded(out_channels_);
    in.dst = y_points_;
    in.point_stride = y_step_;
    const auto kernel = table_.winograd_input[input[1]][input[2]];
    const auto place = [&](int a, index begin, int n) {
      const Line& l = r_.lines[std::size_t(a)];
      const index at = l.axis.s * (begin + n * l.distance) - l.axis.lo + l.offset(*cls[a]);
      return at >= 0 && at < l.axis.o ? at : kNowhere;
    };
    each_tile(box, y, samples, place, [&] {
      kernel(in);
      in.dst += r_.out_pitch;
    });
  }

  // Products of all channels at the points that a combination of classes meets; `sums` moves behind them.
  void multiply(const AxisClass* const (&cls)[kAxes], T*& sums, bool first) {
    const index lanes = table_.lanes, vectors = ceil_div(in_, lanes), panel = tile_size(vectors, 2);
    const index pitch = r_.rounded(r_.in_chunk);
    int met[kAxes], all[kAxes];
    for (int a = 0; a < kAxes; ++a) {
      met[a] = r_.lines[std::size_t(a)].points(*cls[a]);
      all[a] = r_.lines[std::size_t(a)].shape().points;
    }
    const T *x, *y;
    GradientTile<T> tile;
    tile.rows = 1;
    tile.a = &y;
    tile.b = &x;
    tile.count = &count_;
    tile.a_step = r_.out_pitch;
    tile.b_step = r_.in_pitch;
    tile.dst_stride_c = 1;
    tile.add = !first;
    for (index v = 0; v < panel; ++v) tile.columns[v] = lanes;
    for (int d = 0; d < met[0]; ++d)
      for (int h = 0; h < met[1]; ++h)
        for (int w = 0; w < met[2]; ++w, sums += r_.out_chunk * pitch) {
          const index point = (d * all[1] + h) * all[2] + w;
          x = x_points_ + point * x_step_;
          y = y_points_ + point * y_step_;
          tile.dst = sums;
          for (index begin = 0; begin < vectors; begin += panel) {
            const index some = std::min(panel, vectors - begin);
            for (index v = 0; v < some; ++v) tile.b_offset[v] = tile.dst_offset[v] = (begin + v) * lanes;
            const index size = tile_size(out_channels_, table_.max_elements[some - 1]);
            for (index m = 0; m < out_channels_; m += size) {
              tile.a_offset = m;
              tile.dst_element = places_.data() + m;
              table_.gradient[some - 1][std::min(size, out_channels_ - m) - 1](tile);
            }
          }
        }
  }

  // Sums of products to the taps of the kernel.
  void restore(bool add) {
    const index pitch = r_.rounded(r_.in_chunk), all = r_.x.c;
    const T* from = products_;
    const AxisClass* cls[kAxes];
    each_class(cls, [&] {
      WinogradGradientOutput<T> out;
      T weight[kAxes][kWinogradMostTaps * kWinogradMostPoints];
      index tap = 0, step = r_.c_out * all, points = 1;
      for (int a = kAxes - 1; a >= 0; --a) {
        const Line& l = r_.lines[std::size_t(a)];
        const std::vector<AxisTap>& taps = cls[a]->taps;
        out.points[a] = l.points(*cls[a]);
        out.taps[a] = int(taps.size());
        for (int k = 0; k < out.taps[a]; ++k)
          for (int p = 0; p < out.points[a]; ++p)
            weight[a][k * out.points[a] + p] = T(l.shape().weight(p, k));
        out.weight[a] = weight[a];
        out.stride[a] = taps.size() > 1 ? step * (taps[1].kernel_index - taps[0].kernel_index) : 0;
        tap += step * taps[0].kernel_index;
        step *= l.axis.k;
        points *= out.points[a];
      }
      out.point_stride = r_.out_chunk * pitch;
      out.channels = in_;
      out.add = add;
      for (index m = 0; m < out_channels_; ++m) {
        out.src = from + m * pitch;
        out.dst = out_ + tap + (out_first_ + m) * all + group_ * r_.c_in + in_first_;
        table_.winograd_gradient_output(out);
      }
      from += points * out.point_stride;
    });
  }

  static constexpr index kNowhere = INT64_MIN;
  const Run<T>& r_;
  const KernelTable<T>& table_;
  const index begin_, end_;  // items
  T* const out_;
  T *zeros_, *products_, *x_points_, *y_points_, *window_;
  std::vector<index> places_;  // of output channels in the sums
  index group_, in_first_, out_first_, in_, out_channels_;
  std::vector<index> tiles_[kAxes];
  index count_, x_step_, y_step_;  // tiles of the box, and elements between their points
  const T* samples_[kWinogradMostPoints * kWinogradMostPoints * kWinogradMostPoints];
};

// Boxes of so many tiles at most: whole images, or parts of one.
template <class T>
void cut_boxes(Run<T>& r, index most) {
  index rest = most;
  for (int a = kAxes - 1; a >= 0; --a) {
    const Line& l = r.lines[std::size_t(a)];
    const index units = tile_size(l.units(), std::max<index>(rest / l.distance, 1));
    r.blocks.size[a] = units * l.unit();
    rest = units == l.units() ? rest / l.tile_count() : 1;
  }
  r.blocks.batch = tile_size(r.x.n, std::max<index>(rest, 1));
  const Box box = r.blocks.box(0);
  r.tiles = box.n1 - box.n0;
  for (int a = 0; a < kAxes; ++a)
    r.tiles *= index(r.lines[std::size_t(a)].tiles(box.lo[a], box.hi[a]).size());
  index y_positions = r.blocks.batch;
  for (int a = 0; a < kAxes; ++a) {
    const Line& l = r.lines[std::size_t(a)];
    y_positions *= std::min(
        l.axis.o, (r.blocks.size[a] + l.unit() + l.distance * (l.shape().taps - 1)) * l.axis.s + l.reach());
  }
  r.window = std::max(r.blocks.x_positions() * r.in_pitch, y_positions * r.out_pitch);
}

// Chunks of channels, as large as the sums of an item allow, but enough items for some threads; false if
// there are none.
template <class T>
bool cut_channels(Run<T>& r) {
  constexpr index kItems = 8, kLeastIn = 32, kLeastOut = 14;
  const index lanes = r.table->lanes;
  const double tiles = double(r.all_tiles), vectors = double(ceil_div(r.c_in, lanes));
  const double products = tiles * double(r.sums * r.c_out) * vectors;
  double x_positions = double(r.x.n), y_positions = double(r.x.n), classes = 1;
  for (const Line& l : r.lines) {
    x_positions *= double(l.axis.i);
    y_positions *= double(l.axis.o);
    classes *= double(l.classes.size());
  }
  // Of a copy that reads runs of so many vectors; planes are read in whole lines.
  const auto copy = [](const View<const T>& of, index vectors) {
    return kCopy + (of.stride_c == 1 ? kHop / double(vectors) : kTranspose);
  };
  double best = -1;
  index chosen_in = 0, chosen_out = 0;
  const auto cut = [&](index in, index out) {
    r.in_chunk = in;
    r.out_chunk = out;
    r.in_chunks = ceil_div(r.c_in, in);
    r.out_chunks = ceil_div(r.c_out, out);
    r.in_pitch = spread<T>(r.rounded(in));
    r.out_pitch = spread<T>(r.rounded(out));
  };
  const index budget = r.budget();
  for (index ins = 1; ins == 1 || r.c_in / ins >= kLeastIn; ++ins)
    for (index outs = 1; outs == 1 || r.c_out / outs >= kLeastOut; ++outs) {
      // Two vectors of inputs make the best tiles.
      const index unit = ins > 1 ? 2 * lanes : 1;
      cut(ceil_div(ceil_div(r.c_in, ins), unit) * unit, ceil_div(r.c_out, outs));
      if (r.in_chunks != ins || r.out_chunks != outs) continue;
      const double window =
          std::max(x_positions * double(r.in_pitch), 1.25 * y_positions * double(r.out_pitch));
      const index tile = r.tile_elements() + index(window / tiles);
      const index box = std::min((budget - r.sum_elements()) / tile, kMostTiles);
      if (box < kFewestTiles) continue;
      const index of_in = r.rounded(r.in_chunk) / lanes, of_out = r.rounded(r.out_chunk) / lanes;
      const double passes_x = double(outs), passes_y = double(of_out * outs * ins);
      const double points =
          tiles * (passes_x * (kTile + kPoint * double(r.points) * vectors) +
                   classes * (kTile * double(ins * outs) + kPoint * double(r.points) * passes_y));
      const double copies =
          x_positions * vectors * passes_x * copy(r.x, of_in) + y_positions * passes_y * copy(r.y, of_out);
      const double few = double(std::max<index>(kItems - ins * outs * r.groups, 0)) / (8 * kItems);
      // Sums are read and written once per box.
      r.cost = points + copies + products * (1.08 + kSums / double(box) + few);
      if (best >= 0 && r.cost >= best) continue;
      best = r.cost;
      chosen_in = r.in_chunk;
      chosen_out = r.out_chunk;
    }
  if (best < 0) return false;
  cut(chosen_in, chosen_out);
  r.cost = best;
  r.items = r.groups * r.in_chunks * r.out_chunks;
  return true;
}

// The run by some forms, and its cost in vector operations; false if it has none.
template <class T>
bool plan(Run<T>& r, const int (&form)[kAxes], const std::vector<AxisClass> (&classes)[kAxes]) {
  r.lines.clear();
  r.points = r.sums = 1;
  r.all_tiles = r.x.n;
  double noise = 1;
  for (int a = 0; a < kAxes; ++a) {
    r.lines.emplace_back(r.blocks.axes[a], form[a], classes[a]);
    const Line& l = r.lines.back();
    noise *= kNoise[l.form];
    r.points *= l.shape().points;
    r.sums *= l.all_points();
    r.all_tiles *= l.tile_count();
  }
  if (noise > (r.all_tiles < kFewTiles ? kMostNoise : 2 * kMostNoise) || !cut_channels(r)) return false;
  const index left = r.budget() - r.sum_elements();
  index most = std::clamp(left / r.tile_elements(), kFewestTiles, kMostTiles);
  cut_boxes(r, most);
  while (most > kFewestTiles && r.elements() > r.budget()) cut_boxes(r, --most);
  if (r.elements() > 2 * r.budget()) return false;  // very many strands
  const index slices =
      std::clamp<index>(Slices<T>::wanted(r.kernel_elements(), r.arrays()), 1, r.blocks.count());
  r.boxes_per_round = std::min(kMostBoxes, ceil_div(r.blocks.count(), slices));
  const double rounds = double(ceil_div(r.blocks.count(), r.boxes_per_round));
  r.cost += rounds * kRestore * double(r.sums * r.c_out * ceil_div(r.c_in, index(r.table->lanes)));
  r.cost *= double(r.groups);
  return true;
}

// Forms with the taps of an axis.
std::vector<int> candidates(const std::vector<AxisClass>& classes) {
  std::vector<int> out;
  for (int form = 0; form < kWinogradFormCount; ++form)
    if (kWinogradForms[form].taps == most_taps(classes)) out.push_back(form);
  return out;
}

// The cheapest forms; false if the direct sum is cheaper, or there are none.
template <class T>
bool choose(Run<T>& best, bool forced) {
  if (best.c_in < kLeastChannels || best.c_out < kLeastChannels) return false;
  std::vector<AxisClass> classes[kAxes];
  std::vector<int> forms[kAxes];
  index several = 0, residues = 1;
  for (int a = 0; a < kAxes; ++a) {
    const Axis& axis = best.blocks.axes[a];
    if (axis.s > axis.k * axis.d || (residues *= axis.s) > 64) return false;
    classes[a] = classify(Kind::forward, axis.k, axis.s, axis.d);
    forms[a] = candidates(classes[a]);
    several += most_taps(classes[a]) > 1;
    if (forms[a].empty() || tap_distance(classes[a]) > axis.i) return false;
  }
  if (several == 0) return false;
  double direct = double(best.x.n) * double(best.groups * best.c_out) *
                  double(ceil_div(best.c_in, index(best.table->lanes)));
  for (int a = 0; a < kAxes; ++a) direct *= Line(best.blocks.axes[a], forms[a][0], classes[a]).direct();
  if (!forced && direct < kLeastWork) return false;
  bool any = false;
  for (const int d : forms[0])
    for (const int h : forms[1])
      for (const int w : forms[2]) {
        Run<T> r = best;
        if (!plan(r, {d, h, w}, classes) || (any && r.cost >= best.cost)) continue;
        best = r;
        any = true;
      }
  return any && (forced || best.cost < kPays * direct);
}

}  // namespace

template <class T>
std::optional<bool> winograd_kernel_gradient(const View<const T>& x, const View<const T>& y, T* out,
                                             const Axis (&axes)[kAxes], index groups, const Path& path,
                                             int threads, ShouldStop should_stop, bool add, bool forced) {
  Run<T> r(x, y, axes, groups, path);
  if (!choose(r, forced)) return std::nullopt;
  const index rounds = ceil_div(r.blocks.count(), r.boxes_per_round);
  const Slices<T> slices(out, add, r.kernel_elements(), r.arrays(), rounds);
  const double work = 2.0 * r.cost * r.table->lanes / double(rounds);
  return slices.template run<Task<T>>(r, work, thread_count(threads), should_stop);
}

#define CT_INSTANCE(T)                                                                                  \
  template std::optional<bool> winograd_kernel_gradient(const View<const T>&, const View<const T>&, T*, \
                                                        const Axis(&)[kAxes], index, const Path&, int,  \
                                                        ShouldStop, bool, bool);
CT_INSTANCE(float)
CT_INSTANCE(double)
#undef CT_INSTANCE

}  // namespace ct
