// The row method: vectors along neighbouring positions, for layers with few destination channels and
// for channels-first data.
//
// A block of q-space is copied once into planar, zero-padded scratch memory (channel, d, h, w). There the
// positions (h, w) of a plane form one run, halo columns included, and every tap is one constant offset.
// Phases and channels that share their taps share the loads of a tile. The rows of all phases meet in a
// small buffer and leave it interleaved, unless kernels write the destinations themselves: lines of one
// phase, or of two that share their taps. The latter, where a phase has one tap at most, take no copy of the
// block but one of a panel at a time, the samples of few tiles.
//
// The strides of an adjoint belong to the source. Its phases are split into planes of their own, and what is
// left is an adjoint of unit stride over more planes: along an axis
//   source i * s - lo + t * d  is number  i + t * d / s  of phase  t * d % s,
// where number j of phase r is source j * s + r - lo.
//
// The taps of a forward along h may take a form of winograd_forms.h: tiles of m neighbouring lines. The lines
// of a block are then turned into those of the points, which vectors do without shuffles, and the rows of a
// point are sums over the taps of d and w alone; the lines of a tile are restored in the buffer.
#include <algorithm>
#include <cstring>
#include <map>

#include "method.h"
#include "schedule.h"
#include "store_line.h"
#include "winograd_forms.h"

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
constexpr index kFewestVectors = 9, kFewestOfPoints = 3, kSmallBuffer = 32 << 10;
// Vectors that a tile passes over where there is no buffer, whole lines if there are several.
constexpr index kInPlace = 24;
// Bytes of the first cache, for the samples of few tiles.
constexpr index kPanelBytes = 32 << 10;
// Bytes of a line that are worth a way around the caches where its ends share theirs with others.
constexpr index kLeastRun = 512;

// Planes of a source lie far apart: a copy fetches the lines of one that comes so much later.
constexpr index kPlanesAhead = 2, kLine = 64;
// Tiles of lines that a call transforms, and their samples.
constexpr index kMostTiles = 16, kMostLines = kMostTiles * kWinogradMostOutputs + kWinogradMostPoints;

// One destination row: a phase of every axis and a channel.
struct Row {
  index residue[kAxes];
  index channel;  // within the group
};

// Where a tap reads: a plane of every source channel, and how far from q.
struct RowTap {
  index plane, shift[kAxes];
};

// What the rows of a point are sums over along h: a phase of the source, and the taps that meet there.
struct LineTap {
  index phase, shift;
  std::vector<index> kernel;
  std::vector<double> factor;
};

