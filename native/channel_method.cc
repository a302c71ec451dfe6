// The channel method: vectors along the destination channels, for layers with many of them.
//
// A task is one block of destinations (a box of q-space, one image or several) times one run of panels.
// It copies the source window of its block into zero-padded scratch memory where borders or the
// memory layout need it, then passes all panels and phases over it: every destination is written once,
// by one task, in one order of sums, so the bits depend neither on threads nor on how blocks are cut.
//
// A kernel that is used once is packed phase by phase, right before its use and into cache, where few
// blocks ask for it: memory is read once and never written, and taps that meet no input are not even read.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <mutex>
#include <type_traits>

#include "ahead.h"
#include "method.h"
#include "planes.h"
#include "schedule.h"
#include "winograd.h"

namespace ct {
namespace {

constexpr index kLongRow = 14;  // from here on tiles follow a row, whatever the batch

constexpr index kJoinBytes = 32 << 10;       // of lines that leave a buffer together
constexpr index kMostLineBytes = 256 << 10;  // of all lines in that buffer
constexpr index kLeastRunBytes = 512;        // that is worth a way around the caches
constexpr index kFewTerms = 16;              // of a sum, which do not hide its store

// Blocks of fewer positions are not cut where those share weights that the second cache does not hold beside
// them.
constexpr index kSharingPositions = 280;
constexpr index kAllTaps = INT64_MAX;

template <class T>
class ChannelMethod final : public Method<T> {
 public:
  ChannelMethod(const Shape& shape, const Weights<T>& kernel, const Path& path, Use use);
  bool run(const Call<T>& call) const override;
  index workspace_bytes(const Call<T>& call) const override;
  std::string explain(const Call<T>& call) const override;

 private:
  struct Schedule;
  struct Task;

  Schedule schedule(const Call<T>& call, bool packs) const;

  // Whether the weights of a call are packed by its tasks instead of being kept.
  bool packs_in_tasks(const Call<T>& call, Schedule& plan) const;
  // Packed weights of everything, made here if they are not there yet.
  const T* weights() const;
  void pack_all(const Weights<T>& kernel) const;
  index most_taps(int together) const;
  void join_lines(const Call<T>& call, index panel_width, Schedule& s) const;
  void pack_tap(const Weights<T>& kernel, index group, const Panel& panel, index tap, T* dst) const;
  template <class W>
  void pack_rows(const W* slice, int half, const Panel& panel, T* dst) const;

  // The form with fewer multiplications; null where there is none or the direct sum is better.
  const Winograd<T>* winograd(const Call<T>& call) const;

  const Path& path_;
  ChannelPacking<T> packing_;
  bool once_;
  Weights<T> borrowed_;                     // the kernel of a single use
  mutable std::atomic<bool> finite_{true};  // zero halos are exact only for finite weights
  mutable std::atomic<bool> used_{false};   // a second run wants packed weights
  mutable std::once_flag weights_once_;
  mutable Buffer<T> weights_;
  std::unique_ptr<Winograd<T>> winograd_;  // null where there is no such form
};

template <class T>
struct ChannelMethod<T>::Schedule : BlockedAxes {
  bool along_batch;  // positions of a tile are images, else neighbours along w
  index batch_block, batch_blocks;
  index panel_run, panel_runs;
  index tasks;
  bool packs;              // tasks pack what they use
  index packed_elements;   // of the phases that are packed together
  index line_piece;        // positions of a line that pass through the buffer at once
  index tap_run;           // taps along d and h that pass the tiles of a block before the next ones do
  index sum_elements;      // of the lines whose sums go on from one run of taps to the next
  bool windows_of_runs;    // source lines are copied for a run of taps at a time
  bool streams;            // destinations go around the caches
  bool planar;             // lines of destinations leave a buffer transposed
  bool joins;              // whole lines of all phases of h leave it together
  index join_lines;        // how many, in q
  index line_elements;     // of that buffer, per image
  index largest;           // positions of a tile
  bool looks_ahead;        // the source of the next block is fetched while one computes
  bool fetches_weights;    // or the weights of the next phase
  index scratch_elements;  // per thread

