// The projection method: every source sample is multiplied by all taps and destination channels at once
// (one dense product, whatever the stride), and the shifted rows of products are added up afterwards.
// For layers with few destination channels, where the phases by themselves would fill neither vectors nor
// registers. Forward only.
//
// A task walks down the lines of its block. Products live in a ring of a few lines, planar: (tap and
// channel, position). A line of destinations is the sum of rows of that ring, each read with its shift. Lines
// of a small plane are joined: as far as the same taps meet the source, they are one sum.
#include <algorithm>
#include <cstring>

#include "ahead.h"
#include "method.h"
#include "schedule.h"
#include "store_line.h"

namespace ct {
namespace {

// Vectors of positions that are copied or transposed at once, less what makes no whole tile.
constexpr index kChunk = 14;

template <class T>
class ProjectionMethod final : public TaskMethod<T, ProjectionMethod<T>> {
 public:
  ProjectionMethod(const Shape& shape, const T* kernel, const Path& path);
  std::string explain(const Call<T>& call) const override;

 private:
  friend TaskMethod<T, ProjectionMethod<T>>;
  // Sizes of a run. Lines of the source are computed in steps of several lines that are neighbours in memory.
  struct Schedule : BlockedAxes {
    index tasks;
    index window[kAxes];  // source positions of a block, at most
    index step_lines, plane_steps, slots;
    // The ring holds whole planes of a block, line after line without gaps; so do the rows of sums.
    bool joined;
    std::vector<index> shifts;  // from joined sums to products of a tap, each once
    index pitch;      // between rows of the ring: positions of a step and what whole vectors read beyond
    index chunk;      // positions that are projected at once
    index front;      // what shifted rows read before the first position
    index run;        // most positions of a sum
    index run_pitch;  // between rows of sums, and of masks: whole vectors, which may begin anywhere
    index ring, products, source, line, masks;  // elements of scratch memory, which are together
    index scratch_elements;
  };
  struct Task;

  Schedule schedule(const Call<T>& call) const;
  bool joins_lines(const Schedule& s) const;
  void run_task(const Schedule& plan, const Call<T>& call, index task) const;