// Vector operations beside the products, measured: per line of a point, and per row that leaves a form; and
// how much of the direct sum a form may cost.
constexpr double kFormInput = 10, kFormOutput = 8, kFormWorth = .9;
// Sums of fewer products have so little rounding that rough forms would stand out.
constexpr double kFewProducts = 32;

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
  index weights;  // where packed weights start, within a group; those of a point follow the last one's
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
    index tiles;   // of lines, in a block
    index height;  // lines of a plane in scratch memory
    index plane, scratch_elements;
    index buffer_vectors, buffer_elements;  // of positions, and of all rows
    bool streams;                           // lines go around the caches
    bool passes;                            // by way of a buffer
    bool in_place;                          // kernels write the destinations themselves
    bool panels;                            // a window holds what few tiles read, not a block
  };
  // Lines of a plane of the source: number j is at first + j * pitch and exists for j in [begin, end).
  struct Lines {
    const T* first;
    index pitch, begin, end;
    index ahead;  // to a plane that will be wanted soon, or 0
  };
  // Positions that tiles pass over: runs of the scratch memory, lines or one for each point of a form, and
  // where the first one's results go. Joined lines find their places by `q`, from the group's destinations
  // on.
  struct Rows {
    const T* src;
    index pitch, runs, positions;
    T* dst;
    index dst_pitch;
    const index* q;  // the first position
    const T* ahead;  // sources that will be copied next, or null
  };
  Schedule schedule(const Call<T>& call) const;
  void add_unit(const std::vector<std::pair<index, index>>& pairs, index channel, index channels);
  void pack(const T* kernel);
  // The first q that a window holds for the block q.
  bool filtered() const { return form_.points > 1; }
  index window_begin(int a, index q) const { return forward_ ? q - reach_[a] : q; }
  // Destination 0 in full coordinates.
  index first_destination(int a, const Call<T>& call) const { return forward_ ? call.axes[a].lo : 0; }
  index phase(int a, const AxisTap& tap) const;
  std::vector<LineTap> line_taps(const AxisClass& cls, int point) const;
  Columns columns(const Schedule& plan, const Call<T>& call, int a, index q, index phase) const;
  void run_task(const Schedule& plan, const Call<T>& call, index task) const;
  void copy_window(const Schedule& plan, const Call<T>& call, const T* src, const index (&q)[kAxes], T* to,
                   T* stage) const;
  void copy_panel(const Schedule& plan, const Call<T>& call, const T* src, const index (&q)[kAxes],
                  index lines, T* to) const;
  void copy_line(const Schedule& plan, const View<const T>& view, const std::vector<Columns>& w,
                 index channels, const T* from, T* to) const;
  void copy_plane(const Lines& from, const Schedule& plan, const Columns& w, T* to, T* zeros) const;
  void transform_plane(const Lines& from, const Schedule& plan, const Columns& w, T* to, T* zeros) const;
  void compute_unit(const Schedule& plan, const Call<T>& call, const Unit& unit, index group,
                    const std::vector<index>& offsets, const Rows& rows, RowTile<T> tile) const;
  void compute_lines(const Schedule& plan, const Call<T>& call, const RowTileRows& part, const Unit& unit,
                     const Rows& rows, index size, RowTile<T>& tile) const;
  void restore_lines(const Schedule& plan, const Call<T>& call, const Unit& unit, index group,
                     T* buffer) const;
  void store_unit(const Schedule& plan, const Unit& unit, const Call<T>& call, T* dst, index q_d,
                  const index (&q)[kAxes], const index (&q_stop)[kAxes], index begin, index end, index output,
                  const T* buffer) const;

  Shape shape_;
  const KernelTable<T>& table_;
  const WinogradForm& form_;  // along h; the plain one leaves the taps as they are
  bool forward_;
  bool joins_;  // both phases along w are sums over the same samples: kernels can interleave them
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
  index least_vectors_ = KernelTable<T>::kMaxRowVectors;  // that the largest tiles of any part have
  Buffer<T> weights_;
};