  // Whether a window [lo, hi) along w needs no copy.
  bool reads_in_place(const View<const T>& src, index lo, index hi) const {
    const index step = src.stride[2] * this->axis[2].src_step;
    const bool halo = !along_batch && (lo < 0 || hi > this->axis[2].src_size);
    const bool spread_out = along_batch || step * index(sizeof(T)) % 4096 != 0;
    return src.stride_c == 1 && !halo && spread_out;
  }
  // Lines of the source in a window, from those of a destination to those of its neighbour: all between
  // them, or those of a run.
  index line_step() const {
    const index step = this->axis[1].src_step;
    return windows_of_runs ? std::min(step, tap_run) : step;
  }
  bool stages_results() const { return planar && streams; }
  // Elements of the buffer that planes pass on their way from the buffer of lines.
  index staged() const { return stages_results() ? kStageElements<T> : 0; }
};

template <class T>
ChannelMethod<T>::ChannelMethod(const Shape& shape, const Weights<T>& kernel, const Path& path, Use use)
    : path_(path), once_(use == Use::once), weights_(0) {
  packing_.shape = shape;
  packing_.table = &kernels<T>(path);
  for (int a = 0; a < kAxes; ++a) {
    packing_.classes[a] = classify(shape.kind, shape.k[a], shape.s[a], shape.d[a]);
    packing_.residues[a] = classify(Kind::forward, shape.k[a], shape.s[a], shape.d[a]);
  }
  packing_.src_channels = shape.src_channels();
  packing_.dst_channels = shape.dst_channels();

  const index lanes = packing_.table->lanes;
  index at = 0;
  for (index c = 0; c < packing_.dst_channels;) {
    const index columns = std::min(packing_.dst_channels - c, 2 * lanes);
    const int vectors = columns > lanes ? 2 : 1;
    packing_.panels.push_back({c, columns, vectors, at});
    at += packing_.elements(packing_.panels.back());
    c += columns;
  }
  packing_.group_weights = at;
  if (shape.algorithm != Algorithm::direct && winograd_applies(packing_))
    winograd_ = std::make_unique<Winograd<T>>(packing_, use);
  if (once_)
    borrowed_ = kernel;
  else
    pack_all(kernel);
}

template <class T>
const T* ChannelMethod<T>::weights() const {
  if (once_) std::call_once(weights_once_, [this] { pack_all(borrowed_); });
  return weights_.data();
}

// Order of a panel: phase (d, h, w), tap (d, h, w), source channel, lane.
template <class T>
void ChannelMethod<T>::pack_all(const Weights<T>& kernel) const {
  weights_ = Buffer<T>(packing_.group_weights * packing_.shape.groups);
  const std::vector<index> order = packing_.order();
  const index panels = index(packing_.panels.size());
  const auto pack_panel = [&](index task) {
    const Panel& panel = packing_.panels[std::size_t(task % panels)];
    const index slice = packing_.slice(panel);
    T* dst = weights_.data() + task / panels * packing_.group_weights + panel.weights;
    for (const index tap : order) {
      pack_tap(kernel, task / panels, panel, tap, dst);
      dst += slice;
    }
  };
  parallel_for(packing_.shape.groups * panels,
               packing_.group_weights * packing_.shape.groups > (1 << 18) ? 0 : 1, pack_panel, nullptr);
}

// The weights of one tap, (co, ci) of c_in, to (source channel, lane); halves are converted on the way.
template <class T>
template <class W>
void ChannelMethod<T>::pack_rows(const W* slice, int half, const Panel& panel, T* dst) const {
  const KernelTable<T>& table = *packing_.table;
  const index width = packing_.width(panel), pitch = packing_.shape.c_in;
  const auto convert = [&](const W* from, index count, T* to) {
    if constexpr (std::is_same_v<W, T>)
      std::memcpy(to, from, sizeof(T) * std::size_t(count));
    else if constexpr (std::is_same_v<T, float>)
      table.widen[half](from, 1, count, to);
  };
  // Rows lie far apart: without a hint ahead every one of them is waited for.
  constexpr index line = 64 / sizeof(W);
  if (packing_.shape.kind == Kind::forward) {
    constexpr index kPiece = 4 * line, kMostColumns = 2 * 64 / sizeof(T);
    T copy[std::is_same_v<W, T> ? 1 : kMostColumns * 2 * kPiece];
    const index ci = packing_.src_channels;
    const W* rows = slice + panel.first * pitch;
    for (index c = 0; c < ci;) {
      const index count = ci - c < 2 * kPiece ? ci - c : kPiece;
      for (index r = 0; r < panel.columns; ++r)
        for (index ahead = c + count; ahead < std::min(c + count + kPiece, ci); ahead += line)
          __builtin_prefetch(rows + r * pitch + ahead, 0, 2);
      if constexpr (std::is_same_v<W, T>) {
        table.transpose(rows + c, pitch, panel.columns, count, dst + c * width, width);
      } else {
        for (index r = 0; r < panel.columns; ++r) convert(rows + r * pitch + c, count, copy + r * count);
        table.transpose(copy, count, panel.columns, count, dst + c * width, width);
      }
      c += count;
    }
  } else {
    constexpr index kAhead = 16;
    const index co = packing_.src_channels;
    for (index c = 0; c < co; ++c) {
      const W* row = slice + c * pitch + panel.first;
      for (index at = 0; at < panel.columns; at += line)
        __builtin_prefetch(row + std::min(kAhead, co - 1 - c) * pitch + at, 0, 2);
      convert(row, panel.columns, dst + c * width);
    }
  }
}

// One tap of a panel; notes weights that are not finite.
template <class T>
void ChannelMethod<T>::pack_tap(const Weights<T>& kernel, index group, const Panel& panel, index tap,
                                T* dst) const {
  const Shape& shape = packing_.shape;
  const index width = packing_.width(panel);
  const index co = shape.c_out / shape.groups, ci = shape.c_in / shape.groups;
  const index first = tap * co * shape.c_in + group * ci;  // of (co, ci) of c_in
  if (panel.columns < width) std::memset(dst, 0, sizeof(T) * std::size_t(packing_.src_channels * width));
  if (kernel.halves)
    pack_rows(kernel.halves + first, kernel.half, panel, dst);
  else
    pack_rows(kernel.data + first, kernel.half, panel, dst);
  if (!packing_.table->finite(dst, packing_.src_channels * width)) finite_ = false;
}

// Taps of the largest phase, or of all phases of the axes from `together` on: those of w follow one another
// in the packing, and planar destinations need all of them at once.
template <class T>
index ChannelMethod<T>::most_taps(int together) const {
  index taps = 1;
  for (int a = 0; a < kAxes; ++a) {
    index most = 0;
    for (const AxisClass& c : packing_.classes[a]) most = std::max(most, index(c.taps.size()));
    taps *= a >= together ? packing_.shape.k[a] : most;
  }
  return taps;
}

template <class T>
typename ChannelMethod<T>::Schedule ChannelMethod<T>::schedule(const Call<T>& call, bool packs) const {
  Schedule s;
  const View<const T>& src = call.src;
  const int threads = thread_count(call.threads);
  s.open(packing_.shape.kind, call.axes, packing_.classes);

  // Which way a tile runs. Along the batch no halo is needed and taps outside of the image cost
  // nothing; along w any image size fills the tile. Non-finite weights allow no zero halo at all.
  const index largest = s.largest = packing_.table->max_positions[packing_.panels[0].vectors - 1];
  const index row = s.axis[2].phases.empty() ? 1 : s.axis[2].phases[0].count;
  const auto fill = [&](index count) {
    return double(tile_size(count, largest)) / (tile_size(count, largest) + 1.0);
  };
  s.along_batch = !finite_ || (row < kLongRow && fill(src.n) > fill(row) * (row < 8 ? 0.9 : 1.0));

  index lo, hi;
  s.axis[2].window(s.axis[2].q_begin, s.axis[2].q_end, lo, hi);
  const bool in_place = s.reads_in_place(src, lo, hi);  // all blocks

  const Panel& widest = packing_.panels[0];
  const index panel_width = packing_.width(widest);
  const index tap_bytes = packing_.shape.k[2] * packing_.slice(widest) * index(sizeof(T));  // along d and h
  const index kernel_bytes = packing_.elements(widest) * index(sizeof(T));
  const bool cut = !packs && !s.along_batch && packing_.shape.kind == Kind::adjoint &&
                   kernel_bytes > std::max(l2_bytes() / 4, tap_bytes);
  s.tap_run = cut ? std::max<index>(l2_bytes() / 16 / tap_bytes, 1) : kAllTaps;
  // Each panel would copy them once more.
  s.windows_of_runs = cut && !in_place && packing_.panels.size() == 1 && packing_.shape.d[1] == 1 &&
                      packing_.shape.k[0] == 1 && src.size[0] == 1;

  const auto window_elements = [&](const index(&block)[kAxes], index images) {
    index count = images * spread<T>(packing_.src_channels);
    for (int a = 0; a < kAxes; ++a) {
      index reach = 0;
      for (const AxisClass& c : packing_.classes[a])
        for (const AxisTap& tap : c.taps) reach = std::max(reach, tap.shift);
      const index more = std::max<index>(block[a], 1) - 1;
      const index windowed = more * s.axis[a].src_step + 1 + reach;
      if (a == 1 && s.windows_of_runs)
        count *= more * s.line_step() + s.tap_run;
      else
        count *= a == 2 && !s.along_batch ? windowed : std::min(windowed, s.axis[a].src_size);
    }
    return count;
  };
  // What a block keeps in the cache: its window and, unless they are those of few lines, sums that go on.
  const bool planar_lines = call.dst.stride_c != 1 && call.dst.stride[2] == 1;
  const auto block_elements = [&] {
    const index positions = s.block[0] * s.block[1] * s.block[2];
    return window_elements(s.block, s.batch_block) + (cut && !planar_lines ? positions * panel_width : 0);
  };

  const index share = scratch_share(packing_.shape, call);
  s.packs = packs;
  s.packed_elements = packs ? most_taps(call.dst.stride_c != 1 ? 2 : kAxes) * packing_.slice(widest) : 0;
  // One block at best: sources come from the third cache faster than weights are packed again.
  const index budget = (packs ? 4 : 1) * block_budget() / index(sizeof(T));
  // All blocks are alike, or threads would wait for the one with the rest of the images in it.
  s.batch_block = s.along_batch ? tile_size(std::max<index>(src.n, 1), largest * ceil_div(16, largest)) : 1;
  if (s.along_batch && src.n > largest && block_elements() > share) s.batch_block = tile_size(src.n, largest);
  // The first axis that can be halved. A block whose halves would need nearly the whole window, halo and
  // all, is better left as it is.
  const auto halve = [&](index smallest_w) {
    for (int a = 0; a < kAxes; ++a) {
      const index smallest = a == 2 ? smallest_w : 1, old = s.block[a];
      if (old <= smallest) continue;
      const index before = block_elements();
      s.block[a] = std::max(ceil_div(old, 2), smallest);
      if (4 * block_elements() <= 3 * before) return true;
      s.block[a] = old;
    }
    return false;
  };
  const index smallest_w = s.along_batch ? 1 : 2 * largest;
  const index most = packs ? budget : std::clamp(share, budget / 16, cut ? 2 * budget : budget);
  const auto shares_weights = [&] {
    return cut && in_place && kernel_bytes > l2_bytes() / 2 &&
           s.block[0] * s.block[1] * s.block[2] < kSharingPositions;
  };
  while (block_elements() > most && !shares_weights() && halve(smallest_w)) {
  }

  const auto count_tasks = [&] {
    s.batch_blocks = ceil_div(src.n, std::max<index>(s.batch_block, 1));
    return s.batch_blocks * packing_.shape.groups * s.count();
  };
  const index panels = index(packing_.panels.size());
  const index wanted = threads > 1 ? (cut && in_place ? 2 : 4) * threads : 1;
  index blocks = count_tasks();
  s.panel_run = panels;
  // Few blocks: share out the panels where weights weigh more than pixels, else cut finer.
  const bool weights_first = packs || packing_.group_weights > 2 * block_elements();
  if (blocks > 0 && blocks < wanted && weights_first)
    s.panel_run = ceil_div(panels, std::min(panels, ceil_div(wanted, blocks)));
  while (!packs && blocks > 0 && blocks * ceil_div(panels, s.panel_run) < wanted && halve(smallest_w))
    blocks = count_tasks();
  if (blocks > 0 && blocks * ceil_div(panels, s.panel_run) < wanted)
    s.panel_run = ceil_div(panels, std::min(panels, ceil_div(wanted, blocks)));
  s.panel_runs = ceil_div(panels, s.panel_run);
  s.tasks = blocks * s.panel_runs;
  const index per_position = s.axis[2].dst_step * panel_width;
  s.line_piece = std::max<index>(2 * largest, (64 << 10) / index(sizeof(T)) / per_position);
  s.line_elements = (std::min(s.line_piece, s.block[2]) + 1) * per_position;
  // Planar destinations are written by whole lines, of all images of a tile, where a buffer may hold them.
  s.planar = planar_lines && s.batch_block * s.line_elements * index(sizeof(T)) <= kMostLineBytes;
  if (!s.planar) s.line_elements = 0;
  join_lines(call, panel_width, s);
  if (s.planar) {
    const index run = s.joins ? s.join_lines * s.axis[1].dst_step * call.dst.size[2] : call.dst.size[2];
    s.streams = outgrows_caches(call.dst) && run * index(sizeof(T)) >= kLeastRunBytes;
  } else {
    const bool few_terms = packing_.src_channels * most_taps(kAxes) <= kFewTerms;
    s.streams = call.dst.stride_c == 1 &&
                worth_streaming(call.dst, packing_.dst_channels, few_terms ? kKeptCaches : 4);
  }
  // What caches hold need not be fetched.
  const bool planar = src.stride_c != 1 && src.stride[2] == 1;
  s.looks_ahead = !s.along_batch && !s.windows_of_runs && packing_.shape.groups == 1 && s.panel_runs == 1 &&
                  worth_fetching(src, 3) && (src.stride_c == 1 || planar);
  s.fetches_weights =
      !s.looks_ahead && !packs && is_far(packing_.group_weights * packing_.shape.groups * index(sizeof(T)));
  const index window = in_place ? 0 : window_elements(s.block, s.batch_block);
  const index lines =
      s.planar ? s.join_lines * std::min(s.line_piece, s.block[2]) : s.block[0] * s.block[1] * s.block[2];
  s.sum_elements = cut ? lines * panel_width : 0;
  s.scratch_elements =
      s.sum_elements + window + s.batch_block * s.line_elements + s.packed_elements + s.staged();
  return s;
}

// Lines of destinations that follow one another in memory fill cache lines and vectors together, however
// short they are, if all phases of h are computed in turn: the second cache must hold the weights of all, if
// they are read more than once for a block.
template <class T>
void ChannelMethod<T>::join_lines(const Call<T>& call, index panel_width, Schedule& s) const {
  const View<T>& dst = call.dst;
  const index line = dst.size[2] * panel_width, step = s.axis[1].dst_step;
  const index bytes = s.batch_block * step * line * index(sizeof(T));
  const index weights = most_taps(1) * packing_.src_channels * panel_width * index(sizeof(T));
  s.joins = s.planar && !s.packs && s.block[2] >= s.extent[2] && s.line_piece >= s.extent[2] &&
            dst.stride[1] == dst.size[2] && bytes <= kMostLineBytes &&
            (step == 1 || weights <= l2_bytes() / 2 || (s.block[0] == 1 && kJoinBytes / bytes >= s.block[1]));
  s.join_lines = s.joins ? std::clamp<index>(kJoinBytes / bytes, 1, std::max<index>(s.block[1], 1)) : 1;
  if (s.joins) s.line_elements = s.join_lines * step * line;
}

// The same number many times.
template <class T>
void repeat(T number, index count, T* to) {
  if (number == 0 && !std::signbit(number)) return void(std::memset(to, 0, sizeof(T) * std::size_t(count)));
  index done = std::min<index>(count, 16), some;
  std::fill_n(to, done, number);
  for (; done < count; done += some) {
    some = std::min(done, count - done);
    std::memcpy(to + done, to, sizeof(T) * std::size_t(some));
  }
}

template <class T>
void copy_row(const KernelTable<T>& table, const T* src, index stride_w, index stride_c, index count,
              index channels, index pitch, T* dst) {
  if (stride_c == 1 && stride_w == channels && pitch == channels) {
    std::memcpy(dst, src, sizeof(T) * std::size_t(count * channels));
  } else if (stride_c == 1) {
    for (index w = 0; w < count; ++w)
      std::memcpy(dst + w * pitch, src + w * stride_w, sizeof(T) * std::size_t(channels));
  } else if (stride_w == 1) {
    table.transpose(src, stride_c, channels, count, dst, pitch);
  } else {
    for (index w = 0; w < count; ++w)
      for (index c = 0; c < channels; ++c) dst[w * pitch + c] = src[w * stride_w + c * stride_c];
  }
}

// One block of destinations, of one group and some images, and a run of its panels.
template <class T>
struct ChannelMethod<T>::Task {
  const ChannelMethod& self;
  const Schedule& plan;
  const Call<T>& call;
  const ChannelPacking<T>& packing;
  const KernelTable<T>& table;
  const index channels;  // of the source
  index panel_begin, panel_end, group, image, images;
  index q[kAxes], q_stop[kAxes];

