// The row method: vectors along neighbouring positions, for layers with few destination channels and
// for channels-first data.
//
// A block of q-space is copied once into planar, zero-padded scratch memory (channel, d, h, w). There the
// positions (h, w) of a plane form one run, halo columns included, and every tap is one constant offset.
// Phases and channels that share their taps share the loads of a tile. The rows of all phases meet in a
// small buffer and leave it interleaved.
//
// The strides of an adjoint belong to the source. Its phases are split into planes of their own, and what is
// left is an adjoint of unit stride over more planes: along an axis
//   source i * s - lo + t * d  is number  i + t * d / s  of phase  t * d % s,
// where number j of phase r is source j * s + r - lo.
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
// Small arrays get a smaller buffer, as long as that is hardly slower.
constexpr index kFewestVectors = 9, kSmallBuffer = 32 << 10;
// Vectors that a tile passes over where there is no buffer, whole lines if there are several.
constexpr index kInPlace = 24;

// One destination row: a phase of every axis and a channel.
struct Row {
  index residue[kAxes];
  index channel;  // within the group
};

// Where a tap reads: a plane of every source channel, and how far from q.
struct RowTap {
  index plane, shift[kAxes];
};

// A phase of the source along one axis: column j of a window is source `first + j * stride`, which exists for
// j in [begin, end).
struct Columns {
  index first, begin, end;
};

// Rows that share their taps; one micro-kernel call.
struct RowTileRows {
  index first, count;  // buffer rows
  index taps;
  index offsets;  // into taps_
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
    index buffer_vectors, buffer_elements;  // of positions, and of all rows
    bool streams;                           // lines go around the caches
    bool in_place;                          // kernels write the destinations themselves
  };
  // Positions that tiles pass over: some runs of the scratch memory, and where the first one's results go.
  struct Rows {
    const T* src;
    index pitch, runs, positions;
    T* dst;
  };
  Schedule schedule(const Call<T>& call) const;
  void add_unit(const std::vector<std::pair<index, index>>& pairs, index channel, index channels);
  void pack(const T* kernel);
  // The first q that a window holds for the block q.
  index window_begin(int a, index q) const { return forward_ ? q - reach_[a] : q; }
  // Destination 0 in full coordinates.
  index first_destination(int a, const Call<T>& call) const { return forward_ ? call.axes[a].lo : 0; }
  index phase(int a, const AxisTap& tap) const;
  Columns columns(const Schedule& plan, const Call<T>& call, int a, index q, index phase) const;
  void run_task(const Schedule& plan, const Call<T>& call, index task) const;
  void copy_window(const Schedule& plan, const Call<T>& call, const T* src, const index (&q)[kAxes],
                   T* to) const;
  void copy_line(const Schedule& plan, const View<const T>& view, const std::vector<Columns>& w,
                 index channels, const T* from, T* to) const;
  void compute_unit(const Schedule& plan, const Call<T>& call, const Unit& unit, index group,
                    const std::vector<index>& offsets, const Rows& rows, RowTile<T> tile) const;
  void store_unit(const Schedule& plan, const Unit& unit, const Call<T>& call, T* dst, index q_d,
                  const index (&q)[kAxes], const index (&q_stop)[kAxes], index begin, index end,
                  const T* buffer) const;

  Shape shape_;
  const KernelTable<T>& table_;
  bool forward_;
  index src_step_[kAxes], dst_step_[kAxes];  // the stride belongs to one of them
  std::vector<AxisClass> classes_[kAxes];
  std::vector<index> phases_[kAxes];  // of the source, those that taps read
  index planes_ = 1;                  // of a source channel
  BufferSize buffer_;
  index reach_[kAxes];  // largest shift
  std::vector<Unit> units_;
  std::vector<RowTap> taps_;  // of every tile
  index group_weights_ = 0;
  index most_rows_ = 0;
  Buffer<T> weights_;
};

