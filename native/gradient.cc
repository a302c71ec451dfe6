// The kernel gradient: per tap, a product of two channel matrices summed over all positions.
//
// Vectors lie along the input channels, or along the outputs: neighbouring taps of w and the output channels
// are one run of channels-last memory. The other side is broadcast. Tasks share out taps and channels of the
// result, and every task walks the same boxes of positions in the same order, or those of its slice.
//
// Where taps share a tile, zeros stand for outputs that some of them do not reach: a number that is not
// finite may spread among the taps of its channels.
#include <cstring>
#include <vector>

#include "method.h"
#include "slices.h"
#include "window.h"

namespace ct {
namespace {

template <class T>
struct Run : GradientRun<T> {
  using Base = GradientRun<T>;
  using Base::Base, Base::x, Base::table, Base::c_in, Base::blocks;

  bool y_is_vector;
  index k[kAxes];        // the kernel, runs of taps as one
  index w_taps, h_taps;  // of a run
  index length;          // its elements: taps of w, or of w and h, times output channels
  index runs;
  bool padded[kAxes];
  // An item is (group, chunk of output channels, panel of input channels, rest): a run of taps, or a tile of
  // vectors of the outputs.
  index chunk, chunks, panels, rest;
  index panel_vectors;  // most vectors of a tile
  bool x_copied;
  index x_pitch, y_pitch;
  index x_elements, y_elements;
  index y_rows_elements;              // the part before the stacked lines
  std::vector<index> element_places;  // of the broadcast side, in the result

  index lanes() const { return table->lanes; }
  // Taps of h stand side by side: few taps of w and one channel would leave too few sums to a tile.
  bool stacked() const { return h_taps > 1; }
  void taps_of(index number, index (&first)[kAxes], index (&last)[kAxes]) const {
    first[0] = last[0] = number / k[2] / k[1];
    first[1] = number / k[2] % k[1] * h_taps;
    first[2] = number % k[2] * w_taps;
    last[1] = first[1] + h_taps - 1;
    last[2] = first[2] + w_taps - 1;
  }
  // Elements of the copies of the outputs: their lines, then those of stacked taps.
  index copied_outputs(bool lines) const {
    if (lines) return blocks.y_positions(padded) * y_pitch;
    if (!stacked()) return 0;
    const Axis& h_axis = blocks.axes[1];
    return blocks.y_positions(padded) / ((blocks.size[1] - 1) * h_axis.s + (h_axis.k - 1) * h_axis.d + 1) *
           blocks.size[1] * h_taps;
  }
  // Where a vector of input channels begins. In place the last one ends with its group, and shares numbers
  // with the one before, which does not store them.
  index vector_begin(index panel, index v) const {
    const index begin = (panel * panel_vectors + v) * lanes();
    return x_copied || begin >= c_in ? begin : std::min(begin, c_in - lanes());
  }
  index vectors_of_run() const { return ceil_div(length, lanes()); }
  index elements() const { return runs * length * x.c; }  // of the result
};

// The tile that fits `elements` of the broadcast side and `vectors` best: most vectors of it.
template <class T>
index tile_vectors(const KernelTable<T>& table, index elements, index vectors) {
  index most = 2;
  for (index v = 4; v <= KernelTable<T>::kMaxGradientVectors; v *= 2)
    if (elements <= table.max_elements[v - 1]) most = v;
  return tile_size(vectors, most);
}

template <class T>
class Task {
 public:
  Task(const Run<T>& run, index begin, index end, T* sums) : r_(run), begin_(begin), end_(end), sums_(sums) {
    const std::size_t slack = 64;
    const index panels = r_.chunks > 1 ? r_.panels : 1;
    const index elements = r_.y_elements + panels * r_.x_elements;
    packed_.resize(std::size_t(panels));
    y_memory_ = static_cast<T*>(scratch(sizeof(T) * (std::size_t(elements) + slack)));
    x_memory_ = y_memory_ + r_.y_elements;
    std::memset(y_memory_ + elements, 0, sizeof(T) * slack);
  }