  // The source: the array itself, or a zero-padded channels-last copy of a window.
  const T* source;  // of source position 0, 0, 0 and the block's first image, or of what a run of taps reads
  T* window = nullptr;  // where lines are copied run by run
  // Of the lines of a copy: columns [lo, hi), of which those outside of [inside, inside_end) are halo.
  struct Columns {
    index lo, hi, inside, inside_end;
    bool have_halo() const { return lo < inside || inside_end < hi; }
  } columns;
  index source_n, source_stride[kAxes];
  T *buffer, *packed;  // (strip, position, channel) of planar destinations; the weights of tasks that pack
  T* stage;            // what planes pass
  T* sums;             // of (line, position, lane), which go on

  // The panel at hand.
  const Panel* panel = nullptr;
  index width = 0, largest = 0, slice = 0;  // lanes; positions of a tile; packed weights of one tap
  index origin = 0;                         // the tap, in packing order, that tile.weights starts with
  void (*const* kernels)(const ChannelTile<T>&) = nullptr;
  ChannelTile<T> tile;
  T bias[2 * 64 / sizeof(T)];
  // The taps that meet the source, and whose they are. Shifts rise from tap to tap, so those of an axis are
  // neighbours.
  struct Met {
    index begin = 0, end = 0;
    bool operator==(const Met& other) const { return begin == other.begin && end == other.end; }
  };
  std::vector<index> src_offset, weight_offset;
  const Phase* listed[kAxes] = {};
  Met listed_taps[kAxes], listed_run;
  // The taps along d and h, of a phase in their order, whose products are added now: up to `kAllTaps`, if
  // sums end with them.
  Met tap_run{0, kAllTaps};
  bool sums_go_on() const { return tap_run.end < kAllTaps; }