  Shape shape_;
  const KernelTable<T>& table_;
  std::vector<AxisClass> classes_[kAxes];
  index reach_[kAxes];
  index rows_;                    // taps and destination channels
  index padded_;                  // the same, whole vectors
  bool along_rows_;               // vectors along the taps and channels, else along the positions
  std::vector<index> tile_rows_;  // along positions: rows of each tile of weights
  index group_weights_;
  std::vector<index> identity_;  // order of the buffer's rows: as they are stored
  Buffer<T> weights_, no_bias_;
};

template <class T>
ProjectionMethod<T>::ProjectionMethod(const Shape& shape, const T* kernel, const Path& path)
    : shape_(shape), table_(kernels<T>(path)), weights_(0), no_bias_(0) {
  for (int a = 0; a < kAxes; ++a) {
    classes_[a] = classify(shape.kind, shape.k[a], shape.s[a], shape.d[a]);
    reach_[a] = (shape.k[a] - 1) * shape.d[a] / shape.s[a];
  }
  const index channels = shape.src_channels(), lanes = table_.lanes;
  rows_ = shape.taps() * shape.dst_channels();
  padded_ = ceil_div(rows_, lanes) * lanes;
  // Channels last, either the products or the source are transposed, at some six and ten operations per
  // vector; whole vectors of taps and channels may be partly empty, and up to 16 lanes of them load as often
  // as they multiply.
  const double loads = padded_ <= 16 ? 1.25 : 1;
  along_rows_ =
      !shape.channels_first && loads * double(padded_ * (channels + 6)) <= double((rows_ + 10) * channels);
  identity_.resize(std::size_t(shape.s[2] * shape.dst_channels()));
  for (std::size_t n = 0; n < identity_.size(); ++n) identity_[n] = index(n);
  const index zeros = std::max({2 * lanes, index(table_.max_rows), shape.dst_channels()});
  no_bias_ = Buffer<T>(zeros);
  std::fill_n(no_bias_.data(), zeros, T(0));

  // Tiles of rows, each (source channel, row): whole panels of vectors, or a few broadcast numbers.
  const index size = along_rows_ ? 2 * lanes : tile_size(rows_, table_.max_rows);
  for (index r = 0; r < rows_; r += size) tile_rows_.push_back(std::min(size, rows_ - r));
  group_weights_ = channels * (along_rows_ ? padded_ : rows_);
  weights_ = Buffer<T>(group_weights_ * shape.groups);
  T* to = weights_.data();
  for (index g = 0; g < shape.groups; ++g) {
    const T* from = kernel + g * channels;
    for (const index rows : tile_rows_) {
      const index width = along_rows_ ? ceil_div(rows, lanes) * lanes : rows;
      std::fill_n(to, channels * width, T(0));
      table_.transpose(from, shape.c_in, rows, channels, to, width);
      from += rows * shape.c_in;
      to += channels * width;
    }
  }
}

// Whether every phase of w has as many destinations as the source has positions, all of which meet it.
template <class T>
bool ProjectionMethod<T>::joins_lines(const Schedule& s) const {
  const AxisSchedule& w = s.axis[2];
  return index(w.phases.size()) == shape_.s[2] &&
         std::all_of(w.phases.begin(), w.phases.end(),
                     [&](const Phase& p) { return p.count == w.src_size && p.q0 >= 0 && p.q0 <= reach_[2]; });
}

template <class T>
typename ProjectionMethod<T>::Schedule ProjectionMethod<T>::schedule(const Call<T>& call) const {
  Schedule s;
  s.open(shape_.kind, call.axes, classes_);
  const index lanes = table_.lanes, rows = along_rows_ ? padded_ : rows_;
  const View<const T>& src = call.src;
  const index tile = along_rows_ ? 1 : table_.row_vectors[tile_rows_[0] - 1];
  s.chunk = kChunk / tile * tile * lanes;
  s.front = ceil_div(reach_[2], lanes) * lanes;
  const bool joins = joins_lines(s);
  for (const Phase& p : s.axis[2].phases)
    for (const AxisTap& tap : p.cls->taps)
      if (joins) s.shifts.push_back(p.q0 - tap.shift);
  std::sort(s.shifts.begin(), s.shifts.end());
  s.shifts.erase(std::unique(s.shifts.begin(), s.shifts.end()), s.shifts.end());
  const auto measure = [&] {
    for (int a = 0; a < kAxes; ++a)
      s.window[a] = std::max<index>(std::min(s.block[a] + reach_[a], call.axes[a].i), 1);
    // Several short lines make one step where they are whole and follow each other in memory.
    const bool whole =
        s.block[2] >= s.extent[2] && s.axis[2].q_begin <= reach_[2] && s.axis[2].q_end >= src.size[2];
    const bool together = whole && src.stride[1] == src.size[2] * src.stride[2];
    const auto open_ring = [&](bool joined) {
      s.joined = joined;
      s.step_lines = joined     ? s.window[1]
                     : together ? std::clamp<index>(s.chunk / s.window[2], 1, s.window[1])
                                : 1;
      s.plane_steps = ceil_div(s.window[1], s.step_lines);
      // A plane that is one step is over before the next one.
      s.slots = reach_[0] * s.plane_steps + (s.plane_steps > 1 ? ceil_div(reach_[1], s.step_lines) : 0) + 1;
      s.pitch = ceil_div(s.step_lines * s.window[2], lanes) * lanes;
      s.ring = 2 * s.front + 4 * lanes + s.slots * rows * s.pitch;
      s.run = joined ? s.block[1] * s.window[2] : s.block[2];
      s.run_pitch = (ceil_div(s.run, lanes) + 1) * lanes;
      s.line = index(identity_.size()) * s.run_pitch;
      s.masks = joined ? index(s.shifts.size()) * s.run_pitch : 2 * s.front + s.window[2] + 4 * lanes;
    };
    open_ring(joins && together && s.window[1] > 1);
    if (s.joined && (s.ring + s.line + s.masks) * index(sizeof(T)) > block_budget()) open_ring(false);
    return s.ring * index(sizeof(T));
  };
  while (measure() > block_budget()) {
    if (reach_[0] > 0 && s.block[1] > 4 * (reach_[1] + 4))
      s.block[1] = ceil_div(s.block[1], 2);
    else if (s.block[2] > 8 * (reach_[2] + lanes))
      s.block[2] = ceil_div(s.block[2], 2);
    else
      break;
  }
  const auto count_tasks = [&] { return s.tasks = call.src.n * shape_.groups * s.count(); };
  const int threads = thread_count(call.threads);
  while (count_tasks() > 0 && threads > 1 && s.tasks < 4 * threads) {
    // The products of the lines above a block are computed once more: blocks stay much larger than that.
    const int a = s.block[0] > 4 * (reach_[0] + 1) ? 0 : s.block[1] > 4 * (reach_[1] + 1) ? 1 : 2;
    if (a == 2 && s.block[2] <= 8 * (reach_[2] + lanes)) break;
    s.block[a] = ceil_div(s.block[a], 2);
  }
  measure();
  s.products = along_rows_ ? s.chunk * padded_ : 0;
  const bool in_place = along_rows_ && src.stride_c == 1;
  s.source = in_place ? 0 : shape_.src_channels() * s.chunk;
  s.scratch_elements = s.ring + s.products + s.source + s.line + s.masks;
  return s;
}

// One block of one image and group.
template <class T>
struct ProjectionMethod<T>::Task {
  const ProjectionMethod& self;
  const Schedule& plan;
  const Call<T>& call;
  index group = 0, image = 0;
  index q[kAxes], q_stop[kAxes];  // destinations, in q
  index lo[kAxes], hi[kAxes];     // the source positions they need
  // Destinations [begin, end) of w meet the source; those around them, where a crop is negative, are the
  // bias.
  index begin, end;
  const T* bias;  // of the group
  T *ring, *products, *source, *line, *mask;
  // The sums of a phase of w: its row of the line, its first tap and how many.
  struct Sums {
    index row, first, count;
  };
  std::vector<Sums> sums;
  std::vector<SumTap<T>> taps;
  std::vector<const T*> lines;  // of products: those of the sum at hand come first