  // Boxes [begin, end); `fresh`: the first sets the sums.
  void run(index begin, index end, bool fresh) {
    for (index block = begin; block < end; ++block) {
      box_ = r_.blocks.box(block);
      first_block_ = fresh && block == begin;
      open_x_ = open_y_ = packed_group_ = -1;
      for (index item = begin_; item < end_; ++item) do_item(item);
    }
  }

 private:
  void do_item(index item) {
    const index rest = item % r_.rest, panel = item / r_.rest % r_.panels;
    const index chunk = item / r_.rest / r_.panels % r_.chunks,
                group = item / r_.rest / r_.panels / r_.chunks;
    open(group, chunk, panel);
    if (r_.y_is_vector)
      along_outputs(group, rest);
    else
      along_inputs(group, chunk, panel, rest);
  }

  void open(index group, index chunk, index panel) {
    if (open_y_ != group * r_.chunks + chunk) {
      open_y_ = group * r_.chunks + chunk;
      const index channel = group * r_.c_out + chunk * r_.chunk;
      const index channels = std::min(r_.chunk, r_.c_out - chunk * r_.chunk);
      const Box reached = r_.blocks.reached(box_, r_.padded);
      y_ = copy_window(*r_.table, r_.y, channel, channels, reached, r_.y_pitch, y_memory_, r_.blocks.axes);
      if (r_.stacked()) y_ = stack(reached);
    }
    if (open_x_ != group * r_.panels + panel) {
      open_x_ = group * r_.panels + panel;
      open_x(group, panel);
    }
  }

  // For every line of the inputs one line of outputs, in which the taps of h are neighbours.
  Window<T> stack(const Box& reached) {
    const Axis& h_axis = r_.blocks.axes[1];
    Box lines = reached;
    lines.lo[1] = box_.lo[1];
    lines.hi[1] = box_.hi[1];
    T* to = y_memory_ + r_.y_rows_elements;
    const Window<T> stacked = window_of<T>(to, lines, r_.h_taps);
    const index width = reached.hi[2] - reached.lo[2];
    for (index n = lines.n0; n < lines.n1; ++n)
      for (index d = lines.lo[0]; d < lines.hi[0]; ++d)
        for (index h = lines.lo[1]; h < lines.hi[1]; ++h, to += width * r_.h_taps) {
          stacked_.clear();
          for (index t = 0; t < r_.h_taps; ++t)
            stacked_.push_back(y_.at(n, d, h * h_axis.s + t * h_axis.d - h_axis.lo, reached.lo[2]));
          r_.table->interleave(stacked_.data(), r_.h_taps, width, to);
        }
    return stacked;
  }

  // Panels of the inputs are copied when they are needed first, and kept for all chunks of the outputs.
  void open_x(index group, index panel) {
    const index width = r_.y_is_vector ? r_.c_in : r_.panel_vectors * r_.lanes();
    const index channel = group * r_.c_in + panel * width;
    if (!r_.x_copied) {
      x_ = whole_array(r_.x, channel);
      return;
    }
    if (packed_group_ != group) std::fill(packed_.begin(), packed_.end(), false);
    packed_group_ = group;
    const std::size_t place = r_.chunks > 1 ? std::size_t(panel) : 0;
    T* const memory = x_memory_ + index(place) * r_.x_elements;
    if (r_.chunks > 1 && packed_[place]) {
      x_ = window_of(memory, box_, r_.x_pitch);
    } else {
      x_ = copy_window(*r_.table, r_.x, channel, std::min(width, r_.c_in - panel * width), box_, r_.x_pitch,
                       memory);
      packed_[place] = true;
    }
  }

  // Rows of positions that the taps between `first` and `last` join with outputs, and where they start for
  // the tap `origin`.
  void collect(const index (&first)[kAxes], const index (&last)[kAxes], const index (&origin)[kAxes]) {
    const Axis* axes = r_.blocks.axes;
    index begin[kAxes], end[kAxes], step[kAxes], shift[kAxes];
    for (int a = 0; a < kAxes; ++a) {
      r_.blocks.joined(box_, a, first[a], last[a], begin[a], end[a]);
      const bool lines_of_inputs = a == 1 && r_.stacked();
      step[a] = lines_of_inputs ? 1 : axes[a].s;
      shift[a] = lines_of_inputs ? 0 : origin[a] * axes[a].d - axes[a].lo;
    }
    rows_.collect(box_, x_, y_, begin, end, step, shift);
  }