  // Destinations [begin, end) of a phase along w, some at least, those of them that inputs reach, and the
  // positions of the tiles of these: the same on all lines.
  struct Stretch {
    const Phase& phase;
    index begin, end, reached, reached_end, size;
  };
  std::vector<Stretch> stretches;  // of the piece of planar lines
  index stretched = INT64_MIN;     // that begins here

  Ahead ahead;              // the window of the next block
  std::vector<char> blank;  // which lines of planar destinations no tap reaches

  Task(const ChannelMethod& method, const Schedule& schedule, const Call<T>& given, index number)
      : self(method),
        plan(schedule),
        call(given),
        packing(method.packing_),
        table(*method.packing_.table),
        channels(method.packing_.src_channels) {
    const index following = number + 1;  // of the same thread, but for the last one of its share
    panel_begin = number % plan.panel_runs * plan.panel_run;
    panel_end = std::min(panel_begin + plan.panel_run, index(packing.panels.size()));
    number /= plan.panel_runs;
    plan.take(number, q, q_stop);
    group = number % packing.shape.groups;
    image = number / packing.shape.groups * plan.batch_block;
    images = std::min(plan.batch_block, call.src.n - image);
    src_offset.reserve(std::size_t(packing.shape.taps()));
    weight_offset.reserve(std::size_t(packing.shape.taps()));
    if (plan.looks_ahead && following < plan.tasks) look_ahead(following);
  }

  // Notes the window of the block that this thread will probably take next.
  void look_ahead(index number) {
    const View<const T>& src = call.src;
    index from[kAxes], stop[kAxes], lo[kAxes], hi[kAxes];
    plan.take(number, from, stop);
    for (int a = 0; a < kAxes; ++a) {
      plan.axis[a].window(from[a], stop[a], lo[a], hi[a]);
      lo[a] = std::max<index>(lo[a], 0);
      hi[a] = std::max(lo[a], std::min(hi[a], plan.axis[a].src_size));
    }
    const bool planar = src.stride_c != 1;
    const index height = lines_join(lo, hi) ? hi[1] - lo[1] : 1;
    const index run = height * (hi[2] - lo[2]) * src.stride[2];
    if (run <= 0) return;
    const index first = number * plan.batch_block, end = std::min(first + plan.batch_block, src.n);
    for (index n = first; n < end; ++n)
      for (index d = lo[0]; d < hi[0]; ++d)
        for (index c = 0; c < (planar ? channels : 1); ++c)
          for (index h = lo[1]; h < hi[1]; h += height) {
            const T* at = src.data + n * src.stride_n + d * src.stride[0] + h * src.stride[1] +
                          lo[2] * src.stride[2] + c * src.stride_c;
            ahead.add(at, at + run);
          }
    index steps = images * index(packing.panels.size()) * ceil_div(channels, ChannelTile<T>::kAheadChannels);
    for (int a = 0; a < kAxes; ++a) {
      index taps = 0;
      for (const Phase& p : plan.axis[a].phases) {
        index j, j_end;
        plan.axis[a].range(p, q[a], q_stop[a], j, j_end);
        const index count = std::max<index>(j_end - j, 0);
        taps += index(p.cls->taps.size()) * (a == 2 ? ceil_div(count, plan.largest) : count);
      }
      steps *= taps;
    }
    ahead.share_out(steps);
  }

