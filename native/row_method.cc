// The row method: vectors along neighbouring positions, for layers with few destination channels and
// for channels-first data. Forward only.
//
// A block of q-space is copied once into planar, zero-padded scratch memory (channel, d, h, w). There the
// positions (h, w) of a plane form one run, halo columns included, and every tap is one constant offset.
// Phases and channels that share their taps share the loads of a tile. The rows of all phases meet in a
// small buffer and leave it interleaved.
#include <algorithm>
#include <cstring>
#include <map>

#include "method.h"
#include "schedule.h"
#include "store_line.h"

namespace ct {
namespace {

// Rows of a buffer, and vectors of positions between two stores. Planes of many channels come from short
// sums, whose stores are much of the work: they want a buffer in the first cache. The others share their
// loads among more rows.
struct BufferSize {
  index rows, vectors;
};
constexpr BufferSize kManyChannels = {32, 12}, kFewChannels = {96, 24};

// One destination row: a phase of every axis and a channel.
struct Row {
  index residue[kAxes];
  index channel;  // within the group
};

// Rows that share their taps; one micro-kernel call.
struct RowTileRows {
  index first, count;  // buffer rows
  index taps;
  index offsets;  // into tap_shifts_, three numbers per tap
  index weights;  // where packed weights start, within a group
};

// Rows that are computed into one buffer and stored together: whole lines of all w phases.
struct Unit {
  std::vector<Row> rows;  // in buffer order
  std::vector<RowTileRows> tiles;
  std::vector<index> buffer_row;               // of (pair, residue of w, channel), in this order
  std::vector<std::pair<index, index>> pairs;  // residues of d and h
  index channel_begin, channels;
};

template <class T>
class RowMethod final : public TaskMethod<T, RowMethod<T>> {
 public:
  RowMethod(const Shape& shape, const T* kernel, const Path& path);
  std::string explain(const Call<T>& call) const override;

 private:
  friend TaskMethod<T, RowMethod<T>>;
  struct Schedule : BlockedAxes {
    index window[kAxes];
    index unit_run, unit_runs, tasks;
    index plane, scratch_elements;
    bool streams;  // lines go around the caches
  };
  Schedule schedule(const Call<T>& call) const;
  void add_unit(const std::vector<std::pair<index, index>>& pairs, index channel, index channels);
  void pack(const T* kernel);
  void run_task(const Schedule& plan, const Call<T>& call, index task) const;
  void copy_window(const Schedule& plan, const T* src, const View<const T>& view, const index (&q)[kAxes],
                   T* to) const;
  void store_unit(const Schedule& plan, const Unit& unit, const Call<T>& call, T* dst, index q_d,
                  const index (&q)[kAxes], const index (&q_stop)[kAxes], index begin, index end,
                  const T* buffer) const;