  index width() const { return hi[2] - lo[2]; }
  index slot_size() const { return (self.along_rows_ ? self.padded_ : self.rows_) * plan.pitch; }
  index step_of(index d, index h) const {
    return (d - lo[0]) * plan.plane_steps + (h - lo[1]) / plan.step_lines;
  }

  void open(T* memory) {
    bias = call.bias ? call.bias + group * self.shape_.dst_channels() : self.no_bias_.data();
    lines.resize(std::size_t(self.shape_.k[0] * self.shape_.k[1]));
    ring = memory + plan.front;
    products = memory + plan.ring;
    source = products + plan.products;
    line = source + plan.source;
    mask = line + plan.line;
    begin = std::clamp<index>(lo[2], q[2], q_stop[2]);
    end = std::clamp<index>(hi[2] + self.reach_[2], begin, q_stop[2]);
    if (plan.joined) {
      for (const index shift : plan.shifts) open_mask(mask_of(shift), shift);
      for (const Phase& p : plan.axis[2].phases) open_sums(*p.cls, p.dst0, p.q0);
    } else {
      std::memset(mask, 0, sizeof(T) * std::size_t(plan.masks));
      std::memset(mask + plan.front, 0xff, sizeof(T) * std::size_t(width()));
      for (const AxisClass& c : self.classes_[2]) open_sums(c, c.residue, begin);
    }
  }

  // Joined lines have a mask for every shift, others shift a single one.
  T* mask_of(index shift) const {
    if (!plan.joined) return mask + plan.front + shift;
    const auto at = std::lower_bound(plan.shifts.begin(), plan.shifts.end(), shift);
    return mask + (at - plan.shifts.begin()) * plan.run_pitch;
  }

  // The mask of lines whose destination j is a sum of sources j + shift.
  void open_mask(T* to, index shift) {
    const index before = std::clamp<index>(-shift, 0, width()), after = std::clamp<index>(shift, 0, width());
    std::memset(to, 0xff, sizeof(T) * std::size_t(plan.run_pitch));
    for (T* const stop = to + plan.run; to < stop; to += width()) {
      std::fill(to, to + before, T(0));
      std::fill(to + width() - after, to + width(), T(0));
    }
  }