  // Whether the lines of a window follow each other in memory.
  bool lines_join(const index (&lo)[kAxes], const index (&hi)[kAxes]) const {
    return call.src.stride[1] == (hi[2] - lo[2]) * call.src.stride[2];
  }

  void run() {
    read_source();
    tile.bias = bias;
    for (index pn = panel_begin; pn < panel_end; ++pn) {
      open_panel(packing.panels[std::size_t(pn)]);
      const std::vector<Phase>& lines_of = plan.axis[1].phases;
      const std::size_t together = plan.joins ? lines_of.size() : 1;
      for (const Phase& pd : plan.axis[0].phases) {
        take_bias(pd);
        for (std::size_t n = 0; n < lines_of.size(); n += together)
          if (plan.planar)
            planar_lines(pd, &lines_of[n], together);
          else
            for (const Phase& pw : plan.axis[2].phases) lines(pd, lines_of[n], pw);
      }
    }
  }

  // Finds the source window, [lo, hi) per axis, and copies it where it cannot be read in place. What is
  // outside of the source is halo.
  void read_source() {
    const View<const T>& src = call.src;
    index lo[kAxes], hi[kAxes];
    for (int a = 0; a < kAxes; ++a) plan.axis[a].window(q[a], q_stop[a], lo[a], hi[a]);
    const bool in_place = plan.reads_in_place(src, lo[2], hi[2]);
    for (int a = 0; a < kAxes; ++a)
      if (a < 2 || plan.along_batch) {
        lo[a] = std::max<index>(lo[a], 0);
        hi[a] = std::max(lo[a], std::min(hi[a], plan.axis[a].src_size));
      }
    const T* const first = source_of_image(image);
    const index pitch = spread<T>(channels);
    const bool runs = plan.windows_of_runs && !in_place && lo[0] < hi[0];
    const index lines = runs ? (q_stop[1] - q[1] - 1) * plan.line_step() + plan.tap_run : hi[1] - lo[1];
    const index copied = in_place ? 0 : images * (hi[0] - lo[0]) * lines * (hi[2] - lo[2]) * pitch;
    const index elements = copied + plan.batch_block * plan.line_elements + plan.packed_elements +
                           plan.staged() + plan.sum_elements + 64;
    T* to = static_cast<T*>(scratch(sizeof(T) * std::size_t(elements)));
    buffer = to + copied;
    packed = buffer + plan.batch_block * plan.line_elements;
    stage = packed + plan.packed_elements;
    sums = stage + plan.staged();
    if (in_place) {
      source = first;
      source_n = src.stride_n;
      for (int a = 0; a < kAxes; ++a) source_stride[a] = src.stride[a];
      return;
    }
    source_stride[2] = pitch;
    source_stride[1] = (hi[2] - lo[2]) * source_stride[2];
    source_stride[0] = lines * source_stride[1];
    source_n = (hi[0] - lo[0]) * source_stride[0];
    columns.lo = lo[2], columns.hi = hi[2];
    columns.inside = std::max<index>(lo[2], 0);
    columns.inside_end = std::max(columns.inside, std::min(hi[2], plan.axis[2].src_size));
    if (runs) {
      window = to;
      return;
    }
    source = to - lo[0] * source_stride[0] - lo[1] * source_stride[1] - lo[2] * source_stride[2];
    // Lines without halo that follow each other are as good as one line; those that no tap reads are left
    // out.
    const bool join = !columns.have_halo() && lines_join(lo, hi);
    for (index n = 0; n < images; ++n)
      for (index d = lo[0]; d < hi[0]; ++d, to += source_stride[0])
        for (index h = lo[1], end; h < hi[1] && is_read(0, d); h = end) {
          end = h + 1;
          if (!is_read(1, h)) continue;
          while (join && end < hi[1] && is_read(1, end)) ++end;
          copy_lines(first + n * src.stride_n + d * src.stride[0] + h * src.stride[1], end - h,
                     to + (h - lo[1]) * source_stride[1]);
        }
  }

  const T* source_of_image(index number) const {
    return call.src.data + number * call.src.stride_n + group * channels * call.src.stride_c;
  }

  // Copies a line, or lines without halo that follow each other.
  void copy_lines(const T* from, index count, T* to) const {
    const index pitch = source_stride[2], stride = call.src.stride[2];
    const index before = columns.inside - columns.lo, after = columns.hi - columns.inside_end;
    std::memset(to, 0, sizeof(T) * std::size_t(before * pitch));
    copy_row(table, from + columns.inside * stride, stride, call.src.stride_c,
             count * (columns.inside_end - columns.inside), channels, pitch, to + before * pitch);
    std::memset(to + source_stride[1] - after * pitch, 0, sizeof(T) * std::size_t(after * pitch));
  }

  // Copies the source lines that a run of taps reads for lines [h0, h1) of destinations.
  void copy_run(const Phase& ph, index h0, index h1) {
    const AxisSchedule& h = plan.axis[1];
    const index taps = std::min(tap_run.end, index(ph.cls->taps.size())) - tap_run.begin;
    const index step = plan.line_step();
    for (index j = h0; j < h1; ++j) {
      const index from = h.source(ph, ph.cls->taps[std::size_t(tap_run.begin)], j);
      const index own = j + 1 < h1 ? std::min(step, taps) : taps;  // the others are those of the next one
      for (index t = std::max<index>(0, -from); t < std::min(own, h.src_size - from); ++t)
        copy_lines(source_of_image(image) + (from + t) * call.src.stride[1], 1,
                   window + ((j - h0) * step + t) * source_stride[1]);
    }
    source = window - h0 * step * source_stride[1] - columns.lo * source_stride[2];
  }