template <class T>
RowMethod<T>::RowMethod(const Shape& shape, const T* kernel, const Path& path)
    : shape_(shape),
      table_(kernels<T>(path)),
      forward_(shape.kind == Kind::forward),
      buffer_(shape.channels_first && shape.dst_channels() >= 32 ? kManyChannels : kFewChannels),
      weights_(0) {
  for (int a = 0; a < kAxes; ++a) {
    classes_[a] = classify(shape.kind, shape.k[a], shape.s[a], shape.d[a]);
    src_step_[a] = forward_ ? 1 : shape.s[a];
    dst_step_[a] = forward_ ? shape.s[a] : 1;
    reach_[a] = 0;
    for (const AxisClass& c : classes_[a])
      for (const AxisTap& tap : c.taps) {
        reach_[a] = std::max(reach_[a], tap.shift / src_step_[a]);
        phases_[a].push_back(tap.shift % src_step_[a]);
      }
    std::sort(phases_[a].begin(), phases_[a].end());
    phases_[a].erase(std::unique(phases_[a].begin(), phases_[a].end()), phases_[a].end());
    planes_ *= index(phases_[a].size());
  }
  const index channels = shape.dst_channels();
  const index per_channel = dst_step_[0] * dst_step_[1] * dst_step_[2];
  std::vector<std::pair<index, index>> pairs;
  for (index d = 0; d < dst_step_[0]; ++d)
    for (index h = 0; h < dst_step_[1]; ++h) pairs.emplace_back(d, h);
  if (per_channel * (shape.channels_first ? 1 : channels) <= buffer_.rows) {
    const index run = std::max<index>(1, buffer_.rows / per_channel);
    for (index c = 0; c < channels; c += run) add_unit(pairs, c, std::min(run, channels - c));
  } else {
    // Channels last, a unit holds all channels where it can: its lines are then one run of memory.
    const bool lines = !shape.channels_first && dst_step_[2] * channels <= 2 * buffer_.rows;
    const index run = lines ? channels : std::max<index>(1, buffer_.rows / dst_step_[2]);
    for (const auto& pair : pairs)
      for (index c = 0; c < channels; c += run) add_unit({pair}, c, std::min(run, channels - c));
  }
  weights_ = Buffer<T>(group_weights_ * shape.groups);
  pack(kernel);
}

template <class T>
index RowMethod<T>::phase(int a, const AxisTap& tap) const {
  const index residue = tap.shift % src_step_[a];
  return std::lower_bound(phases_[a].begin(), phases_[a].end(), residue) - phases_[a].begin();
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
    for (index w = 0; w < dst_step_[2]; ++w) {
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
    const index offsets = index(taps_.size());
    for (const AxisTap& td : cd)
      for (const AxisTap& th : ch)
        for (const AxisTap& tw : cw) {
          const index planes[2] = {index(phases_[1].size()), index(phases_[2].size())};
          taps_.push_back({(phase(0, td) * planes[0] + phase(1, th)) * planes[1] + phase(2, tw),
                           {td.shift / src_step_[0], th.shift / src_step_[1], tw.shift / src_step_[2]}});
        }
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
    unit.buffer_row[std::size_t((pair * dst_step_[2] + row.residue[2]) * channels + row.channel - channel)] =
        index(n);
  }
  most_rows_ = std::max(most_rows_, index(unit.rows.size()));
  units_.push_back(std::move(unit));
}

// Order of a tile: source channel, tap, row. A row of the kernel has one tap and one output channel: forward
// that is one row's source channels, of an adjoint one source channel's rows.
template <class T>
void RowMethod<T>::pack(const T* kernel) {
  const auto pack_unit = [&](index task) {
    const Shape& shape = shape_;
    const index co = shape.c_out / shape.groups, ci = shape.c_in / shape.groups;
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
              rows[at] = kernel + tap * co * shape.c_in + group * ci +
                         (forward_ ? row.channel * shape.c_in : row.channel);
              at += std::size_t(tile.count);
            }
      }
      if (rows.empty()) continue;
      T* to = weights_.data() + group * group_weights_ + tile.weights;
      if (forward_) {
        table_.interleave(rows.data(), index(rows.size()), ci, to);
      } else {
        for (index c = 0; c < co; ++c)
          for (const T* row : rows) *to++ = row[c * shape.c_in];
      }
    }
  };
  parallel_for(shape_.groups * index(units_.size()), group_weights_ * shape_.groups > (1 << 18) ? 0 : 1,
               pack_unit, nullptr);
}