  // The taps of a phase whose lines of sums begin with the destination `first`.
  void open_sums(const AxisClass& phase, index row, index first) {
    sums.push_back({row, index(taps.size()), index(phase.taps.size())});
    for (const AxisTap& tap : phase.taps) {
      const index shift = first - lo[2] - tap.shift;
      taps.push_back({tap.kernel_index * self.shape_.dst_channels() * plan.pitch + shift, mask_of(shift)});
    }
  }

  // The products of one step: lines of the plane d beginning with h.
  void project(index step) {
    const index d = lo[0] + step / plan.plane_steps;
    const index h = lo[1] + step % plan.plane_steps * plan.step_lines;
    const index positions = std::min(plan.step_lines, hi[1] - h) * width();
    const View<const T>& src = call.src;
    const T* from = src.data + image * src.stride_n + group * self.shape_.src_channels() * src.stride_c +
                    d * src.stride[0] + h * src.stride[1] + lo[2] * src.stride[2];
    T* to = ring + step % plan.slots * slot_size();
    for (index p = 0, count; p < positions; p += count) {
      count = std::min(plan.chunk, positions - p);
      // Whole vectors of planes need no copy.
      if (!self.along_rows_ && src.stride[2] == 1 && count > self.table_.lanes)
        count -= count % self.table_.lanes;
      if (self.along_rows_)
        along_rows(from + p * src.stride[2], count, to + p);
      else
        along_positions(from + p * src.stride[2], count, to + p);
    }
  }

  void along_rows(const T* from, index count, T* to) {
    const KernelTable<T>& table = self.table_;
    const View<const T>& src = call.src;
    const index channels = self.shape_.src_channels(), zero = 0;
    ChannelTile<T> tile;
    tile.src_stride = src.stride[2];
    if (src.stride_c != 1) {
      for (index j = 0; j < count; ++j)
        for (index c = 0; c < channels; ++c)
          source[j * channels + c] = from[j * src.stride[2] + c * src.stride_c];
      from = source;
      tile.src_stride = channels;
    }
    tile.channels = channels;
    tile.taps = 1;
    tile.src_offset = tile.weight_offset = &zero;
    tile.bias = self.no_bias_.data();
    tile.dst_stride = self.padded_;
    tile.dst_stride_c = 1;
    const index size = tile_size(count, table.max_positions[1]);
    for (index p = 0; p < count; p += size) {
      tile.src = from + p * tile.src_stride;
      tile.dst = products + p * self.padded_;
      tile.weights = self.weights_.data() + group * self.group_weights_;
      // Kernels fetch the source of the next tile where it follows this one's.
      if (tile.src_stride == channels) {
        tile.ahead = reinterpret_cast<const char*>(tile.src + size * channels);
        tile.ahead_bytes =
            ceil_div(size * tile.kAheadChannels * index(sizeof(T)), Ahead::kLine) * Ahead::kLine;
      }
      for (const index rows : self.tile_rows_) {
        const int vectors = rows > table.lanes ? 2 : 1;
        tile.columns = vectors * table.lanes;
        table.channel[vectors - 1][std::min(size, count - p) - 1](tile);
        tile.ahead_bytes = 0;
        tile.weights += channels * tile.columns;
        tile.dst += tile.columns;
      }
    }
    // Whole blocks of vectors: what lies beyond the positions is never used.
    table.transpose(products, self.padded_, ceil_div(count, table.lanes) * table.lanes, self.padded_, to,
                    plan.pitch);
  }