  // Whether a tap reads a position of the source: those of an adjoint leave gaps where they are fewer than
  // the stride or lie multiples of something apart.
  bool is_read(int a, index position) const {
    const AxisSchedule& axis = plan.axis[a];
    if (axis.src_step == 1) return true;
    const Phase& p = axis.phases[0];
    for (const AxisTap& tap : p.cls->taps)
      if ((position - axis.source(p, tap, 0)) % axis.src_step == 0) return true;
    return false;
  }

  void open_panel(const Panel& next) {
    panel = &next;
    width = packing.width(*panel);
    kernels = table.channel[panel->vectors - 1];
    largest = table.max_positions[panel->vectors - 1];
    slice = packing.slice(*panel);
    origin = 0;
    listed[2] = nullptr;
    stretched = INT64_MIN;
    // Planar destinations pass through a buffer of whole panels.
    tile.columns = plan.planar ? width : panel->columns;
    tile.dst_stride_c = plan.planar ? 1 : call.dst.stride_c;
    tile.streams =
        plan.streams && !plan.planar && panel->columns == width && width * index(sizeof(T)) % 64 == 0;
    if (!plan.packs) tile.weights = self.weights_.data() + group * packing.group_weights + panel->weights;
  }

  void take_bias(const Phase& pd) {
    const T* from = nullptr;
    if (call.bias) from = call.bias + group * packing.dst_channels + panel->first + pd.dst0 * call.bias_step;
    for (index c = 0; c < width; ++c) bias[c] = from && c < panel->columns ? from[c] : T(0);
  }

  // The first destination of the panel on a line.
  T* destination(index d, index h) const {
    const View<T>& dst = call.dst;
    return dst.data + image * dst.stride_n + (group * packing.dst_channels + panel->first) * dst.stride_c +
           d * dst.stride[0] + h * dst.stride[1];
  }
  static index place(const AxisSchedule& axis, const Phase& p, index j) { return p.dst0 + j * axis.dst_step; }

  // Weights come from those that the task packs, of which this tap is the first.
  void open_packed(index tap) {
    tile.weights = packed;
    origin = tap;
    listed[2] = nullptr;
  }

  // Packs the taps of a phase that meet an input of the block.
  void pack(const Phase& pd, const Phase& ph, const Phase& pw, T* to) const {
    const Phase* phases[kAxes] = {&pd, &ph, &pw};
    const auto meets = [&](int a, const AxisTap& tap) {
      index begin, end;
      plan.axis[a].range(*phases[a], q[a], q_stop[a], begin, end);
      return plan.axis[a].meets(*phases[a], tap, begin, end);
    };
    for (const AxisTap& td : pd.cls->taps)
      for (const AxisTap& th : ph.cls->taps)
        for (const AxisTap& tw : pw.cls->taps) {
          // Along w a tile reads zero halos with every tap.
          if (meets(0, td) && meets(1, th) && (!plan.along_batch || meets(2, tw)))
            self.pack_tap(self.borrowed_, group, *panel, packing.tap(td, th, tw), to);
          to += slice;
        }
  }

  // The lines of one phase, from the kernels straight to where they belong.
  void lines(const Phase& pd, const Phase& ph, const Phase& pw) {
    index d0, d1, h0, h1, w0, w1;
    plan.axis[0].range(pd, q[0], q_stop[0], d0, d1);
    plan.axis[1].range(ph, q[1], q_stop[1], h0, h1);
    plan.axis[2].range(pw, q[2], q_stop[2], w0, w1);
    if (d0 >= d1 || h0 >= h1 || w0 >= w1) return;
    if (plan.packs) {
      open_packed(packing.taps_before(pd, ph, pw));
      pack(pd, ph, pw, packed);
    }
    fetch_following(pd, ph, pw, (d1 - d0) * (h1 - h0), w1 - w0);
    const Stretch stretch = stretch_of(pw, w0, w1);
    each_run({pd, ph, d0, d1, h0, h1}, stretch, [&](index jd, index jh, T* line_sums) {
      line(pd, ph, stretch, jd, jh,
           destination(place(plan.axis[0], pd, jd), place(plan.axis[1], ph, jh)) +
               pw.dst0 * call.dst.stride[2],
           plan.axis[2].dst_step * call.dst.stride[2], line_sums);
    });
  }

  // Planar destinations: all phases of a piece of a line, or of whole lines of all phases of h, meet in a
  // buffer, a few channels last, and leave it transposed.
  void planar_lines(const Phase& pd, const Phase* ph, std::size_t together) {
    index d0, d1, h0, h1;
    plan.axis[0].range(pd, q[0], q_stop[0], d0, d1);
    plan.axis[1].range(*ph, q[1], q_stop[1], h0, h1);
    if (plan.packs && d0 < d1 && h0 < h1) {
      open_packed(packing.taps_before(pd, *ph, plan.axis[2].phases[0]));
      for (const Phase& pw : plan.axis[2].phases)
        pack(pd, *ph, pw, packed + (packing.taps_before(pd, *ph, pw) - origin) * slice);
    }
    for (index jd = d0; jd < d1; ++jd)
      for (index qh = q[1]; qh < q_stop[1]; qh += plan.join_lines) {
        const index qh_stop = std::min(qh + plan.join_lines, q_stop[1]);
        index begin, end;
        plan.axis[1].destinations(ph, together, qh, qh_stop, begin, end);
        for (index piece = q[2]; piece < q_stop[2] && begin < end; piece += plan.line_piece)
          planar_piece(pd, ph, together, jd, {qh, qh_stop, begin, end}, piece);
      }
  }

  // Lines of destinations and their q.
  struct Lines {
    index q, q_stop, begin, end;
  };