template <class T>
typename RowMethod<T>::Schedule RowMethod<T>::schedule(const Call<T>& call) const {
  Schedule s;
  s.open(shape_.kind, call.axes, classes_);
  const index lanes = table_.lanes, planes = shape_.src_channels() * planes_;
  const auto elements = [&] {
    index count = planes;
    for (int a = 0; a < kAxes; ++a) count *= s.block[a] + reach_[a];
    return count;
  };
  const auto halve = [&] {
    for (int a = 0; a < kAxes; ++a)
      if (s.block[a] > (a == 2 ? 8 * lanes : 1)) {
        s.block[a] = ceil_div(s.block[a], 2);
        if (a == 2) s.block[a] = ceil_div(s.block[a], lanes) * lanes;  // lines stay aligned
        return true;
      }
    return false;
  };
  const index budget = block_budget() / index(sizeof(T));
  while (elements() > budget && halve()) {
  }
  const auto count_tasks = [&] { return call.src.n * shape_.groups * s.count(); };
  const int threads = thread_count(call.threads);
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
  // A line of one phase needs no buffer. Its last vector is stored in part, which short lines do not pay for.
  const index vectors = ceil_div(s.block[2], lanes) * lanes;
  s.in_place = dst_step_[0] * dst_step_[1] * dst_step_[2] == 1 && call.dst.stride[2] == 1 &&
               4 * vectors <= 5 * (s.block[2] + reach_[2]);
  for (int a = 0; a < kAxes; ++a) s.window[a] = s.block[a] + reach_[a];
  s.plane = s.window[0] * s.window[1] * s.window[2];
  // The last vector of a plane may begin at its last position.
  const index window = ceil_div(planes * s.plane + lanes, lanes) * lanes;
  const index left = std::max(scratch_share(shape_, call) - window, kSmallBuffer / index(sizeof(T)));
  s.buffer_vectors =
      std::clamp(left / (most_rows_ * lanes), std::min(kFewestVectors, buffer_.vectors), buffer_.vectors);
  s.buffer_elements = s.in_place ? 0 : most_rows_ * s.buffer_vectors * lanes;
  s.scratch_elements = window + s.buffer_elements;
  return s;
}

template <class T>
Columns RowMethod<T>::columns(const Schedule& plan, const Call<T>& call, int a, index q, index phase) const {
  const index step = src_step_[a], size = call.src.size[a], window = plan.window[a];
  const index first = window_begin(a, q) * step + phase - (forward_ ? 0 : call.axes[a].lo);
  const index begin = std::clamp<index>(-floor_div(first, step), 0, window);
  return {first, begin, std::clamp<index>(-floor_div(first - size, step), begin, window)};
}

// One line of the source, which begins at `from`, goes to the lines of its phases.
template <class T>
void RowMethod<T>::copy_line(const Schedule& plan, const View<const T>& view, const std::vector<Columns>& w,
                             index channels, const T* from, T* to) const {
  const index step = src_step_[2], phases = index(w.size()), next = planes_ * plan.plane;
  const bool vectors = view.stride_c == 1 && channels > 1;
  // Columns that all phases have: for neighbours, and if there are enough of them, a block to transpose.
  index begin = plan.window[2], end = begin;
  if (view.stride[2] == 1 && !vectors && phases == step && w.back().end - w.front().begin >= table_.lanes) {
    begin = w.front().begin;
    end = w.back().end;
  }
  for (index c = 0; c < channels; ++c)
    if (begin < end)
      table_.transpose(from + c * view.stride_c + w.front().first + begin * step, step, end - begin, step,
                       to + c * next + begin, plan.plane);
  for (index r = 0; r < phases; ++r, to += plan.plane) {
    const Columns& phase = w[std::size_t(r)];
    const T* first = from + phase.first * view.stride[2];
    if (vectors)
      table_.transpose(first + phase.begin * step * view.stride[2], step * view.stride[2],
                       phase.end - phase.begin, channels, to + phase.begin, next);
    for (index c = 0; c < channels; ++c) {
      T* line = to + c * next;
      const auto copy = [&](index j, index stop) {
        for (; j < stop; ++j) line[j] = first[c * view.stride_c + j * step * view.stride[2]];
      };
      std::fill(line, line + phase.begin, T(0));
      std::fill(line + phase.end, line + plan.window[2], T(0));
      if (vectors) continue;
      copy(phase.begin, std::min(begin, phase.end));
      copy(std::max(end, phase.begin), phase.end);
    }
  }
}