  // All tiles of the broadcast side over the collected rows.
  void multiply(GradientTile<T>& tile, index vectors, index elements, bool y_is_vector) {
    const std::vector<const T*>& a = y_is_vector ? rows_.x : rows_.y;
    const std::vector<const T*>& b = y_is_vector ? rows_.y : rows_.x;
    const index x_step = x_.stride[2], y_step = y_.stride[2] * r_.blocks.axes[2].s;
    tile.a_step = y_is_vector ? x_step : y_step;
    tile.b_step = y_is_vector ? y_step : x_step;
    tile.add = !first_block_;
    const index size = tile_size(elements, r_.table->max_elements[vectors - 1]);
    tile.rows = index(rows_.counts.size());
    tile.a = a.data();
    tile.b = b.data();
    tile.count = rows_.counts.data();
    for (index m = 0; m < elements; m += size) {
      tile.a_offset = m;
      tile.dst_element = r_.element_places.data() + m;
      r_.table->gradient[vectors - 1][std::min(size, elements - m) - 1](tile);
    }
  }

  void along_inputs(index group, index chunk, index panel, index run) {
    index t[kAxes], last[kAxes];
    r_.taps_of(run, t, last);
    collect(t, last, t);
    if (rows_.counts.empty() && !first_block_) return;
    const index all = r_.c_in * r_.groups, lanes = r_.lanes();
    const index first = panel * r_.panel_vectors * lanes;
    const index vectors = std::min(r_.panel_vectors, ceil_div(r_.c_in - first, lanes));
    GradientTile<T> tile;
    for (index v = 0; v < vectors; ++v) {
      tile.b_offset[v] = tile.dst_offset[v] = r_.vector_begin(panel, v) - first;
      tile.columns[v] = std::min(r_.vector_begin(panel, v + 1), r_.c_in) - r_.vector_begin(panel, v);
    }
    tile.dst_stride_c = 1;
    tile.dst = sums_ + (run * r_.length + chunk * r_.chunk) * all + group * r_.c_in + first;
    const bool part = r_.chunks > 1;
    multiply(tile, vectors, part ? std::min(r_.chunk, r_.c_out - chunk * r_.chunk) : r_.length, false);
  }

  void along_outputs(index group, index number) {
    const index all = r_.c_in * r_.groups, lanes = r_.lanes(), of_run = r_.vectors_of_run();
    const index begin = number * r_.panel_vectors;
    const index vectors = std::min(r_.panel_vectors, r_.runs * of_run - begin);
    index first[kAxes], last[kAxes];
    const index zero[kAxes] = {0, 0, 0};
    GradientTile<T> tile;
    for (index v = 0; v < vectors; ++v) {
      const index run = (begin + v) / of_run, c = (begin + v) % of_run * lanes;
      index t[kAxes], stop[kAxes];
      r_.taps_of(run, t, stop);
      tile.b_offset[v] = c;
      for (int a = 0; a < kAxes; ++a) {
        first[a] = v ? std::min(first[a], t[a]) : t[a];
        last[a] = v ? std::max(last[a], stop[a]) : stop[a];
        tile.b_offset[v] += t[a] * r_.blocks.axes[a].d * y_.stride[a];
      }
      tile.columns[v] = std::min(lanes, r_.length - c);
      tile.dst_offset[v] = (run * r_.length + c) * all;
    }
    collect(first, last, zero);
    if (rows_.counts.empty() && !first_block_) return;
    tile.dst_stride_c = all;
    tile.dst = sums_ + group * r_.c_in;
    multiply(tile, vectors, r_.c_in, true);
  }