template <class T>
RowMethod<T>::RowMethod(const Shape& shape, const T* kernel, const Path& path)
    : shape_(shape),
      table_(kernels<T>(path)),
      form_(row_form(shape)),
      forward_(shape.kind == Kind::forward),
      joins_(forward_ && !filtered() && shape.channels_first && shape.s[2] == 2 && shape.d[2] == 1 &&
             shape.k[2] % 2 == 0),
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
  if (per_channel * form_.points * (shape.channels_first ? 1 : channels) <= buffer_.rows) {
    const index run = std::max<index>(1, buffer_.rows / (per_channel * form_.points));
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
  const index together = joins_ ? dst_step_[2] : 1;
  // Rows by their taps: residues of an axis with the same shifts belong together.
  std::map<std::vector<index>, std::vector<Row>> by_taps;
  for (const auto& [d, h] : pairs)
    for (index w = 0; w < dst_step_[2]; w += together) {
      const index residue[kAxes] = {d, h, w};
      std::vector<index> key;
      for (int a = 0; a < kAxes; ++a) {
        if (a == 1 && filtered()) continue;  // a form has the same lines for all of them
        for (const AxisTap& tap : classes_[a][std::size_t(residue[a])].taps) key.push_back(tap.shift);
        key.push_back(-1);
      }
      for (index c = 0; c < channels; ++c)
        for (index r = w; r < w + together; ++r) by_taps[key].push_back({{d, h, r}, channel + c});
    }
  for (const auto& [key, rows] : by_taps) {
    const index count = index(rows.size());
    const index size = together * tile_size(count / together, table_.max_rows / together);
    const auto& cd = classes_[0][std::size_t(rows[0].residue[0])].taps;
    const auto lines = line_taps(classes_[1][std::size_t(rows[0].residue[1])], 0);
    const auto& cw = classes_[2][std::size_t(rows[0].residue[2])].taps;
    const index taps = index(cd.size() * lines.size() * cw.size());
    const index offsets = index(taps_.size());
    for (const AxisTap& td : cd)
      for (const LineTap& th : lines)
        for (const AxisTap& tw : cw) {
          const index planes[2] = {index(phases_[1].size()), index(phases_[2].size())};
          taps_.push_back({(phase(0, td) * planes[0] + th.phase) * planes[1] + phase(2, tw),
                           {td.shift / src_step_[0], th.shift, tw.shift / src_step_[2]}});
        }
    least_vectors_ = std::min<index>(least_vectors_, table_.row_vectors[size - 1]);
    for (index first = 0; first < count; first += size) {
      const index m = std::min(size, count - first);
      unit.tiles.push_back({index(unit.rows.size()), m, taps, offsets, group_weights_});
      group_weights_ += form_.points * taps * shape_.src_channels() * m;
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

// The taps of a residue class along h; those of a form meet in each of its points.
template <class T>
std::vector<LineTap> RowMethod<T>::line_taps(const AxisClass& cls, int point) const {
  std::vector<LineTap> out;
  if (!filtered()) {
    for (const AxisTap& tap : cls.taps)
      out.push_back({phase(1, tap), tap.shift / src_step_[1], {tap.kernel_index}, {1}});
    return out;
  }
  out.push_back({0, 0, {}, {}});
  for (const AxisTap& tap : cls.taps) {
    out[0].kernel.push_back(tap.kernel_index);
    out[0].factor.push_back(
        form_.weight(point, form_.taps - 1 - int(tap.shift)));  // samples rise, shifts fall
  }
  return out;
}

// Order of a tile: point, source channel, tap, row. A row of the kernel has one tap and one output channel:
// forward that is one row's source channels, of an adjoint one source channel's rows.
template <class T>
void RowMethod<T>::pack(const T* kernel) {
  const Shape& shape = shape_;
  const index co = shape.c_out / shape.groups, ci = shape.c_in / shape.groups, units = index(units_.size());
  const index channels = shape.src_channels();
  const auto pack_unit = [&](index task) {
    const index group = task / units;
    const Unit& unit = units_[std::size_t(task % units)];
    std::vector<const T*> rows;  // (tap, row)
    std::vector<const T*> terms;
    std::vector<T> mixed;  // what the taps of a form become
    // The source channels of a row of a tile for taps of d and w.
    const auto source = [&](const Row& row, index d, const LineTap& line, index w, T* to) {
      terms.clear();
      for (const index h : line.kernel) {
        const index tap = (d * shape.k[1] + h) * shape.k[2] + w;
        terms.push_back(kernel + tap * co * shape.c_in + group * ci +
                        (forward_ ? row.channel * shape.c_in : row.channel));
      }
      if (!filtered()) return terms[0];
      table_.combine(terms.data(), line.factor.data(), int(terms.size()), channels, to);
      return static_cast<const T*>(to);
    };
    for (const RowTileRows& tile : unit.tiles) {
      const index count = tile.taps * tile.count;
      rows.resize(std::size_t(count));
      if (filtered()) mixed.resize(std::size_t(count * channels));
      T* to = weights_.data() + group * group_weights_ + tile.weights;
      for (int point = 0; point < form_.points && count > 0; ++point, to += count * channels) {
        for (index m = 0; m < tile.count; ++m) {
          const Row& row = unit.rows[std::size_t(tile.first + m)];
          index at = m;
          const auto lines = line_taps(classes_[1][std::size_t(row.residue[1])], point);
          for (const AxisTap& td : classes_[0][std::size_t(row.residue[0])].taps)
            for (const LineTap& line : lines)
              for (const AxisTap& tw : classes_[2][std::size_t(row.residue[2])].taps) {
                rows[std::size_t(at)] =
                    source(row, td.kernel_index, line, tw.kernel_index, mixed.data() + at * channels);
                at += tile.count;
              }
        }
        if (forward_) {
          table_.interleave(rows.data(), count, channels, to);
        } else {
          for (index c = 0; c < channels; ++c)
            for (index n = 0; n < count; ++n) to[c * count + n] = rows[std::size_t(n)][c * shape.c_in];
        }
      }
    }
  };
  parallel_for(shape_.groups * units, group_weights_ * shape_.groups > (1 << 18) ? 0 : 1, pack_unit, nullptr);
}

template <class T>
typename RowMethod<T>::Schedule RowMethod<T>::schedule(const Call<T>& call) const {
  Schedule s;
  s.open(shape_.kind, call.axes, classes_);
  const index lanes = table_.lanes, planes = shape_.src_channels() * planes_;
  const index unit[kAxes] = {1, form_.outputs, lanes};  // blocks hold whole tiles, and lines stay aligned
  const index fewest[kAxes] = {1, form_.outputs, 8 * lanes};
  s.block[1] = ceil_div(s.block[1], unit[1]) * unit[1];
  const auto measure = [&] {
    for (int a = 0; a < kAxes; ++a) s.window[a] = s.block[a] + reach_[a];
    s.tiles = s.block[1] / form_.outputs;
    s.height = filtered() ? s.tiles * form_.points : s.window[1];
    s.plane = s.window[0] * s.height * s.window[2];
    return planes * s.plane;
  };
  const auto halve = [&] {
    for (int a = 0; a < kAxes; ++a)
      if (s.block[a] > fewest[a]) {
        s.block[a] = ceil_div(ceil_div(s.block[a], 2), unit[a]) * unit[a];
        return true;
      }
    return false;
  };
  const index share = scratch_share(shape_, call), whole = block_budget() / index(sizeof(T));
  const index budget = std::clamp(share / 2, whole / 8, whole);
  while (measure() > budget && halve()) {
  }
  const auto count_tasks = [&] { return call.src.n * shape_.groups * s.count(); };
  const int threads = thread_count(call.threads);
  const index wanted = threads > 1 ? 4 * threads : 1, units = index(units_.size());
  index blocks = count_tasks();
  while (blocks > 0 && blocks < wanted && (s.block[0] > 1 || s.block[1] > fewest[1]) && halve())
    blocks = count_tasks();
  s.unit_run = units;
  if (blocks > 0 && blocks < wanted) s.unit_run = ceil_div(units, std::min(units, ceil_div(wanted, blocks)));
  s.unit_runs = ceil_div(units, s.unit_run);
  while (blocks > 0 && blocks * s.unit_runs < wanted && s.block[2] > 8 * lanes && halve())
    blocks = count_tasks();
  s.tasks = blocks * s.unit_runs;
  s.streams = worth_streaming(call.dst, joins_ ? lanes * dst_step_[2] : shape_.dst_channels());
  const index run = s.block[2] * dst_step_[2] * (call.dst.stride_c == 1 ? call.dst.c : 1);
  const bool planar = call.dst.stride[2] == 1;
  s.passes = !(planar && s.streams) && run * index(sizeof(T)) >= kLeastRun && outgrows_caches(call.dst);
  // A line of one phase needs no buffer, nor one of two that kernels join. Its last vector is stored in part,
  // which short lines do not pay for; a buffer would have computed what lies between the lines as well, and
  // joined lines, which crops shift against the vectors, have parts at both ends.
  const index vectors = ceil_div(s.block[2], lanes) * lanes;
  const bool single = dst_step_[0] * dst_step_[1] * dst_step_[2] == 1;
  s.in_place = !filtered() && (single || joins_) && call.dst.stride[2] == 1 &&
               (single ? 4 * vectors <= 5 * (s.block[2] + reach_[2]) : 8 * vectors <= 9 * s.block[2]);
  measure();
  // Where all taps of a destination read its own q, samples are copied by panels, into the first cache.
  const bool reaches = reach_[0] + reach_[1] + reach_[2] > 0;
  const index most_vectors = std::min(kPanelBytes / index(sizeof(T)) / (planes * lanes), kInPlace);
  s.panels = s.in_place && joins_ && !reaches && call.src.stride[2] == 1 && most_vectors >= least_vectors_;
  if (s.panels) {
    s.window[2] = tile_size(vectors / lanes, most_vectors) * lanes;
    s.window[1] = vectors <= s.window[2] ? tile_size(s.block[1], most_vectors * lanes / vectors) : 1;
    s.window[0] = 1;
    s.height = s.window[1];
    s.plane = s.height * s.window[2];
  }
  // The last vector of a plane may begin at its last position.
  const index window = ceil_div(planes * s.plane + lanes, lanes) * lanes;
  const index left = std::max(share - window, kSmallBuffer / index(sizeof(T)));
  const index rows = most_rows_ * form_.points;
  const index most = std::clamp(buffer_.vectors * std::max(buffer_.rows, most_rows_) / rows, kFewestVectors,
                                buffer_.vectors);
  const index fewest_vectors = filtered() ? kFewestOfPoints : kFewestVectors;
  s.buffer_vectors = std::clamp(left / (rows * lanes), std::min(fewest_vectors, most), most);
  // Before there are rows, the buffer holds the lines that a plane of a form is made of.
  s.buffer_elements = s.in_place ? 0 : rows * s.buffer_vectors * lanes;
  if (filtered())
    s.buffer_elements = std::max(s.buffer_elements, ceil_div(s.window[1] * s.window[2], lanes) * lanes);
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
                               const index (&q)[kAxes], T* to, T* stage) const {
  const View<const T>& view = call.src;
  const index width = plan.window[2], plane = plan.height * width;
  const bool planar = view.stride[2] == 1;  // plane by plane, as the memory runs
  const bool simple = planar && src_step_[2] == 1;
  const index channels = shape_.src_channels(), some = planar ? 1 : channels;
  T* const planes = to;
  if (filtered()) std::memset(stage, 0, sizeof(T) * std::size_t(width));
  std::vector<Columns> w;
  for (const index r : phases_[2]) w.push_back(columns(plan, call, 2, q[2], r));
  const index phases = index(w.size());
  const auto clear = [&](T* p, index lines) {
    for (index n = 0; n < some; ++n, p += planes_ * plan.plane)
      for (index r = 0; r < phases; ++r)
        std::memset(p + r * plan.plane, 0, sizeof(T) * std::size_t(lines * width));
  };
  for (index c = 0; c < channels; c += some)
    for (const index rd : phases_[0])
      for (const index rh : phases_[1]) {
        const Columns d = columns(plan, call, 0, q[0], rd), h = columns(plan, call, 1, q[1], rh);
        const T* from = src + c * view.stride_c + d.first * view.stride[0] + h.first * view.stride[1];
        const index next = src_step_[1] * view.stride[1];
        for (index n = 0; n < plan.window[0]; ++n) {
          T* const lines = to + n * plane;
          const bool exists = n >= d.begin && n < d.end;
          const index begin = exists ? h.begin : 0, end = exists ? h.end : 0;
          const T* const line = from + n * src_step_[0] * view.stride[0];
          if (simple && w[0].begin < w[0].end) {
            const index ahead = c + kPlanesAhead < channels ? kPlanesAhead * view.stride_c : 0;
            copy_plane({line + w[0].first, next, begin, end, ahead}, plan, w[0], lines, stage);
            continue;
          }
          clear(lines, begin);
          clear(lines + end * width, plan.window[1] - end);
          for (index j = begin; j < end; ++j)
            copy_line(plan, view, w, some, line + j * next, lines + j * width);
        }
        to += phases * plan.plane;
      }
  if (!filtered() || (simple && w[0].begin < w[0].end)) return;
  for (index n = 0; n < channels * planes_ * plan.window[0]; ++n) {
    T* const lines = planes + n * plane;
    std::memcpy(stage, lines, sizeof(T) * std::size_t(plan.window[1] * width));
    transform_plane({stage, width, 0, plan.window[1], 0}, plan, {0, 0, width}, lines, stage);
  }
}

// A panel, some lines of neighbours along w: each is one call for all channels.
template <class T>
void RowMethod<T>::copy_panel(const Schedule& plan, const Call<T>& call, const T* src,
                              const index (&q)[kAxes], index lines, T* to) const {
  const View<const T>& view = call.src;
  const Columns d = columns(plan, call, 0, q[0], 0), h = columns(plan, call, 1, q[1], 0);
  const Columns w = columns(plan, call, 2, q[2], 0);
  const index channels = shape_.src_channels(), width = plan.window[2];
  const T* from = src + d.first * view.stride[0] + h.first * view.stride[1] + w.first + w.begin;
  for (index j = 0; j < lines; ++j, from += view.stride[1], to += width)
    if (d.begin < d.end && j >= h.begin && j < h.end && w.begin < w.end)
      table_.pad_rows(from, view.stride_c, channels, w.begin, w.end - w.begin, width - w.end, to, plan.plane);
    else
      for (index c = 0; c < channels; ++c)
        std::memset(to + c * plan.plane, 0, sizeof(T) * std::size_t(width));
}

// The lines of a plane where they lie next to each other along w.
template <class T>
void RowMethod<T>::copy_plane(const Lines& from, const Schedule& plan, const Columns& w, T* to,
                              T* zeros) const {
  const index width = plan.window[2], count = w.end - w.begin;
  if (from.ahead)
    for (index j = from.begin; j < from.end; ++j)
      for (index i = 0; i < count; i += kLine / index(sizeof(T)))
        __builtin_prefetch(from.first + from.ahead + j * from.pitch + w.begin + i);
  if (filtered()) return transform_plane(from, plan, w, to, zeros);
  std::memset(to, 0, sizeof(T) * std::size_t(from.begin * width));
  table_.pad_rows(from.first + from.begin * from.pitch + w.begin, from.pitch, from.end - from.begin, w.begin,
                  count, width - w.end, to + from.begin * width, width);
  std::memset(to + from.end * width, 0, sizeof(T) * std::size_t((plan.window[1] - from.end) * width));
}

// The samples of a plane become its points.
template <class T>
void RowMethod<T>::transform_plane(const Lines& from, const Schedule& plan, const Columns& w, T* to,
                                   T* zeros) const {
  const index width = plan.window[2];
  const T* lines[kMostLines];
  WinogradLines<T> a;
  a.src = lines;
  a.outputs = form_.outputs;
  a.before = w.begin;
  a.count = w.end - w.begin;
  a.after = width - w.end;
  a.dst_step = plan.tiles * width;
  a.dst_pitch = width;
  for (index t = 0; t < plan.tiles; t += a.rows) {
    a.rows = std::min(plan.tiles - t, kMostTiles);
    for (index n = 0; n < (a.rows - 1) * form_.outputs + form_.points; ++n) {
      const index j = t * form_.outputs + n;
      lines[n] = j >= from.begin && j < from.end ? from.first + j * from.pitch + w.begin : zeros;
    }
    a.dst = to + t * width;
    table_.line_points[form_.input](a);
  }
}

// Positions [begin, end) of a plane leave the buffer, line by line; of tiles, one of their lines.
template <class T>
void RowMethod<T>::store_unit(const Schedule& plan, const Unit& unit, const Call<T>& call, T* dst, index q_d,
                              const index (&q)[kAxes], const index (&q_stop)[kAxes], index begin, index end,
                              index output, const T* buffer) const {
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
  line.passes = plan.passes;
  for (index n = begin / width; n * width < end; ++n) {
    const index q_h = q[1] + n * form_.outputs + output;
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
      bias[m] = call.bias && !filtered() ? call.bias[group * shape_.dst_channels() + channel] : T(0);
    }
    tile.taps = part.taps;
    tile.src_offset = offsets.data() + part.offsets;
    const T* const weights = weights_.data() + group * group_weights_ + part.weights;
    const index next = filtered() ? part.taps * tile.channels * part.count : 0;
    const index size = tile_size(vectors, table_.row_vectors[part.count - 1]);
    tile.weights = weights;
    if (plan.in_place && joins_) {
      compute_lines(plan, call, part, unit, rows, size, tile);
      continue;
    }
    for (index n = 0; n < rows.runs; ++n, tile.weights += next) {
      for (index v = 0; v < vectors; v += size) {
        const index some = std::min(size, vectors - v), left = rows.positions - v * lanes;
        tile.src = rows.src + n * rows.pitch + v * lanes;
        tile.dst = rows.dst + part.first * tile.dst_stride + n * rows.dst_pitch + v * lanes;
        if (plan.in_place) {
          tile.rest = left < some * lanes ? left % lanes : 0;
          tile.streams = plan.streams && tile.rest == 0 &&
                         reinterpret_cast<std::uintptr_t>(tile.dst) % std::uintptr_t(vector_bytes) == 0;
        }
        table_.row[part.count - 1][some - 1](tile);
      }
    }
  }
}

// The rows of a tile along runs of positions, which are lines of destinations; `size` vectors at a time.
template <class T>
void RowMethod<T>::compute_lines(const Schedule& plan, const Call<T>& call, const RowTileRows& part,
                                 const Unit& unit, const Rows& rows, index size, RowTile<T>& tile) const {
  const View<T>& out = call.dst;
  const index lanes = table_.lanes, vectors = ceil_div(rows.positions, lanes);
  const index phases = dst_step_[2], pairs = part.count / phases;
  T *first[KernelTable<T>::kMaxRows / 2], *lines[KernelTable<T>::kMaxRows / 2];
  index height[KernelTable<T>::kMaxRows / 2];
  for (index n = 0; n < pairs; ++n) {
    const Row& row = unit.rows[std::size_t(part.first + phases * n)];
    const index d = dst_step_[0] * rows.q[0] + row.residue[0] - first_destination(0, call);
    height[n] = dst_step_[1] * rows.q[1] + row.residue[1] - first_destination(1, call);
    const bool exists = d >= 0 && d < out.size[0];
    first[n] = exists ? rows.dst + row.channel * out.stride_c + d * out.stride[0] : nullptr;
  }
  const bool fetches = rows.ahead && part.first == 0;
  tile.lines = lines;
  for (index run = 0; run < rows.runs; ++run) {
    for (index n = 0; n < pairs; ++n) {
      const index h = height[n] + dst_step_[1] * run;
      lines[n] = first[n] && h >= 0 && h < out.size[1] ? first[n] + h * out.stride[1] : nullptr;
    }
    for (index v = 0; v < vectors; v += size) {
      const index some = std::min(size, vectors - v);
      tile.src = rows.src + run * rows.pitch + v * lanes;
      tile.ahead = fetches ? rows.ahead + run * call.src.stride[1] + v * lanes : nullptr;
      tile.at = phases * (rows.q[2] + v * lanes) - first_destination(2, call);
      tile.begin = std::max<index>(-tile.at, 0);
      tile.end =
          std::min({phases * some * lanes, phases * (rows.positions - v * lanes), out.size[2] - tile.at});
      tile.streams =
          plan.streams && tile.begin == 0 && tile.end == phases * some * lanes && tile.at % lanes == 0;
      table_.row_pairs[pairs - 1][some - 1](tile);
    }
  }
}

// The sums of the points become the lines of tiles, in place.
template <class T>
void RowMethod<T>::restore_lines(const Schedule& plan, const Call<T>& call, const Unit& unit, index group,
                                 T* buffer) const {
  T bias[KernelTable<T>::kMaxRows];
  RestoredLines<T> a;
  a.count = plan.buffer_vectors * table_.lanes;
  a.step = index(unit.rows.size()) * a.count;
  a.bias = bias;
  a.last = form_.outputs - 1;
  for (index n = 0; n < index(unit.rows.size()); n += a.rows) {
    a.rows = std::min<index>(KernelTable<T>::kMaxRows, index(unit.rows.size()) - n);
    for (index m = 0; m < a.rows; ++m)
      bias[m] =
          call.bias ? call.bias[group * shape_.dst_channels() + unit.rows[std::size_t(n + m)].channel] : T(0);
    a.lines = buffer + n * a.count;
    table_.line_outputs[form_.input](a);
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
  const T* const src = call.src.data + image * call.src.stride_n + group * channels * call.src.stride_c;
  if (!plan.panels) copy_window(plan, call, src, q, planes, buffer);
  std::memset(planes + channels * planes_ * plan.plane, 0, sizeof(T) * std::size_t(lanes));

  T* dst = call.dst.data + image * call.dst.stride_n + group * shape_.dst_channels() * call.dst.stride_c;
  const auto place = [&](index d, index h, index w) { return (d * plan.height + h) * plan.window[2] + w; };
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
  tile.ahead_stride = call.src.stride_c;
  tile.dst_stride = plan.in_place ? call.dst.stride_c : plan.buffer_vectors * lanes;

  // All lines of a plane are one run of positions, or those of a point; or, where kernels write the
  // destinations, each is one of its own, and a tile passes over several of them.
  const index lines = ceil_div(q_stop[1] - q[1], form_.outputs), length = q_stop[2] - q[2];
  const index pitch = plan.window[2];
  const index vectors = plan.in_place ? kInPlace : plan.buffer_vectors;
  const index most = plan.panels     ? plan.window[1]
                     : plan.in_place ? std::max<index>(1, vectors * lanes / length)
                                     : lines;
  const index run = plan.in_place ? length : (lines - 1) * pitch + length;
  const auto source = [&](index d, index h, index w) {
    const View<const T>& v = call.src;
    const bool exists = d >= 0 && d < v.size[0] && h >= 0 && h < v.size[1] && w >= 0 && w < v.size[2];
    return exists ? src + d * v.stride[0] + h * v.stride[1] + w * v.stride[2] : nullptr;
  };
  for (index q_d = q[0]; q_d < q_stop[0]; ++q_d)
    for (index n = 0; n < lines; n += most) {
      const index runs = std::min(most, lines - n);
      const T* first = planes;
      if (!plan.panels) first += place(q_d - q[0] + before[0], n + (filtered() ? 0 : before[1]), before[2]);
      T* const line = dst + (q_d - first_destination(0, call)) * call.dst.stride[0] +
                      (q[1] + n - first_destination(1, call)) * call.dst.stride[1] + q[2] -
                      first_destination(2, call);
      for (index begin = 0, end; begin < run; begin = end) {
        // Panels of a line are alike, or the last one might be a single vector.
        const index rest = ceil_div(run - begin, lanes);
        const index chunk = plan.panels ? tile_size(rest, pitch / lanes) : vectors;
        end = std::min(begin + chunk * lanes, run);
        const index at[kAxes] = {q_d, q[1] + n, q[2] + begin};
        const T* ahead = nullptr;
        if (plan.panels) {
          copy_panel(plan, call, src, at, runs, planes);
          if (end < run)
            ahead = source(q_d, at[1], q[2] + end);
          else if (n + most >= lines && q_d + 1 < q_stop[0])
            ahead = source(q_d + 1, q[1], q[2]);
          else  // perhaps of the block below
            ahead = source(q_d, at[1] + most, q[2]);
        }
        for (index u = unit_begin; u < unit_end; ++u) {
          const Unit& unit = units_[std::size_t(u)];
          Rows rows = {plan.panels ? first : first + begin, pitch, 1, end - begin, buffer, 0, at,
                       u == unit_begin ? ahead : nullptr};
          if (plan.in_place) {
            rows.runs = runs;
            rows.dst = joins_ ? dst : line + unit.channel_begin * tile.dst_stride + begin;
            rows.dst_pitch = call.dst.stride[1];
          } else if (filtered()) {
            rows.pitch = plan.tiles * pitch;
            rows.runs = form_.points;
            rows.dst_pitch = index(unit.rows.size()) * tile.dst_stride;
          }
          compute_unit(plan, call, unit, group, offsets, rows, tile);
          if (plan.in_place) continue;
          if (filtered()) restore_lines(plan, call, unit, group, buffer);
          for (index output = 0; output < form_.outputs; ++output)
            store_unit(plan, unit, call, dst, q_d, q, q_stop, begin, end, output,
                       buffer + output * rows.dst_pitch);
        }
      }
    }
}

template <class T>
std::string RowMethod<T>::explain(const Call<T>& call) const {
  const std::string form = filtered() ? "Winograd " + std::string(form_.name) + " along h, " : "";
  return "row method: " + form + "vectors of " + std::to_string(table_.lanes) + " positions, " +
         std::to_string(schedule(call).tasks) + " tasks";
}

}  // namespace

const WinogradForm& row_form(const Shape& shape) {
  const WinogradForm* best = &kWinogradForms[kPlain];
  if (shape.kind != Kind::forward || shape.algorithm == Algorithm::direct || shape.d[1] > 1) return *best;
  // Source lines, the rows that share them, and the taps of a row along d and w, in the mean.
  const double lines = double(shape.src_channels());
  const double rows = double(shape.dst_channels() * shape.s[0] * shape.s[1] * shape.s[2]);
  const double taps = double(shape.k[0] * shape.k[2]) / double(shape.s[0] * shape.s[2]);
  const double again = shape.k[0] > shape.s[0] ? 2 : 1;  // how often neighbouring blocks read a plane
  const index most = ceil_div(shape.k[1], shape.s[1]);
  double least = kFormWorth * taps * lines * rows * double(shape.k[1]) / double(shape.s[1]);
  const double line = taps * lines * rows + again * lines * kFormInput + rows * kFormOutput;  // of points
  for (const WinogradForm& form : kWinogradForms) {
    if (form.points == 1 || form.taps != most || (form.rough > 0 && lines < kFewProducts)) continue;
    const double cost = line * form.points / form.outputs;
    if (cost >= least) continue;
    least = cost;
    best = &form;
  }
  return *best;
}

template <class T>
std::unique_ptr<Method<T>> make_row_method(const Shape& shape, const T* kernel, const Path& path) {
  return std::make_unique<RowMethod<T>>(shape, kernel, path);
}

template std::unique_ptr<Method<float>> make_row_method(const Shape&, const float*, const Path&);
template std::unique_ptr<Method<double>> make_row_method(const Shape&, const double*, const Path&);

}  // namespace ct