template <class T>
void RowMethod<T>::copy_window(const Schedule& plan, const Call<T>& call, const T* src,
                               const index (&q)[kAxes], T* to) const {
  const View<const T>& view = call.src;
  const index width = plan.window[2], plane = plan.window[1] * width;
  const bool planar = view.stride[2] == 1;  // plane by plane, as the memory runs
  const index some = planar ? 1 : shape_.src_channels();
  std::vector<Columns> w;
  for (const index r : phases_[2]) w.push_back(columns(plan, call, 2, q[2], r));
  const index phases = index(w.size());
  const auto clear = [&](T* p, index lines) {
    for (index n = 0; n < some; ++n, p += planes_ * plan.plane)
      for (index r = 0; r < phases; ++r)
        std::memset(p + r * plan.plane, 0, sizeof(T) * std::size_t(lines * width));
  };
  for (index c = 0; c < shape_.src_channels(); c += some)
    for (const index rd : phases_[0])
      for (const index rh : phases_[1]) {
        const Columns d = columns(plan, call, 0, q[0], rd), h = columns(plan, call, 1, q[1], rh);
        const T* from = src + c * view.stride_c + d.first * view.stride[0] + h.first * view.stride[1];
        const index next = src_step_[1] * view.stride[1];
        for (index n = 0; n < plan.window[0]; ++n) {
          T* lines = to + n * plane;
          const bool exists = n >= d.begin && n < d.end;
          const index begin = exists ? h.begin : 0, end = exists ? h.end : 0;
          clear(lines, begin);
          clear(lines + end * width, plan.window[1] - end);
          const T* line = from + n * src_step_[0] * view.stride[0];
          if (planar && src_step_[2] == 1 && w[0].begin < w[0].end)
            table_.pad_rows(line + begin * next + w[0].first + w[0].begin, next, end - begin, w[0].begin,
                            w[0].end - w[0].begin, width - w[0].end, lines + begin * width, width);
          else
            for (index j = begin; j < end; ++j)
              copy_line(plan, view, w, some, line + j * next, lines + j * width);
        }
        to += phases * plan.plane;
      }
}

// Positions [begin, end) of a plane leave the buffer, line by line.
template <class T>
void RowMethod<T>::store_unit(const Schedule& plan, const Unit& unit, const Call<T>& call, T* dst, index q_d,
                              const index (&q)[kAxes], const index (&q_stop)[kAxes], index begin, index end,
                              const T* buffer) const {
  const View<T>& out = call.dst;
  const index width = plan.window[2], s = dst_step_[2];
  Line<T> line;
  line.pitch = plan.buffer_vectors * table_.lanes;
  line.s = s;
  line.lo = first_destination(2, call);
  line.length = out.size[2];
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
      const index o_d = dst_step_[0] * q_d + unit.pairs[p].first - first_destination(0, call);
      const index o_h = dst_step_[1] * q_h + unit.pairs[p].second - first_destination(1, call);
      if (o_d < 0 || o_d >= out.size[0] || o_h < 0 || o_h >= out.size[1]) continue;
      line.dst = dst + unit.channel_begin * out.stride_c + o_d * out.stride[0] + o_h * out.stride[1];
      line.map = unit.buffer_row.data() + index(p) * s * unit.channels;
      store_line(table_, line);
    }
  }
}