  void along_positions(const T* from, index count, T* to) {
    const KernelTable<T>& table = self.table_;
    const View<const T>& src = call.src;
    const index channels = self.shape_.src_channels(), lanes = table.lanes;
    const index vectors = ceil_div(count, lanes);
    const index pitch = vectors * lanes;
    // Read in place where planes spread over the cache and whole vectors are there.
    if (src.stride[2] == 1 && count % lanes == 0 && src.stride_c * index(sizeof(T)) % 2048 != 0) {
      multiply(from, src.stride_c, vectors, to, from + count, src.stride_c);
      return;
    }
    const T* const next = from + count * src.stride[2];
    if (src.stride_c == 1) {
      table.transpose(from, src.stride[2], count, channels, source, pitch);
      for (index c = 0; c < channels; ++c)
        std::fill(source + c * pitch + count, source + (c + 1) * pitch, T(0));
    } else if (src.stride[2] == 1) {
      table.pad_rows(from, src.stride_c, channels, 0, count, pitch - count, source, pitch);
    } else {
      for (index c = 0; c < channels; ++c)
        for (index j = 0; j < pitch; ++j)
          source[c * pitch + j] = j < count ? from[j * src.stride[2] + c * src.stride_c] : T(0);
    }
    // Rows of channels follow each other, as if each channel had a part of them.
    multiply(source, pitch, vectors, to, next, src.stride_c == 1 ? pitch : src.stride_c);
  }

  // `ahead`: where channels of what is wanted next are, so many numbers apart. Tiles fetch it channel by
  // channel, which the processor sees as few streams.
  void multiply(const T* from, index stride_c, index vectors, T* to, const T* ahead, index ahead_stride) {
    const KernelTable<T>& table = self.table_;
    const index channels = self.shape_.src_channels(), zero = 0, lanes = table.lanes;
    RowTile<T> tile;
    tile.src_stride_c = stride_c;
    tile.channels = channels;
    tile.taps = 1;
    tile.src_offset = &zero;
    tile.bias = self.no_bias_.data();
    tile.dst_stride = plan.pitch;
    tile.ahead_stride = ahead_stride;
    const index size = tile_size(vectors, table.row_vectors[self.tile_rows_[0] - 1]);
    tile.ahead_run = ceil_div(vectors, size);
    for (index v = 0, steps = 0; v < vectors; v += size, steps += channels) {
      const index some = std::min(size, vectors - v);
      tile.ahead_done = steps % tile.ahead_run;
      tile.ahead = ahead + steps / tile.ahead_run * ahead_stride + tile.ahead_done * some * lanes;
      tile.src = from + v * lanes;
      tile.dst = to + v * lanes;
      tile.weights = self.weights_.data() + group * self.group_weights_;
      for (const index rows : self.tile_rows_) {
        table.row[rows - 1][some - 1](tile);
        tile.ahead = nullptr;
        tile.weights += channels * rows;
        tile.dst += rows * plan.pitch;
      }
    }
  }

  // The destinations of one phase of d and h, from line q_h on: those before `stop` that the same taps of the
  // source meet. Returns where the next ones begin.
  index sum(const Phase& pd, const Phase& ph, index q_d, index q_h, index stop) {
    const Shape& shape = self.shape_;
    const index channels = shape.dst_channels(), pitch = plan.run_pitch;
    SumTile<T> tile;
    tile.line_count = 0;
    for (const AxisTap& td : pd.cls->taps) {
      const index d = q_d - td.shift;
      if (d < lo[0] || d >= hi[0]) continue;
      for (const AxisTap& th : ph.cls->taps) {
        const index h = q_h - th.shift;
        if (h < hi[1]) stop = std::min(stop, (h < lo[1] ? lo[1] : hi[1]) + th.shift);
        if (h < lo[1] || h >= hi[1]) continue;
        const index first = (td.kernel_index * shape.k[1] + th.kernel_index) * shape.k[2];
        lines[std::size_t(tile.line_count++)] = ring + step_of(d, h) % plan.slots * slot_size() +
                                                (h - lo[1]) % plan.step_lines * width() +
                                                first * channels * plan.pitch;
      }
    }
    tile.lines = lines.data();
    tile.channels = channels;
    tile.count = plan.joined ? (stop - q_h) * width() : end - begin;
    tile.src_step = plan.pitch;
    tile.dst_step = pitch;
    tile.bias = bias;
    for (const Sums& s : sums) {
      tile.taps = taps.data() + s.first;
      tile.tap_count = s.count;
      tile.dst = line + s.row * channels * pitch + begin - q[2];
      self.table_.sum_rows(tile);
    }
    const View<T>& dst = call.dst;
    const index step = plan.axis[1].dst_step * dst.stride[1];  // between lines
    T* const to = dst.data + image * dst.stride_n + group * channels * dst.stride_c +
                  (pd.dst0 + (q_d - pd.q0) * plan.axis[0].dst_step) * dst.stride[0] +
                  ph.dst0 * dst.stride[1] + (q_h - ph.q0) * step;
    store(to, step, stop - q_h);
    return stop;
  }