  void planar_piece(const Phase& pd, const Phase* some, std::size_t together, index jd, const Lines& lines,
                    index piece) {
    const AxisSchedule &h = plan.axis[1], &w = plan.axis[2];
    const index stop = std::min(piece + plan.line_piece, q_stop[2]);
    index begin, end, h0, h1, w0, w1;
    w.destinations(piece, stop, begin, end);
    if (begin >= end) return;
    if (stretched != piece) {
      stretched = piece;
      stretches.clear();
      for (const Phase& pw : w.phases) {
        w.range(pw, piece, stop, w0, w1);
        if (w0 < w1) stretches.push_back(stretch_of(pw, w0, w1));
      }
    }
    const index count = (lines.end - lines.begin) * (end - begin);
    T* const to = destination(place(plan.axis[0], pd, jd), lines.begin) + begin;
    const index strip = strip_of(table, count, width);
    tile.dst_strip = strip < width ? count * strip : 0;
    // Lines that no tap reaches hold the bias alone, unless they go around the caches with the others.
    blank.assign(std::size_t(lines.end - lines.begin), false);
    for (const Phase* ph = some; ph < some + together; ++ph) {
      h.range(*ph, lines.q, lines.q_stop, h0, h1);
      const bool reached = !pd.cls->taps.empty() && !ph->cls->taps.empty();
      const bool empty = !reached && !plan.stages_results();
      for (index jh = h0; jh < h1; ++jh) blank[std::size_t(place(h, *ph, jh) - lines.begin)] = empty;
      for (const Stretch& stretch : stretches) {
        if (empty) break;
        const Phase& pw = stretch.phase;
        fetch_following(pd, *ph, pw, h1 - h0, stretch.end - stretch.begin);
        each_run({pd, *ph, jd, jd + 1, h0, h1}, stretch, [&](index, index jh, T* line_sums) {
          T* const row = buffer + (place(h, *ph, jh) - lines.begin) * (end - begin) * strip;
          line(pd, *ph, stretch, jd, jh, row + (pw.dst0 - begin) * strip, w.dst_step * strip, line_sums);
        });
      }
    }
    for (auto from = blank.begin(), next = from; from != blank.end(); from = next) {
      next = std::find(from, blank.end(), !*from);
      const index first = (from - blank.begin()) * (end - begin), some = (next - from) * (end - begin);
      for (index n = 0; n < images; ++n) {
        T* const planes = to + n * call.dst.stride_n + first;
        if (*from)
          for (index c = 0; c < panel->columns; ++c) repeat(bias[c], some, planes + c * call.dst.stride_c);
        else
          write_planes(table, buffer + n * plan.line_elements + first * strip, strip, count * strip, some,
                       panel->columns, plan.stages_results() ? stage : nullptr, planes, call.dst.stride_c);
      }
    }
  }

  // Lines [d0, d1) and [h0, h1) of a phase.
  struct Box {
    const Phase &pd, &ph;
    index d0, d1, h0, h1;
  };

  // Visits the lines of a box, all of them with one run of taps after the other: the weights of a run stay in
  // the second cache, and what lies between two visits of a line are its sums.
  template <class Visit>
  void each_run(const Box& box, const Stretch& stretch, Visit visit) {
    const index taps = index(box.pd.cls->taps.size() * box.ph.cls->taps.size());
    for (index tap = 0; tap == 0 || tap < taps; tap += plan.tap_run) {
      tap_run = {tap, taps - tap > plan.tap_run ? tap + plan.tap_run : kAllTaps};
      if (window) copy_run(box.ph, box.h0, box.h1);
      T* line_sums = sums;
      for (index jd = box.d0; jd < box.d1; ++jd)
        for (index jh = box.h0; jh < box.h1; ++jh, line_sums += (stretch.end - stretch.begin) * width)
          visit(jd, jh, line_sums);
    }
  }

  Stretch stretch_of(const Phase& pw, index begin, index end) const {
    if (plan.along_batch) return {pw, begin, end, begin, end, self.finite_ ? tile_size(images, largest) : 1};
    Stretch s{pw, begin, end, begin, end, 1};
    plan.axis[2].covered(pw, s.reached, s.reached_end);
    s.size = tile_size(s.reached < s.reached_end ? s.reached_end - s.reached : end - begin, largest);
    return s;
  }

  // A stretch of one line: `row` is where j = 0 goes, and its sums are kept in `line_sums`, if they go on.
  void line(const Phase& pd, const Phase& ph, const Stretch& w, index jd, index jh, T* row, index dst_step,
            T* line_sums) {
    Met met[kAxes] = {meet(0, pd, jd), meet(1, ph, jh), {0, index(w.phase.cls->taps.size())}};
    const T* const from = source + jd * plan.axis[0].src_step * source_stride[0] +
                          jh * (window ? plan.line_step() : plan.axis[1].src_step) * source_stride[1];
    const index step = plan.axis[2].src_step * source_stride[2];
    if (plan.along_batch) {
      tile.src_stride = source_n;
      tile.dst_stride = plan.planar ? plan.line_elements : call.dst.stride_n;
      for (index jw = w.begin; jw < w.end; ++jw) {
        met[2] = meet(2, w.phase, jw);
        collect(pd, ph, w.phase, met);
        for (index n = 0; n < images; n += w.size) {
          tile.src = from + jw * step + n * source_n;
          tile.dst = row + jw * dst_step + n * tile.dst_stride;
          compute(std::min(w.size, images - n));
        }
      }
      return;
    }
    tile.dst_stride = dst_step;
    tile.src_stride = step;
    const auto tiles = [&](index begin, index end, index size) {
      for (index j = begin; j < end; j += size) {
        tile.src = from + j * step;
        tile.dst = row + j * dst_step;
        compute(std::min(size, end - j));
      }
    };
    collect(pd, ph, w.phase, met);  // along w halos meet all taps
    if (tap_run.begin == 0 && !sums_go_on())
      tiles(w.reached, w.reached_end, w.size);
    else
      go_on(w, from, step, row, dst_step, line_sums);
    if (sums_go_on()) return;
    if (w.reached > w.begin || w.reached_end < w.end) {  // where no input reaches: the bias alone
      const index size = w.reached < w.reached_end ? largest : w.size;
      tile.taps = 0;
      tiles(w.begin, w.reached, size);
      tiles(w.reached_end, w.end, size);
    }
  }

  // The tiles of a line with one run of taps: sums are where the run before has left them, and stay there for
  // the next.
  void go_on(const Stretch& w, const T* from, index step, T* row, index dst_step, T* line_sums) {
    const ChannelTile<T> whole = tile;
    if (sums_go_on()) {
      row = line_sums - w.begin * width;
      dst_step = tile.dst_stride = tile.columns = width;
      tile.dst_stride_c = 1;
      tile.dst_strip = 0;
      tile.streams = false;
    }
    if (tap_run.begin > 0) tile.bias_stride = width;
    for (index j = w.reached; j < w.reached_end; j += w.size) {
      tile.src = from + j * step;
      tile.dst = row + j * dst_step;
      if (tap_run.begin > 0) tile.bias = line_sums + (j - w.begin) * width;
      compute(std::min(w.size, w.reached_end - j));
    }
    tile = whole;
  }