  const Run<T>& r_;
  const index begin_, end_;  // items
  T* const sums_;
  T *x_memory_, *y_memory_;
  Box box_;
  bool first_block_;
  index open_x_, open_y_;  // what the windows hold
  index packed_group_;
  std::vector<bool> packed_;
  Window<T> x_, y_;
  JoinedRows<T> rows_;
  std::vector<const T*> stacked_;  // rows that are interleaved to one
};

// Boxes whose windows stay in the second cache together with all that a task does with them.
template <class T>
void cut_blocks(Run<T>& r) {
  r.blocks = Blocks(r.x.n, r.blocks.axes);
  const index l2 = l2_bytes();
  const index budget = l2 / 2 / index(sizeof(T));
  const index largest = r.table->max_elements[std::min<index>(r.panel_vectors, 2) - 1];
  const index weights = r.runs * r.length * r.c_in * index(sizeof(T));
  // Every box reads and writes all sums once more; large kernels want large boxes, of fewer channels.
  const index enough = weights > l2 / 2 ? 1024 : 256;
  // Inputs in place come with all of their channels, which the next panels find in the second cache if boxes
  // are small enough for that. Few sums pay for more boxes.
  const bool all_channels = !r.x_copied && weights <= l2 / 16;
  const auto elements = [&] {
    r.y_pitch = r.w_taps > 1 ? r.chunk : spread<T>(r.chunk);
    return r.copied_outputs(true) + r.copied_outputs(false) +
           r.blocks.x_positions() * (all_channels ? r.c_in : r.x_pitch);
  };
  while (elements() > budget) {
    const bool fewer_channels = !r.y_is_vector && r.w_taps == 1 && r.chunk >= 2 * largest;
    if (fewer_channels && r.blocks.x_positions() <= enough)
      r.chunk = ceil_div(ceil_div(r.chunk, 2), largest) * largest;
    else if (!r.blocks.halve())
      break;
  }
}

// Lays vectors along the outputs or the inputs; false if the outputs do not allow it.
template <class T>
bool lay_out(Run<T>& r, bool y_is_vector) {
  const Axis* axes = r.blocks.axes;
  const index lanes = r.lanes();
  bool paddable[kAxes];
  for (int a = 0; a < kAxes; ++a) paddable[a] = Blocks::paddable(axes[a]);
  const bool neighbours = axes[2].d == 1 && paddable[2];
  r.y_is_vector = y_is_vector;
  r.w_taps = neighbours && (y_is_vector ? r.c_out % lanes != 0 : r.c_out < 8) ? axes[2].k : 1;
  r.h_taps = !y_is_vector && r.c_out == 1 && r.w_taps > 1 && r.w_taps < 8 && paddable[1] ? axes[1].k : 1;
  r.length = r.h_taps * r.w_taps * r.c_out;
  r.k[0] = axes[0].k;
  r.k[1] = axes[1].k / r.h_taps;
  r.k[2] = axes[2].k / r.w_taps;
  r.runs = r.k[0] * r.k[1] * r.k[2];
  for (int a = 0; a < kAxes; ++a)
    r.padded[a] = y_is_vector || (a == 2 && r.w_taps > 1) || (a == 1 && r.stacked());
  r.chunk = r.c_out;
  if (y_is_vector) {
    const index vectors = r.runs * r.vectors_of_run();
    r.panel_vectors = tile_vectors(*r.table, r.c_in, vectors);
    r.panels = 1;
    r.rest = ceil_div(vectors, r.panel_vectors);
    r.x_pitch = r.c_in;
    r.x_copied = r.x.stride_c != 1;
    cut_blocks(r);
  } else {
    const index vectors = ceil_div(r.c_in, lanes);
    r.panel_vectors = tile_vectors(*r.table, r.length, vectors);
    r.panels = ceil_div(vectors, r.panel_vectors);
    r.rest = r.runs;
    r.x_pitch = std::min(vectors, r.panel_vectors) * lanes;
    const index passes = r.runs * ceil_div(r.length, r.table->max_elements[r.panel_vectors - 1]);
    const bool far = r.x.stride[2] * index(sizeof(T)) % 1024 == 0;
    r.x_copied = r.x.stride_c != 1 || r.c_in < lanes || (passes >= 8 && far);
    cut_blocks(r);
  }
  r.chunks = ceil_div(r.c_out, r.chunk);
  for (int a = 0; a < kAxes; ++a)
    if (r.padded[a] && !paddable[a]) return false;
  return true;
}

// Along which side the vectors do more useful work.
template <class T>
void lay_out(Run<T>& r) {
  const index lanes = r.lanes();
  const auto filled = [&](index c) { return double(c) / double(ceil_div(c, lanes) * lanes); };
  if (filled(r.c_in) < 1 && lay_out(r, true)) {
    double outputs = filled(r.length);
    // Sums along the outputs lie far apart in the result: each box pays for bringing them there.
    if (r.c_in * r.groups > 1) outputs *= 1 / (1 + 48.0 / double(r.blocks.x_positions()));
    if (outputs > 1.1 * filled(r.c_in)) return;
  }
  lay_out(r, false);
}

}  // namespace

template <class T>
bool kernel_gradient(const View<const T>& x, const View<const T>& y, T* out, const Axis (&axes)[kAxes],
                     index groups, const Path& path, int threads, ShouldStop should_stop, bool add,
                     Algorithm algorithm) {
  if (algorithm != Algorithm::direct && fourier_gradient_applies(x, y, axes, groups, path))
    return fourier_kernel_gradient(x, y, out, axes, groups, path, threads, should_stop, add);
  if (depthwise_gradient_applies(x, y, axes, groups, path))
    return depthwise_kernel_gradient(x, y, out, axes, path, threads, should_stop, add);
  if (group_gradient_applies(x, y, axes, groups, path))
    return group_kernel_gradient(x, y, out, axes, groups, path, threads, should_stop, add);
  if (dot_gradient_applies(x, y, axes, groups, path))
    return dot_kernel_gradient(x, y, out, axes, groups, path, threads, should_stop, add);
  if (algorithm != Algorithm::direct) {
    const bool forced = algorithm == Algorithm::winograd;
    const auto done =
        winograd_kernel_gradient(x, y, out, axes, groups, path, threads, should_stop, add, forced);
    if (done) return *done;
  }
  Run<T> r(x, y, axes, groups, path);
  lay_out(r);
  const index line = 64 / index(sizeof(T));
  r.x_elements = r.x_copied ? r.blocks.x_positions() * r.x_pitch : 0;
  r.y_rows_elements = r.copied_outputs(true);
  r.y_elements = ceil_div(r.y_rows_elements + r.copied_outputs(false), line) * line;
  const index all = r.c_in * groups;
  for (index m = 0; m < (r.y_is_vector ? r.c_in : r.length); ++m)
    r.element_places.push_back(r.y_is_vector ? m : (m % r.h_taps * r.w_taps + m / r.h_taps) * all);
  r.items = groups * r.chunks * r.panels * r.rest;
  threads = thread_count(threads);
  const Slices<T> slices(out, add, r.elements(), elements_of(x) + elements_of(y), r.blocks.count());
  // Every task copies the windows that it needs, so there are no more tasks than threads. Groups of whole
  // cache lines share nothing: the more tasks the better they balance.
  const index per_slice = ceil_div(index(threads), slices.count());
  const bool apart = threads > 1 && groups >= per_slice && std::min(r.c_in, r.c_out) >= line;
  const index parts = apart ? std::min(groups, 4 * per_slice) : slices.parts(threads, r.items);
  const index undivided = apart ? r.items / groups : 1;
  r.items_per_task = ceil_div(r.items / undivided, parts) * undivided;
  const double work = 2.0 * double(r.blocks.x_positions()) * double(r.runs * r.length) * double(x.c);
  return slices.template run<Task<T>>(r, work, threads, should_stop);
}

template bool kernel_gradient<float>(const View<const float>&, const View<const float>&, float*,
                                     const Axis (&)[kAxes], index, const Path&, int, ShouldStop, bool,
                                     Algorithm);
template bool kernel_gradient<double>(const View<const double>&, const View<const double>&, double*,
                                      const Axis (&)[kAxes], index, const Path&, int, ShouldStop, bool,
                                      Algorithm);

}  // namespace ct