  // Lines of sums, `step` apart where they go.
  void store(T* to, index step, index count) const {
    const index s = self.shape_.s[2], channels = self.shape_.dst_channels(), pitch = plan.run_pitch;
    Line<T> out;
    out.buffer = line;
    out.pitch = pitch;
    out.map = self.identity_.data();
    out.s = s;
    out.channels = channels;
    out.stride = call.dst.stride[2];
    out.stride_c = call.dst.stride_c;
    out.dst = to;
    if (!plan.joined) {
      for (index row = 0; row < s * channels; ++row) {
        T* const at = line + row * pitch - q[2];
        std::fill(at + q[2], at + begin, bias[row % channels]);
        std::fill(at + end, at + q_stop[2], bias[row % channels]);
      }
      out.q_begin = q[2];
      out.q_end = q_stop[2];
      out.lo = call.axes[2].lo;
      out.length = call.axes[2].o;
      return store_line(self.table_, out);
    }
    // Whole phases, in the order of their destinations. Lines that follow one another are one.
    const bool one = step == s * width() * out.stride;
    out.q_begin = out.lo = 0;
    out.q_end = one ? count * width() : width();
    out.length = s * out.q_end;
    for (index n = 0; n < (one ? 1 : count); ++n, out.dst += step, out.buffer += width())
      store_line(self.table_, out);
  }
};

template <class T>
void ProjectionMethod<T>::run_task(const Schedule& plan, const Call<T>& call, index number) const {
  Task task{*this, plan, call};
  plan.take(number, task.q, task.q_stop);
  for (int a = 0; a < kAxes; ++a) {
    task.lo[a] = std::clamp<index>(task.q[a] - reach_[a], 0, call.axes[a].i);
    task.hi[a] = std::clamp<index>(task.q_stop[a], task.lo[a], call.axes[a].i);
  }
  task.group = number % shape_.groups;
  task.image = number / shape_.groups;
  task.open(static_cast<T*>(scratch(sizeof(T) * std::size_t(plan.scratch_elements))));

  const bool empty = task.lo[0] == task.hi[0] || task.lo[1] == task.hi[1] || task.lo[2] == task.hi[2];
  if (empty) task.hi[0] = task.lo[0];  // no line is read
  index next = 0;
  const index run = plan.joined ? task.q_stop[1] - task.q[1] : 1;  // lines at once
  for (index d = task.q[0]; d < task.q_stop[0]; ++d)
    for (index h = task.q[1]; h < task.q_stop[1]; h += run) {
      const index last =
          empty ? -1
                : task.step_of(std::min(d, task.hi[0] - 1),
                               d < task.hi[0] ? std::min(h + run, task.hi[1]) - 1 : task.hi[1] - 1);
      for (; next <= last; ++next) task.project(next);
      for (const Phase& pd : plan.axis[0].phases) {
        if (d < pd.q0 || d >= pd.q0 + pd.count) continue;
        for (const Phase& ph : plan.axis[1].phases) {
          const index stop = std::min(h + run, ph.q0 + ph.count);
          for (index at = std::max(h, ph.q0); at < stop;) at = task.sum(pd, ph, d, at, stop);
        }
      }
    }
}

template <class T>
std::string ProjectionMethod<T>::explain(const Call<T>& call) const {
  return "projection method: " + std::to_string(rows_) + " products of every sample, vectors of " +
         std::to_string(table_.lanes) + (along_rows_ ? " taps and channels, " : " positions, ") +
         std::to_string(schedule(call).tasks) + " tasks";
}

}  // namespace

template <class T>
std::unique_ptr<Method<T>> make_projection_method(const Shape& shape, const T* kernel, const Path& path) {
  return std::make_unique<ProjectionMethod<T>>(shape, kernel, path);
}

template std::unique_ptr<Method<float>> make_projection_method(const Shape&, const float*, const Path&);
template std::unique_ptr<Method<double>> make_projection_method(const Shape&, const double*, const Path&);

}  // namespace ct
