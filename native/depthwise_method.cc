// The depthwise method: one channel per group, or on one side a few, which planes can have. Hardly any
// arithmetic follows a load here, so sources are read where they lie, without a copy: along the channels if
// they come last, along the rows of a plane if they come first. What lies beyond a border is left out, by
// the kernels of planes; of lines, source rows here and columns by the kernels.
#include <algorithm>
#include <mutex>

#include "method.h"
#include "schedule.h"

namespace ct {
namespace {

constexpr index kBlockBytes = 20 << 10;    // of the first cache, for what a few lines read and write
constexpr index kBlockChannels = 128;      // whose weights stay there as well
constexpr index kTaskElements = 16 << 10;  // destinations that are worth a task, of up to
constexpr index kTaskTaps = 16;            // that many taps each
constexpr index kTaskLines = 32;           // neighbouring lines share source rows
constexpr index kTaskPlanes = 4;           // so do lines of neighbouring planes
constexpr index kMostPlane = 32 << 10;     // bytes of a plane that goes around the caches as a whole
constexpr index kFetchedPlane = 4 << 10;   // bytes of a source that is over before hardware sees a stream
constexpr index kBandRows = 24;  // of a plane, whole tiles, while as much of the next one is fetched

template <class T>
class DepthwiseMethod final : public Method<T> {
 public:
  DepthwiseMethod(const Shape& shape, const T* kernel, const Path& path);
  bool run(const Call<T>& call) const override;
  index workspace_bytes(const Call<T>& call) const override;
  std::string explain(const Call<T>& call) const override;

 private:
  // The lines of one image or plane, and how they are shared out.
  struct Schedule {
    std::vector<DepthwiseLine> lines;
    std::vector<DepthwiseRow> rows;
    DepthwiseRun<T> run;
    void (*kernel)(const DepthwiseRun<T>&);
    // What tasks share out: lines, or those of some planes that share their rows, or the rows of some planes,
    // or the blocks of one line of channels.
    enum { kLines, kShared, kRows, kBlocks } parts;
    // Planes, and those whose lines take turns: a large source passes the caches once for all of them.
    index depth, turns;
    index line_chunk, line_chunks, planes, plane_chunk, tasks;
    index block_channels, block_width;
    bool fetches_planes;  // an adjoint's next one while one computes
    index fetched;        // sources of a small plane, fetched while the one two before it computes, or 0
    index staged;         // destinations of a plane that leaves the first cache as a whole, or 0
  };

  static bool in_place(const Call<T>& call, bool channels_first);
  const Method<T>& other_layouts() const;
  Schedule schedule(const Call<T>& call) const;
  void add_lines(const Call<T>& call, Schedule& plan) const;
  DepthwiseAxis columns(const Call<T>& call) const;
  // Taps before the first one that would make the crop a multiple of the stride: the kernels of planes that
  // write several phases begin their vectors where the rows begin.
  index missing_taps(const Call<T>& call) const {
    if (!square_ || shape_.kind == Kind::adjoint) return 0;
    const Axis& axis = call.axes[2];
    return -floor_div(-axis.lo, axis.s) * axis.s - axis.lo;
  }
  DepthwiseAxis rows(const Call<T>& call) const;
  void pack(const T* kernel);
  bool takes_planes() const { return square_ || packed_; }
  // Where the weights of a plane of a group begin: a kernel has its outputs apart and its inputs side by
  // side.
  index weights_of(index group, index plane) const {
    const bool outputs = shape_.c_in == shape_.groups;
    return (outputs ? plane * shape_.groups + group : group * planes_ + plane) * shape_.taps();
  }
  DepthwiseRun<T> cut(const Schedule& plan, index part) const;
  void run_images(const Schedule& plan, const Call<T>& call, index task) const;
  void run_planes(const Schedule& plan, const Call<T>& call, index task) const;
  static void run_fetching(const Schedule& plan, DepthwiseRun<T> run, const T* following);