  // While `count` lines of a phase are computed, kernels fetch the weights that come behind its own, if those
  // are far. Where positions are fewer than taps, not all of them will be read.
  void fetch_following(const Phase& pd, const Phase& ph, const Phase& pw, index count, index length) {
    if (!plan.fetches_weights) return;
    ahead.clear();
    const index taps = index(pd.cls->taps.size() * ph.cls->taps.size() * pw.cls->taps.size());
    if (taps == 0 || count * length < taps) return;
    const T* const next = tile.weights + (packing.taps_before(pd, ph, pw) + taps) * slice;
    const T* const end = self.weights_.data() + packing.group_weights * packing.shape.groups;
    ahead.add(next, std::min(next + taps * slice, end));
    const index tiles = plan.along_batch ? length * ceil_div(images, largest) : ceil_div(length, largest);
    ahead.share_out(count * tiles * taps * ceil_div(channels, tile.kAheadChannels));
  }

  void compute(index positions) { ahead.call(kernels[positions - 1], tile); }

  Met meet(int a, const Phase& p, index j) const {
    const AxisSchedule& axis = plan.axis[a];
    const auto inside = [&](index tap) {
      const index at = axis.source(p, p.cls->taps[std::size_t(tap)], j);
      return at >= 0 && at < axis.src_size;
    };
    Met met{0, index(p.cls->taps.size())};
    while (met.begin < met.end && !inside(met.begin)) ++met.begin;
    while (met.begin < met.end && !inside(met.end - 1)) --met.end;
    return met;
  }

  // The taps of a destination that meet the source, as destination 0 would read them; neighbours have the
  // same ones, so a list lasts until others do.
  void collect(const Phase& pd, const Phase& ph, const Phase& pw, const Met (&met)[kAxes]) {
    const bool known = listed[0] == &pd && listed[1] == &ph && listed[2] == &pw &&
                       std::equal(met, met + kAxes, listed_taps) && tap_run == listed_run;
    if (!known) {
      listed_run = tap_run;
      listed[0] = &pd, listed[1] = &ph, listed[2] = &pw;
      std::copy_n(met, kAxes, listed_taps);
      list(pd, ph, pw, met);
    }
    tile.taps = index(src_offset.size());
  }

  void list(const Phase& pd, const Phase& ph, const Phase& pw, const Met (&met)[kAxes]) {
    const index nh = index(ph.cls->taps.size()), nw = index(pw.cls->taps.size());
    // Taps of the phases before this one, in packing order.
    const index before = packing.taps_before(pd, ph, pw);
    // Taps of w whose channels follow each other are as good as one tap with all of them.
    const bool run_of_taps = !plan.along_batch && packing.shape.kind == Kind::adjoint &&
                             packing.shape.d[2] == 1 && source_stride[2] == channels;
    tile.channels = run_of_taps ? nw * channels : channels;
    src_offset.clear();
    weight_offset.clear();
    const auto offset = [&](int a, const Phase& p, index tap) {
      if (a == 1 && window) return (tap - tap_run.begin) * source_stride[a];
      return plan.axis[a].source(p, p.cls->taps[std::size_t(tap)], 0) * source_stride[a];
    };
    for (index td = met[0].begin; td < met[0].end; ++td)
      for (index th = std::max(met[1].begin, tap_run.begin - td * nh);
           th < std::min(met[1].end, tap_run.end - td * nh); ++th)
        for (index tw = met[2].begin; tw < (run_of_taps ? std::min<index>(1, nw) : met[2].end); ++tw) {
          src_offset.push_back(offset(0, pd, td) + offset(1, ph, th) + offset(2, pw, tw));
          weight_offset.push_back((before - origin + (td * nh + th) * nw + tw) * slice);
        }
    tile.src_offset = src_offset.data();
    tile.weight_offset = weight_offset.data();
  }
};

template <class T>
const Winograd<T>* ChannelMethod<T>::winograd(const Call<T>& call) const {
  if (!winograd_ || (packing_.shape.algorithm == Algorithm::automatic && !winograd_->pays(call)))
    return nullptr;
  weights();
  if (!finite_) return nullptr;
  return winograd_.get();
}

template <class T>
bool ChannelMethod<T>::packs_in_tasks(const Call<T>& call, Schedule& plan) const {
  if (!once_ || !finite_) return false;
  plan = schedule(call, true);
  // Where several blocks want the same weights, packing once costs less than packing for each; and all
  // threads shall have work.
  const int threads = thread_count(call.threads);
  return plan.tasks == plan.panel_runs * packing_.shape.groups && plan.tasks >= threads;
}

template <class T>
bool ChannelMethod<T>::run(const Call<T>& call) const {
  if (const Winograd<T>* fewer = winograd(call)) return fewer->run(call, weights());
  Schedule plan;
  const auto run_task = [&](index task) { Task(*this, plan, call, task).run(); };
  if (packs_in_tasks(call, plan) && !used_.exchange(true)) {
    if (!parallel_for(plan.tasks, call.threads, run_task, call.should_stop)) return false;
    if (finite_) return true;  // else zero halos met an infinity: once more, without
  }
  weights();
  plan = schedule(call, false);
  return parallel_for(plan.tasks, call.threads, run_task, call.should_stop);
}

template <class T>
index ChannelMethod<T>::workspace_bytes(const Call<T>& call) const {
  if (const Winograd<T>* fewer = winograd(call)) return fewer->workspace_bytes(call);
  Schedule plan;
  if (!packs_in_tasks(call, plan)) plan = schedule(call, false);
  return workers(call.threads, plan.tasks) * plan.scratch_elements * index(sizeof(T));
}

template <class T>
std::string ChannelMethod<T>::explain(const Call<T>& call) const {
  if (const Winograd<T>* fewer = winograd(call)) return "channel method, " + fewer->explain(call);
  Schedule plan;
  if (!packs_in_tasks(call, plan)) plan = schedule(call, false);
  return "channel method: vectors of " + std::to_string(packing_.table->lanes) + " output channels, tiles " +
         (plan.along_batch ? "along the batch" : "along the last axis") +
         (plan.packs ? ", weights packed as they are used" : "") + ", " + std::to_string(plan.tasks) +
         " tasks" + (finite_ ? "" : "; no zero halo, for the kernel holds an infinity or NaN");
}

}  // namespace

template <class T>
std::unique_ptr<Method<T>> make_channel_method(const Shape& shape, const Weights<T>& kernel, const Path& path,
                                               Use use) {
  return std::make_unique<ChannelMethod<T>>(shape, kernel, path, use);
}

template std::unique_ptr<Method<float>> make_channel_method(const Shape&, const Weights<float>&, const Path&,
                                                            Use);
template std::unique_ptr<Method<double>> make_channel_method(const Shape&, const Weights<double>&,
                                                             const Path&, Use);

}  // namespace ct