// All tiles of a unit over some runs of positions.
template <class T>
void RowMethod<T>::compute_unit(const Schedule& plan, const Call<T>& call, const Unit& unit, index group,
                                const std::vector<index>& offsets, const Rows& rows, RowTile<T> tile) const {
  const index lanes = table_.lanes, vectors = ceil_div(rows.positions, lanes);
  const index vector_bytes = index(sizeof(T)) * lanes;
  T bias[KernelTable<T>::kMaxRows];
  tile.bias = bias;
  for (const RowTileRows& part : unit.tiles) {
    for (index m = 0; m < part.count; ++m) {
      const index channel = unit.rows[std::size_t(part.first + m)].channel;
      bias[m] = call.bias ? call.bias[group * shape_.dst_channels() + channel] : T(0);
    }
    tile.taps = part.taps;
    tile.src_offset = offsets.data() + part.offsets;
    tile.weights = weights_.data() + group * group_weights_ + part.weights;
    T* const to = rows.dst + part.first * tile.dst_stride;
    const index size = tile_size(vectors, table_.row_vectors[part.count - 1]);
    for (index n = 0; n < rows.runs; ++n)
      for (index v = 0; v < vectors; v += size) {
        const index some = std::min(size, vectors - v), left = rows.positions - v * lanes;
        tile.src = rows.src + n * rows.pitch + v * lanes;
        tile.dst = to + n * call.dst.stride[1] + v * lanes;
        if (plan.in_place) {
          tile.rest = left < some * lanes ? left % lanes : 0;
          tile.streams = plan.streams && tile.rest == 0 &&
                         reinterpret_cast<std::uintptr_t>(tile.dst) % std::uintptr_t(vector_bytes) == 0;
        }
        table_.row[part.count - 1][some - 1](tile);
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
  T* const buffer = planes + plan.scratch_elements - plan.buffer_elements;
  copy_window(plan, call, call.src.data + image * call.src.stride_n + group * channels * call.src.stride_c, q,
              planes);
  std::memset(planes + channels * planes_ * plan.plane, 0, sizeof(T) * std::size_t(lanes));

  T* dst = call.dst.data + image * call.dst.stride_n + group * shape_.dst_channels() * call.dst.stride_c;
  const auto place = [&](index d, index h, index w) { return (d * plan.window[1] + h) * plan.window[2] + w; };
  std::vector<index> offsets;
  for (const RowTap& tap : taps_) {
    const index shift = place(tap.shift[0], tap.shift[1], tap.shift[2]);
    offsets.push_back(tap.plane * plan.plane + (forward_ ? -shift : shift));
  }
  index before[kAxes];  // columns of the window before q
  for (int a = 0; a < kAxes; ++a) before[a] = q[a] - window_begin(a, q[a]);
  RowTile<T> tile;
  tile.src_stride_c = planes_ * plan.plane;
  tile.channels = channels;
  tile.dst_stride = plan.in_place ? call.dst.stride_c : plan.buffer_vectors * lanes;
  tile.weight_offset = nullptr;

  // All lines of a plane are one run of positions; or, where kernels write the destinations, each is one of
  // its own, and a tile passes over several of them.
  const index lines = q_stop[1] - q[1], length = q_stop[2] - q[2], pitch = plan.window[2];
  const index chunk = (plan.in_place ? kInPlace : plan.buffer_vectors) * lanes;
  const index most = plan.in_place ? std::max<index>(1, chunk / length) : lines;
  const index run = plan.in_place ? length : (lines - 1) * pitch + length;
  for (index q_d = q[0]; q_d < q_stop[0]; ++q_d)
    for (index q_h = q[1]; q_h < q_stop[1]; q_h += most) {
      const T* first = planes + place(q_d - q[0] + before[0], q_h - q[1] + before[1], before[2]);
      T* const line = dst + (q_d - first_destination(0, call)) * call.dst.stride[0] +
                      (q_h - first_destination(1, call)) * call.dst.stride[1] + q[2] -
                      first_destination(2, call);
      const index runs = plan.in_place ? std::min(most, q_stop[1] - q_h) : 1;
      for (index begin = 0; begin < run; begin += chunk) {
        const index end = std::min(begin + chunk, run);
        for (index u = unit_begin; u < unit_end; ++u) {
          const Unit& unit = units_[std::size_t(u)];
          const Rows rows = {first + begin, pitch, runs, end - begin,
                             plan.in_place ? line + unit.channel_begin * tile.dst_stride + begin : buffer};
          compute_unit(plan, call, unit, group, offsets, rows, tile);
          if (!plan.in_place) store_unit(plan, unit, call, dst, q_d, q, q_stop, begin, end, buffer);
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