  Shape shape_;
  const KernelTable<T>& table_;
  std::vector<AxisClass> classes_[kAxes];
  BufferSize buffer_;
  index reach_[kAxes];  // largest shift
  std::vector<Unit> units_;
  std::vector<index> tap_shifts_;  // (d, h, w) per tap of every tile
  index group_weights_ = 0;
  index most_rows_ = 0;
  Buffer<T> weights_;
};

template <class T>
RowMethod<T>::RowMethod(const Shape& shape, const T* kernel, const Path& path)
    : shape_(shape),
      table_(kernels<T>(path)),
      buffer_(shape.channels_first && shape.dst_channels() >= 32 ? kManyChannels : kFewChannels),
      weights_(0) {
  for (int a = 0; a < kAxes; ++a) {
    classes_[a] = classify(shape.kind, shape.k[a], shape.s[a], shape.d[a]);
    reach_[a] = 0;
    for (const AxisClass& c : classes_[a])
      for (const AxisTap& tap : c.taps) reach_[a] = std::max(reach_[a], tap.shift);
  }
  const index channels = shape.dst_channels();
  const index per_channel = shape.s[0] * shape.s[1] * shape.s[2];
  std::vector<std::pair<index, index>> pairs;
  for (index d = 0; d < shape.s[0]; ++d)
    for (index h = 0; h < shape.s[1]; ++h) pairs.emplace_back(d, h);
  if (per_channel * (shape.channels_first ? 1 : channels) <= buffer_.rows) {
    const index run = std::max<index>(1, buffer_.rows / per_channel);
    for (index c = 0; c < channels; c += run) add_unit(pairs, c, std::min(run, channels - c));
  } else {
    // Channels last, a unit holds all channels where it can: its lines are then one run of memory.
    const bool lines = !shape.channels_first && shape.s[2] * channels <= 2 * buffer_.rows;
    const index run = lines ? channels : std::max<index>(1, buffer_.rows / shape.s[2]);
    for (const auto& pair : pairs)
      for (index c = 0; c < channels; c += run) add_unit({pair}, c, std::min(run, channels - c));
  }
  weights_ = Buffer<T>(group_weights_ * shape.groups);
  pack(kernel);
}

template <class T>
void RowMethod<T>::add_unit(const std::vector<std::pair<index, index>>& pairs, index channel,
                            index channels) {
  Unit unit;
  unit.pairs = pairs;
  unit.channel_begin = channel;
  unit.channels = channels;
  // Rows by their taps: residues of an axis with the same shifts belong together.
  std::map<std::vector<index>, std::vector<Row>> by_taps;
  for (const auto& [d, h] : pairs)
    for (index w = 0; w < shape_.s[2]; ++w) {
      const index residue[kAxes] = {d, h, w};
      std::vector<index> key;
      for (int a = 0; a < kAxes; ++a) {
        for (const AxisTap& tap : classes_[a][std::size_t(residue[a])].taps) key.push_back(tap.shift);
        key.push_back(-1);
      }
      for (index c = 0; c < channels; ++c) by_taps[key].push_back({{d, h, w}, channel + c});
    }
  for (const auto& [key, rows] : by_taps) {
    const index count = index(rows.size());
    const index size = tile_size(count, table_.max_rows);
    const auto& cd = classes_[0][std::size_t(rows[0].residue[0])].taps;
    const auto& ch = classes_[1][std::size_t(rows[0].residue[1])].taps;
    const auto& cw = classes_[2][std::size_t(rows[0].residue[2])].taps;
    const index taps = index(cd.size() * ch.size() * cw.size());
    const index offsets = index(tap_shifts_.size());
    for (const AxisTap& td : cd)
      for (const AxisTap& th : ch)
        for (const AxisTap& tw : cw) tap_shifts_.insert(tap_shifts_.end(), {td.shift, th.shift, tw.shift});
    for (index first = 0; first < count; first += size) {
      const index m = std::min(size, count - first);
      unit.tiles.push_back({index(unit.rows.size()), m, taps, offsets, group_weights_});
      group_weights_ += taps * shape_.src_channels() * m;
      unit.rows.insert(unit.rows.end(), rows.begin() + first, rows.begin() + first + m);
    }
  }
  unit.buffer_row.resize(unit.rows.size());
  for (std::size_t n = 0; n < unit.rows.size(); ++n) {
    const Row& row = unit.rows[n];
    index pair = 0;
    while (pairs[std::size_t(pair)] != std::make_pair(row.residue[0], row.residue[1])) ++pair;
    unit.buffer_row[std::size_t((pair * shape_.s[2] + row.residue[2]) * channels + row.channel - channel)] =
        index(n);
  }
  most_rows_ = std::max(most_rows_, index(unit.rows.size()));
  units_.push_back(std::move(unit));
}

// Order of a tile: source channel, tap, row. A row of the kernel has one tap and one row's channels.
template <class T>
void RowMethod<T>::pack(const T* kernel) {
  const auto pack_unit = [&](index task) {
    const Shape& shape = shape_;
    const index co = shape.c_out / shape.groups, ci = shape.src_channels();
    const index units = index(units_.size()), group = task / units;
    const Unit& unit = units_[std::size_t(task % units)];
    std::vector<const T*> rows;  // (tap, row)
    for (const RowTileRows& tile : unit.tiles) {
      rows.resize(std::size_t(tile.taps * tile.count));
      for (index m = 0; m < tile.count; ++m) {
        const Row& row = unit.rows[std::size_t(tile.first + m)];
        std::size_t at = std::size_t(m);
        for (const AxisTap& td : classes_[0][std::size_t(row.residue[0])].taps)
          for (const AxisTap& th : classes_[1][std::size_t(row.residue[1])].taps)
            for (const AxisTap& tw : classes_[2][std::size_t(row.residue[2])].taps) {
              const index tap =
                  (td.kernel_index * shape.k[1] + th.kernel_index) * shape.k[2] + tw.kernel_index;
              rows[at] = kernel + (tap * co + row.channel) * shape.c_in + group * ci;
              at += std::size_t(tile.count);
            }
      }
      if (rows.empty()) continue;
      table_.interleave(rows.data(), index(rows.size()), ci,
                        weights_.data() + group * group_weights_ + tile.weights);
    }
  };
  parallel_for(shape_.groups * index(units_.size()), group_weights_ * shape_.groups > (1 << 18) ? 0 : 1,
               pack_unit, nullptr);
}

template <class T>
typename RowMethod<T>::Schedule RowMethod<T>::schedule(const Call<T>& call) const {
  Schedule s;
  s.open(shape_.kind, call.axes, classes_);
  const index lanes = table_.lanes, channels = shape_.src_channels();
  const auto elements = [&] {
    index count = channels;
    for (int a = 0; a < kAxes; ++a) count *= s.block[a] + reach_[a];
    return count;
  };
  const auto halve = [&] {
    for (int a = 0; a < kAxes; ++a)
      if (s.block[a] > (a == 2 ? 8 * lanes : 1)) {
        s.block[a] = ceil_div(s.block[a], 2);
        return true;
      }
    return false;
  };
  const index budget = block_budget() / index(sizeof(T));
  while (elements() > budget && halve()) {
  }
  const auto count_tasks = [&] { return call.src.n * shape_.groups * s.count(); };
  const int threads = call.threads < 1 ? default_threads() : call.threads;
  const index wanted = threads > 1 ? 4 * threads : 1, units = index(units_.size());
  index blocks = count_tasks();
  while (blocks > 0 && blocks < wanted && s.block[0] * s.block[1] > 1 && halve()) blocks = count_tasks();
  s.unit_run = units;
  if (blocks > 0 && blocks < wanted) s.unit_run = ceil_div(units, std::min(units, ceil_div(wanted, blocks)));
  s.unit_runs = ceil_div(units, s.unit_run);
  while (blocks > 0 && blocks * s.unit_runs < wanted && s.block[2] > 8 * lanes && halve())
    blocks = count_tasks();
  s.tasks = blocks * s.unit_runs;
  s.streams = worth_streaming(call.dst, shape_.dst_channels());
  for (int a = 0; a < kAxes; ++a) s.window[a] = s.block[a] + reach_[a];
  s.plane = s.window[0] * s.window[1] * s.window[2];
  // The last tile of a plane may read one chunk beyond it.
  s.scratch_elements = ceil_div(channels * s.plane + buffer_.vectors * lanes, lanes) * lanes +
                       most_rows_ * buffer_.vectors * lanes;
  return s;
}

template <class T>
void RowMethod<T>::copy_window(const Schedule& plan, const T* src, const View<const T>& view,
                               const index (&q)[kAxes], T* to) const {
  const index channels = shape_.src_channels(), width = plan.window[2];
  const index w0 = q[2] - reach_[2];  // source position of the window's first column
  const index inside = std::clamp<index>(-w0, 0, width);
  const index inside_end = std::clamp<index>(view.size[2] - w0, inside, width);
  const auto clear = [](T* p, index count) { std::memset(p, 0, sizeof(T) * std::size_t(count)); };
  if (view.stride[2] == 1 && inside < inside_end) {  // plane by plane, as the memory runs
    const index h0 = std::clamp<index>(reach_[1] - q[1], 0, plan.window[1]);
    const index h1 = std::clamp<index>(view.size[1] + reach_[1] - q[1], h0, plan.window[1]);
    for (index c = 0; c < channels; ++c)
      for (index d = 0; d < plan.window[0]; ++d) {
        const index sd = q[0] - reach_[0] + d;
        T* plane = to + c * plan.plane + d * plan.window[1] * width;
        if (sd < 0 || sd >= view.size[0]) {
          clear(plane, plan.window[1] * width);
          continue;
        }
        clear(plane, h0 * width);
        clear(plane + h1 * width, (plan.window[1] - h1) * width);
        table_.pad_rows(src + c * view.stride_c + sd * view.stride[0] +
                            (q[1] - reach_[1] + h0) * view.stride[1] + (w0 + inside),
                        view.stride[1], h1 - h0, inside, inside_end - inside, width - inside_end,
                        plane + h0 * width, width);
      }
    return;
  }
  for (index d = 0; d < plan.window[0]; ++d)
    for (index h = 0; h < plan.window[1]; ++h) {
      const index sd = q[0] - reach_[0] + d, sh = q[1] - reach_[1] + h;
      T* row = to + (d * plan.window[1] + h) * width;
      if (sd < 0 || sd >= view.size[0] || sh < 0 || sh >= view.size[1] || inside == inside_end) {
        for (index c = 0; c < channels; ++c) clear(row + c * plan.plane, width);
        continue;
      }
      const T* from = src + sd * view.stride[0] + sh * view.stride[1] + (w0 + inside) * view.stride[2];
      const index count = inside_end - inside;
      if (view.stride_c == 1)
        table_.transpose(from, view.stride[2], count, channels, row + inside, plan.plane);
      for (index c = 0; c < channels; ++c) {
        T* line = row + c * plan.plane;
        for (index w = 0; w < inside; ++w) line[w] = 0;
        for (index w = inside_end; w < width; ++w) line[w] = 0;
        if (view.stride_c != 1)
          for (index j = 0; j < count; ++j) line[inside + j] = from[c * view.stride_c + j * view.stride[2]];
      }
    }
}

// Positions [begin, end) of a plane leave the buffer, line by line.
template <class T>
void RowMethod<T>::store_unit(const Schedule& plan, const Unit& unit, const Call<T>& call, T* dst, index q_d,
                              const index (&q)[kAxes], const index (&q_stop)[kAxes], index begin, index end,
                              const T* buffer) const {
  const View<T>& out = call.dst;
  const index width = plan.window[2], s = shape_.s[2];
  Line<T> line;
  line.pitch = buffer_.vectors * table_.lanes;
  line.s = s;
  line.lo = call.axes[2].lo;
  line.length = call.axes[2].o;
  line.channels = unit.channels;
  line.stride = out.stride[2];
  line.stride_c = out.stride_c;
  line.streams = plan.streams;
  for (index n = begin / width; n * width < end; ++n) {
    const index q_h = q[1] + n;
    line.q_begin = q[2] + std::max<index>(begin - n * width, 0);
    line.q_end = std::min(q[2] + end - n * width, q_stop[2]);
    if (line.q_begin >= line.q_end || q_h >= q_stop[1]) continue;
    line.buffer = buffer + n * width - begin + line.q_begin - q[2];
    for (std::size_t p = 0; p < unit.pairs.size(); ++p) {
      const index o_d = shape_.s[0] * q_d + unit.pairs[p].first - call.axes[0].lo;
      const index o_h = shape_.s[1] * q_h + unit.pairs[p].second - call.axes[1].lo;
      if (o_d < 0 || o_d >= call.axes[0].o || o_h < 0 || o_h >= call.axes[1].o) continue;
      line.dst = dst + unit.channel_begin * out.stride_c + o_d * out.stride[0] + o_h * out.stride[1];
      line.map = unit.buffer_row.data() + index(p) * s * unit.channels;
      store_line(table_, line);
    }
  }
}

template <class T>
void RowMethod<T>::run_task(const Schedule& plan, const Call<T>& call, index task) const {
  const index lanes = table_.lanes, channels = shape_.src_channels();

  const index unit_begin = task % plan.unit_runs * plan.unit_run;
  const index unit_end = std::min(unit_begin + plan.unit_run, index(units_.size()));
  task /= plan.unit_runs;
  index q[kAxes], q_stop[kAxes];
  plan.take(task, q, q_stop);
  const index group = task % shape_.groups, image = task / shape_.groups;

  T* const planes = static_cast<T*>(scratch(sizeof(T) * std::size_t(plan.scratch_elements)));
  T* const buffer = planes + plan.scratch_elements - most_rows_ * buffer_.vectors * lanes;
  copy_window(plan, call.src.data + image * call.src.stride_n + group * channels * call.src.stride_c,
              call.src, q, planes);
  std::memset(planes + channels * plan.plane, 0, sizeof(T) * std::size_t(buffer_.vectors * lanes));

  T* dst = call.dst.data + image * call.dst.stride_n + group * shape_.dst_channels() * call.dst.stride_c;
  std::vector<index> offsets(tap_shifts_.size() / 3);
  for (std::size_t t = 0; t < offsets.size(); ++t) {
    const index* shift = tap_shifts_.data() + 3 * t;
    offsets[t] = -((shift[0] * plan.window[1] + shift[1]) * plan.window[2] + shift[2]);
  }
  T bias[KernelTable<T>::kMaxRows];
  RowTile<T> tile;
  tile.src_stride_c = plan.plane;
  tile.channels = channels;
  tile.bias = bias;
  tile.dst_stride = buffer_.vectors * lanes;
  tile.weight_offset = nullptr;

  const index run = (q_stop[1] - q[1] - 1) * plan.window[2] + q_stop[2] - q[2];  // positions of a plane
  for (index q_d = q[0]; q_d < q_stop[0]; ++q_d) {
    const T* first =
        planes + ((q_d - q[0] + reach_[0]) * plan.window[1] + reach_[1]) * plan.window[2] + reach_[2];
    for (index begin = 0; begin < run; begin += buffer_.vectors * lanes) {
      const index end = std::min(begin + buffer_.vectors * lanes, run);
      const index vectors = ceil_div(end - begin, lanes);
      for (index u = unit_begin; u < unit_end; ++u) {
        const Unit& unit = units_[std::size_t(u)];
        for (const RowTileRows& rows : unit.tiles) {
          for (index m = 0; m < rows.count; ++m)
            bias[m] = call.bias ? call.bias[group * shape_.dst_channels() +
                                            unit.rows[std::size_t(rows.first + m)].channel]
                                : T(0);
          tile.taps = rows.taps;
          tile.src_offset = offsets.data() + rows.offsets / 3;
          tile.weights = weights_.data() + group * group_weights_ + rows.weights;
          const index size = tile_size(vectors, table_.row_vectors[rows.count - 1]);
          for (index v = 0; v < vectors; v += size) {
            const index some = std::min(size, vectors - v);
            tile.src = first + begin + v * lanes;
            tile.dst = buffer + rows.first * tile.dst_stride + v * lanes;
            table_.row[rows.count - 1][some - 1](tile);
          }
        }
        store_unit(plan, unit, call, dst, q_d, q, q_stop, begin, end, buffer);
      }
    }
  }
}

template <class T>
std::string RowMethod<T>::explain(const Call<T>& call) const {
  return "row method: vectors of " + std::to_string(table_.lanes) + " positions, " +
         std::to_string(schedule(call).tasks) + " tasks";
}

}  // namespace

template <class T>
std::unique_ptr<Method<T>> make_row_method(const Shape& shape, const T* kernel, const Path& path) {
  return std::make_unique<RowMethod<T>>(shape, kernel, path);
}

template std::unique_ptr<Method<float>> make_row_method(const Shape&, const float*, const Path&);
template std::unique_ptr<Method<double>> make_row_method(const Shape&, const double*, const Path&);

}  // namespace ct