  Shape shape_;
  const Path& path_;
  const KernelTable<T>& table_;
  void (*kernel_)(const DepthwiseRun<T>&);
  const DepthwiseKernel<T>* square_ = nullptr;  // whose kernels take planes, not lines: channels first
  int shared_ = 1;                              // lines of an adjoint that a source row is read for
  std::vector<AxisClass> classes_[kAxes];
  std::vector<DepthwiseTap> taps_;  // along w, by phase
  std::vector<index> phase_taps_;
  index planes_;  // of the side of a group that has several
  Buffer<T> weights_, no_bias_;
  index packed_ = 0;      // elements of a plane of weights in vectors, for kernels of planes, channels last
  index block_rows_ = 1;  // of q, that those take at once
  Buffer<T> vectors_;
  mutable std::once_flag other_once_;
  mutable std::unique_ptr<Method<T>> other_;
};

template <class T>
DepthwiseMethod<T>::DepthwiseMethod(const Shape& shape, const T* kernel, const Path& path)
    : shape_(shape),
      path_(path),
      table_(kernels<T>(path)),
      kernel_(table_.depthwise_any),
      planes_(shape.src_channels() * shape.dst_channels()),
      weights_(shape.taps() * shape.groups * planes_),
      no_bias_(shape.groups * shape.dst_channels()),
      vectors_(0) {
  const bool forward = shape.kind == Kind::forward;
  for (int a = 0; a < kAxes; ++a) classes_[a] = classify(shape.kind, shape.k[a], shape.s[a], shape.d[a]);
  for (const AxisClass& c : classes_[2]) {
    phase_taps_.push_back(index(taps_.size()));
    for (const AxisTap& tap : c.taps) taps_.push_back({forward ? -tap.shift : tap.shift, tap.kernel_index});
  }
  phase_taps_.push_back(index(taps_.size()));
  std::fill_n(no_bias_.data(), shape.groups * shape.dst_channels(), T(0));
  const int kind = forward ? 0 : 1;
  if (shape.channels_first) {
    const index all = shape.groups * planes_;
    table_.transpose(kernel, all, shape.taps(), all, weights_.data(), shape.taps());
    square_ = plane_kernel(table_, shape);
    kernel_ = table_.depthwise_first[shape.s[2] / 2][kind];
  } else {
    std::copy_n(kernel, shape.taps() * shape.groups, weights_.data());
    const DepthwiseKernel<T>* known = line_kernel(table_, shape);
    if (known && shape.groups >= table_.lanes) kernel_ = known->last[kind];
    const DepthwiseKernel<T>* square = square_kernel(table_, shape);
    if (square && square->last_block[kind] && shape.groups >= table_.lanes) {
      kernel_ = square->last_block[kind];
      block_rows_ = square->block_rows;
      pack(kernel);
    } else if (square && !forward && square->shared > 1 && shape.groups % table_.lanes == 0) {
      shared_ = square->shared;
      kernel_ = square->last_shared;
    }
  }
}

// Plane by plane, the taps of every vector of channels side by side. The last vector ends at the last
// channel.
template <class T>
void DepthwiseMethod<T>::pack(const T* kernel) {
  const index lanes = table_.lanes, taps = shape_.k[1] * shape_.k[2], count = ceil_div(shape_.groups, lanes);
  packed_ = count * taps * lanes;
  vectors_ = Buffer<T>(shape_.k[0] * packed_);
  T* to = vectors_.data();
  for (index d = 0; d < shape_.k[0]; ++d)
    for (index v = 0; v < count; ++v)
      for (index t = 0; t < taps; ++t, to += lanes)
        std::copy_n(kernel + (d * taps + t) * shape_.groups + std::min(v * lanes, shape_.groups - lanes),
                    lanes, to);
}

// The source positions of one destination along one axis, with their taps.
template <class Use>
void each_source(Kind kind, const Axis& axis, const std::vector<AxisClass>& classes, index o, Use use) {
  const bool forward = kind == Kind::forward;
  const index at = forward ? floor_div(o + axis.lo, axis.s) : o * axis.s - axis.lo;
  const AxisClass& c = classes[std::size_t(forward ? o + axis.lo - at * axis.s : 0)];
  for (const AxisTap& tap : c.taps) {
    const index source = forward ? at - tap.shift : at + tap.shift;
    if (source >= 0 && source < (forward ? axis.i : axis.o)) use(source, tap.kernel_index);
  }
}

template <class T>
void DepthwiseMethod<T>::add_lines(const Call<T>& call, Schedule& plan) const {
  const index per_row = shape_.k[2] * (shape_.channels_first ? 1 : shape_.groups);
  const index plane = weights_of(0, 1) - weights_of(0, 0);
  if (takes_planes()) {
    const index weights = packed_ ? packed_ : shape_.k[1] * per_row;  // of a plane
    for (index d = 0; d < call.dst.size[0]; ++d) {
      const index first = index(plan.rows.size());
      for (index p = 0; p < shape_.src_channels(); ++p)
        each_source(shape_.kind, call.axes[0], classes_[0], d, [&](index sd, index kd) {
          plan.rows.push_back({p * call.src.stride_c + sd * call.src.stride[0], p * plane + kd * weights, 0});
        });
      plan.lines.push_back({d * call.dst.stride[0], first, index(plan.rows.size()) - first, 0});
    }
    return;
  }
  plan.lines.reserve(std::size_t(call.dst.size[0] * (call.dst.size[1] + shared_ - 1)));
  const auto add_line = [&](index d, index h) {
    const index first = index(plan.rows.size());
    for (index p = 0; p < shape_.src_channels(); ++p)
      each_source(shape_.kind, call.axes[0], classes_[0], d, [&](index sd, index kd) {
        const auto add_row = [&](index sh, index kh) {
          plan.rows.push_back({p * call.src.stride_c + sd * call.src.stride[0] + sh * call.src.stride[1],
                               p * plane + (kd * shape_.k[1] + kh) * per_row, kh});
        };
        if (shared_ == 1) return each_source(shape_.kind, call.axes[1], classes_[1], h, add_row);
        for (index kh = 0; kh < shape_.s[1]; ++kh) {
          const index sh = h * shape_.s[1] - call.axes[1].lo + kh;
          if (sh >= 0 && sh < call.src.size[1]) add_row(sh, kh);
        }
      });
    plan.lines.push_back(
        {d * call.dst.stride[0] + h * call.dst.stride[1], first, index(plan.rows.size()) - first, h});
  };
  for (index first = 0; first < plan.depth; first += plan.turns)
    for (index h = 0; h < call.dst.size[1] + shared_ - 1; ++h)
      for (index d = first; d < std::min(first + plan.turns, plan.depth); ++d) add_line(d, h);
}

template <class T>
DepthwiseAxis DepthwiseMethod<T>::columns(const Call<T>& call) const {
  index low = 0, high = 0;
  for (const DepthwiseTap& tap : taps_) {
    low = std::min(low, tap.column);
    high = std::max(high, tap.column);
  }
  Axis axis = call.axes[2];
  if (const index missing = missing_taps(call)) {
    axis.lo += missing;
    low = -((shape_.k[2] + missing - 1) / axis.s);
  }
  // The planes' adjoint loads whole groups of a stride.
  if (shape_.kind == Kind::adjoint && shape_.channels_first) high = ceil_div(high + 1, axis.s) * axis.s - 1;
  return depthwise_axis(shape_.kind, axis, low, high, call.src.stride[2], call.dst.stride[2]);
}

template <class T>
DepthwiseAxis DepthwiseMethod<T>::rows(const Call<T>& call) const {
  const bool forward = shape_.kind == Kind::forward;
  return depthwise_axis(shape_.kind, call.axes[1], forward ? -((shape_.k[1] - 1) / shape_.s[1]) : 0,
                        forward ? 0 : shape_.k[1] - 1, call.src.stride[1], call.dst.stride[1]);
}

template <class T>
typename DepthwiseMethod<T>::Schedule DepthwiseMethod<T>::schedule(const Call<T>& call) const {
  Schedule s;
  s.depth = call.dst.size[0];
  s.turns = shape_.k[0] > 1 ? std::min(kTaskPlanes, std::max<index>(s.depth, 1)) : 1;
  add_lines(call, s);
  s.run.rows = s.rows.data();
  s.run.taps = taps_.data();
  s.run.phase_taps = phase_taps_.data();
  s.kernel = square_ ? square_->plane[shape_.kind == Kind::adjoint][missing_taps(call) > 0] : kernel_;
  s.run.kernel_size = shape_.k[2];
  s.run.dilation = shape_.d[2];
  s.run.w = columns(call);
  s.run.h = rows(call);
  s.run.channels = s.run.channel_end = shape_.groups;
  s.run.channel_begin = 0;
  const index phases = shape_.kind == Kind::forward ? shape_.s[2] : 1;
  const index run = shape_.channels_first ? table_.lanes * phases : shape_.groups;
  s.run.streams = (!shape_.channels_first || square_) && worth_streaming(call.dst, run, kKeptCaches);

  // What no second cache holds is fetched before it is read.
  const View<const T>& src = call.src;
  s.run.fetches = worth_fetching(src, 4);
  s.fetches_planes = s.run.fetches && square_ && shape_.kind == Kind::adjoint &&
                     src.stride[1] == src.size[2] &&
                     src.size[1] * src.size[2] * index(sizeof(T)) <= l2_bytes() / 4;

  const index source = src.size[0] * src.size[1] * src.size[2];
  const bool dense =
      src.stride[1] == src.size[2] && (src.size[0] == 1 || src.stride[0] == source / src.size[0]);
  const bool small = shape_.channels_first && dense && shape_.src_channels() == 1 &&
                     source * index(sizeof(T)) <= kFetchedPlane;
  s.fetched = s.run.fetches && small && !s.fetches_planes ? source : 0;

  // Blocks of a line whose sources are still in the first cache when the next line wants them.
  s.block_channels = tile_size(shape_.groups, kBlockChannels);
  s.block_channels = std::min(ceil_div(s.block_channels, table_.lanes) * table_.lanes, shape_.groups);
  const index reach = ceil_div(shape_.k[0], shape_.s[0]) * ceil_div(shape_.k[1], shape_.s[1]);
  const index per_q = s.block_channels * (reach * s.run.w.src_step + s.run.w.phases) * index(sizeof(T));
  s.block_width = std::max<index>(kBlockBytes / per_q / 16, 1) * 16;

  s.parts = Schedule::kLines;
  const index rows = s.run.h.end - s.run.h.begin;
  if (s.lines.size() == 1 && !shape_.channels_first && (!packed_ || rows <= block_rows_))
    s.parts = Schedule::kBlocks;
  else if (packed_ || (s.lines.size() == 1 && square_))
    s.parts = Schedule::kRows;
  index lines = index(s.lines.size());
  if (shared_ > 1) {
    s.parts = Schedule::kShared;
    s.block_width = std::max<index>(s.run.w.end - s.run.w.begin, 1);  // no two tiles may add the same
    lines = ceil_div(s.depth, s.turns) * call.dst.size[1];
  }
  if (s.parts == Schedule::kRows) lines = ceil_div(s.depth, s.turns) * rows;
  if (s.parts == Schedule::kBlocks) lines = ceil_div(s.run.w.end - s.run.w.begin, s.block_width);
  const index threads = thread_count(call.threads);
  const View<T>& dst = call.dst;
  const index plane = dst.size[0] * dst.size[1] * dst.size[2];
  index line_elements = plane / lines;
  if (!shape_.channels_first) line_elements *= shape_.groups;
  line_elements = std::max<index>(line_elements, 1);
  index terms = shape_.taps();  // of a sum
  for (int a = 0; a < kAxes && shape_.kind == Kind::forward; ++a) terms /= shape_.s[a];
  const index worth = std::max<index>(kTaskElements * kTaskTaps / std::max(terms, kTaskTaps), 1);
  s.planes = call.dst.n * (shape_.channels_first ? call.dst.c : 1);
  s.plane_chunk = shape_.channels_first ? std::max<index>(1, worth / (lines * line_elements)) : 1;
  const index wanted = threads > 1 ? ceil_div(4 * threads, s.planes) : 1;
  if (ceil_div(s.planes, s.plane_chunk) < 4 * threads) s.plane_chunk = 1;
  // The first and the last lines of a task read rows that others read as well.
  const index least = std::max<index>(ceil_div(worth, line_elements), 4 * (shared_ - 1));
  const index most = shared_ > 1 ? call.dst.size[1] : s.parts == Schedule::kRows ? rows : lines;
  const index some = shape_.channels_first         ? lines
                     : s.parts == Schedule::kLines ? kTaskLines * s.turns
                                                   : kTaskLines;
  s.line_chunk = std::min(most, std::max(std::clamp<index>(ceil_div(lines, wanted), 1, some), least));
  if (s.parts == Schedule::kRows && packed_ && s.line_chunk < rows)
    s.line_chunk = std::max(s.line_chunk / block_rows_, index(1)) * block_rows_;
  s.line_chunks = lines / most * ceil_div(most, s.line_chunk);
  s.tasks = ceil_div(s.planes, s.plane_chunk) * s.line_chunks;

  // Rows that share cache lines with their neighbours go around the caches together.
  const bool whole = s.line_chunks == 1 && dst.stride[2] == 1 && dst.stride[1] == dst.size[2] &&
                     (dst.size[0] == 1 || dst.stride[0] == dst.size[1] * dst.size[2]);
  const bool stages = shape_.channels_first && whole && !s.run.streams && outgrows_caches(dst, kKeptCaches) &&
                      plane * index(sizeof(T)) <= kMostPlane;
  s.staged = stages ? plane : 0;
  return s;
}

// The lines or rows of a task.
template <class T>
DepthwiseRun<T> DepthwiseMethod<T>::cut(const Schedule& plan, index part) const {
  DepthwiseRun<T> run = plan.run;
  run.lines = plan.lines.data();
  run.line_count = 1;
  const auto take = [&](DepthwiseAxis& axis, index chunk, index unit) {
    axis.begin += chunk * plan.line_chunk * unit;
    axis.end = std::min(axis.begin + plan.line_chunk * unit, axis.end);
    axis.inner_end = std::min(axis.inner_end, axis.end);
  };
  if (plan.parts == Schedule::kRows) {
    const index parts = ceil_div(run.h.end - run.h.begin, plan.line_chunk), plane = part / parts * plan.turns;
    run.lines += plane;
    run.line_count = std::min(plan.turns, plan.depth - plane);
    take(run.h, part % parts, 1);
  } else if (plan.parts == Schedule::kBlocks) {
    take(run.w, part, plan.block_width);
  } else if (plan.parts == Schedule::kShared) {
    const index height = run.h.dst_size, parts = ceil_div(height, plan.line_chunk);
    const index plane = part / parts * plan.turns, planes = std::min(plan.turns, plan.depth - plane);
    run.line_begin = part % parts * plan.line_chunk;
    run.line_end = std::min(run.line_begin + plan.line_chunk, height);
    run.lines += plane * (height + shared_ - 1) + run.line_begin * planes;
    run.line_count = (run.line_end - run.line_begin + shared_ - 1) * planes;
  } else {
    run.lines += part * plan.line_chunk;
    run.line_count = std::min(plan.line_chunk, index(plan.lines.size()) - part * plan.line_chunk);
  }
  return run;
}

template <class T>
void DepthwiseMethod<T>::run_images(const Schedule& plan, const Call<T>& call, index task) const {
  const index image = task / plan.line_chunks;
  DepthwiseRun<T> run = cut(plan, task % plan.line_chunks);
  run.src = call.src.data + image * call.src.stride_n;
  run.dst = call.dst.data + image * call.dst.stride_n;
  run.weights = packed_ ? vectors_.data() : weights_.data();
  run.bias = call.bias ? call.bias : no_bias_.data();
  if (packed_) return plan.kernel(run);
  const index begin = run.w.begin, end = run.w.end;
  for (index c = 0; c < run.channels; c += plan.block_channels) {
    run.channel_begin = c;
    run.channel_end = std::min(c + plan.block_channels, run.channels);
    for (index q = begin; q < end; q += plan.block_width) {
      run.w.begin = q;
      run.w.end = std::min(q + plan.block_width, end);
      plan.kernel(run);
    }
  }
}

// Computes the lines of a plane, which are planes as well, in bands. Meanwhile it fetches what the next line
// reads that this one did not, the last one what the plane at `following`, if any, begins with: a plane is
// over before the processor has seen that it reads a stream.
template <class T>
void DepthwiseMethod<T>::run_fetching(const Schedule& plan, DepthwiseRun<T> run, const T* following) {
  const DepthwiseLine *const first = run.lines, *const last = run.lines + run.line_count - 1;
  const index begin = run.h.begin, end = run.h.end, row = run.h.src_step * run.h.src_stride;
  run.line_count = 1;
  for (; run.lines <= last; ++run.lines) {
    const DepthwiseLine& next = run.lines < last ? run.lines[1] : *first;
    const T* const from = run.lines < last ? run.src : following;
    const auto known = [&](index src) {
      const DepthwiseRow* const rows = plan.rows.data() + run.lines->first;
      return run.lines < last &&
             std::any_of(rows, rows + run.lines->count, [&](const DepthwiseRow& r) { return r.src == src; });
    };
    for (index q = begin; q < end; q += kBandRows) {
      run.h.begin = q;
      run.h.end = std::min(q + kBandRows, end);
      for (index n = next.first; from && n < next.first + next.count; ++n) {
        const index src = plan.rows[std::size_t(n)].src;
        if (known(src)) continue;
        const T* const at = from + src + run.h.src_first * run.h.src_stride;
        for (const T* p = at + q * row; p < at + run.h.end * row; p += 64 / sizeof(T)) __builtin_prefetch(p);
      }
      plan.kernel(run);
    }
  }
}

template <class T>
void DepthwiseMethod<T>::run_planes(const Schedule& plan, const Call<T>& call, index task) const {
  const index plane = task / plan.line_chunks * plan.plane_chunk;
  DepthwiseRun<T> run = cut(plan, task % plan.line_chunks);
  T* const stage = plan.staged ? static_cast<T*>(scratch(sizeof(T) * std::size_t(plan.staged))) : nullptr;
  const auto source = [&](index p) {
    const index group = p % call.dst.c / shape_.dst_channels();
    return call.src.data + p / call.dst.c * call.src.stride_n +
           group * shape_.src_channels() * call.src.stride_c;
  };
  for (index p = plane; p < std::min(plane + plan.plane_chunk, plan.planes); ++p) {
    const index c = p % call.dst.c;
    T* const to = call.dst.data + p / call.dst.c * call.dst.stride_n + c * call.dst.stride_c;
    run.src = source(p);
    run.dst = stage ? stage : to;
    run.weights = weights_.data() + weights_of(c / shape_.dst_channels(), c % shape_.dst_channels());
    run.bias = (call.bias ? call.bias : no_bias_.data()) + c;
    if (plan.fetched > 0 && p + 2 < plan.planes) {
      const T* const next = source(p + 2);
      const T* const stop = next == source(p + 1) ? next : next + plan.fetched;
      for (const T* at = next; at < stop; at += 64 / sizeof(T)) __builtin_prefetch(at);
    }
    if (plan.fetches_planes)
      run_fetching(plan, run, plan.line_chunks == 1 && p + 1 < plan.planes ? source(p + 1) : nullptr);
    else
      plan.kernel(run);
    if (stage) table_.copy_streaming(stage, 0, 1, plan.staged, to, 0);
  }
}

// Whether the vectors of both arrays lie in memory as the kernels want them.
template <class T>
bool DepthwiseMethod<T>::in_place(const Call<T>& call, bool channels_first) {
  if (!channels_first) return call.src.stride_c == 1 && call.dst.stride_c == 1;
  return (call.src.stride[2] == 1 || call.src.size[2] == 1) &&
         (call.dst.stride[2] == 1 || call.dst.size[2] == 1);
}

// What computes arrays that are not: rare, so made when first wanted. It adds the taps in the same order, but
// those of several source planes by turns, as shared rows do; and it knows no pairs of taps, whose even and
// odd ones the planes' adjoints sum apart.
template <class T>
const Method<T>& DepthwiseMethod<T>::other_layouts() const {
  std::call_once(other_once_, [this] {
    const index all = shape_.groups * planes_;
    Buffer<T> kernel(shape_.taps() * all);
    if (shape_.channels_first)
      table_.transpose(weights_.data(), shape_.taps(), all, shape_.taps(), kernel.data(), all);
    else
      std::copy_n(weights_.data(), shape_.taps() * all, kernel.data());
    other_ = make_channel_method(shape_, Weights<T>{kernel.data()}, path_, Use::kept);
  });
  return *other_;
}

template <class T>
bool DepthwiseMethod<T>::run(const Call<T>& call) const {
  if (!in_place(call, shape_.channels_first)) return other_layouts().run(call);
  const Schedule plan = schedule(call);
  const auto body = [&](index task) {
    shape_.channels_first ? run_planes(plan, call, task) : run_images(plan, call, task);
  };
  return parallel_for(plan.tasks, call.threads, body, call.should_stop);
}

template <class T>
index DepthwiseMethod<T>::workspace_bytes(const Call<T>& call) const {
  if (!in_place(call, shape_.channels_first)) return other_layouts().workspace_bytes(call);
  const Schedule plan = schedule(call);
  return index(plan.lines.size() * sizeof(DepthwiseLine) + plan.rows.size() * sizeof(DepthwiseRow)) +
         workers(call.threads, plan.tasks) * plan.staged * index(sizeof(T));
}

template <class T>
std::string DepthwiseMethod<T>::explain(const Call<T>& call) const {
  return "depthwise method: vectors of " + std::to_string(table_.lanes) +
         (shape_.channels_first ? " positions, " : " channels, ") + std::to_string(schedule(call).tasks) +
         " tasks";
}

}  // namespace

template <class T>
std::unique_ptr<Method<T>> make_depthwise_method(const Shape& shape, const T* kernel, const Path& path) {
  return std::make_unique<DepthwiseMethod<T>>(shape, kernel, path);
}

template std::unique_ptr<Method<float>> make_depthwise_method(const Shape&, const float*, const Path&);
template std::unique_ptr<Method<double>> make_depthwise_method(const Shape&, const double*, const Path&);

}  // namespace ct
