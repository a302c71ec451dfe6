// The group method: layers of few channels per group, several groups side by side in one vector.
//
// A task is one block of destinations times one bundle of groups. It copies the source window of its block,
// channels last with zeros around, then computes line by line. Channels-first results leave a buffer of one
// line transposed.
#include <algorithm>

#include "group_window.h"
#include "method.h"
#include "schedule.h"

namespace ct {
namespace {

constexpr index kBudget = 128 << 10;  // bytes of the windows of a task
constexpr index kMostStride = 64;     // whole lines of results stay small

template <class T>
class GroupMethod final : public TaskMethod<T, GroupMethod<T>> {
 public:
  GroupMethod(const Shape& shape, const T* kernel, const Path& path);

  std::string explain(const Call<T>& call) const override {
    return "group method: vectors of " + std::to_string(table_.lanes) + " hold " + std::to_string(bundle_) +
           " groups of " + std::to_string(dst_) + " output channels, " +
           std::to_string(schedule(call).tasks) + " tasks";
  }

 private:
  // Taps of w of one class: those that read neighbouring samples in pairs, the first one before the second.
  struct Taps {
    struct Pair {
      const AxisTap *first, *second;
    };
    std::vector<Pair> pairs;
    std::vector<const AxisTap*> singles;
  };
  struct Schedule : BlockedAxes {
    bool buffered;          // lines of destinations pass through a buffer
    index run, runs;        // bundles of a task, one beside the other in the same lines
    index window_elements;  // of a bundle
    index line_elements, scratch_elements;
    index tasks;
  };
  friend class TaskMethod<T, GroupMethod>;

  void pair_taps();
  Schedule schedule(const Call<T>& call) const;
  void run_task(const Schedule& plan, const Call<T>& call, index task) const;

  Shape shape_;
  const KernelTable<T>& table_;
  index src_, dst_;  // channels of a group
  index bundle_, bundles_;
  GroupLayout layout_;
  std::vector<AxisClass> classes_[kAxes];
  std::vector<Taps> w_taps_;  // per class of w
  std::vector<std::int32_t> order_;
  Buffer<T> weights_;
};

template <class T>
GroupMethod<T>::GroupMethod(const Shape& shape, const T* kernel, const Path& path)
    : shape_(shape),
      table_(kernels<T>(path)),
      src_(shape.src_channels()),
      dst_(shape.dst_channels()),
      bundle_(bundle_of(table_.lanes, dst_, shape.groups)),
      bundles_(ceil_div(shape.groups, bundle_)),
      layout_(table_.lanes, bundle_, src_),
      order_(layout_.template order<T>(table_.lanes, dst_)),
      weights_(0) {
  const index lanes = table_.lanes, slice = lanes * src_;
  for (int a = 0; a < kAxes; ++a) classes_[a] = classify(shape.kind, shape.k[a], shape.s[a], shape.d[a]);
  pair_taps();

  // Order: bundle, tap, source channel, lane.
  const index taps = shape.taps(), co = shape.c_out / shape.groups, ci = shape.c_in / shape.groups;
  weights_ = Buffer<T>(bundles_ * taps * slice);
  std::fill_n(weights_.data(), bundles_ * taps * slice, T(0));
  const bool forward = shape.kind == Kind::forward;
  for (index g = 0; g < shape.groups; ++g)
    for (index t = 0; t < taps; ++t)
      for (index o = 0; o < co; ++o)
        for (index i = 0; i < ci; ++i)
          weights_.data()[(g / bundle_ * taps + t) * slice + (forward ? i : o) * lanes + g % bundle_ * dst_ +
                          (forward ? o : i)] = kernel[(t * co + o) * shape.c_in + g * ci + i];
}

template <class T>
void GroupMethod<T>::pair_taps() {
  const bool forward = shape_.kind == Kind::forward;
  const index step = forward ? 1 : shape_.s[2];
  for (const AxisClass& cls : classes_[2]) {
    Taps taps;
    std::vector<bool> used(cls.taps.size());
    for (std::size_t n = 0; n < used.size(); ++n) {
      // Forward, sources fall as the taps rise: the partner that reads the sample before is a later tap.
      if (used[n]) continue;
      std::size_t other = n + 1;
      while (other < used.size() && (used[other] || cls.taps[other].shift - cls.taps[n].shift != step))
        ++other;
      if (other < used.size()) {
        used[other] = true;
        const AxisTap *low = &cls.taps[n], *high = &cls.taps[other];
        taps.pairs.push_back(forward ? typename Taps::Pair{high, low} : typename Taps::Pair{low, high});
      } else {
        taps.singles.push_back(&cls.taps[n]);
      }
    }
    w_taps_.push_back(std::move(taps));
  }
}

template <class T>
typename GroupMethod<T>::Schedule GroupMethod<T>::schedule(const Call<T>& call) const {
  Schedule s;
  s.open(shape_.kind, call.axes, classes_);
  const index lanes = table_.lanes;
  s.buffered = call.dst.stride_c != 1;
  // Bundles whose lines lie side by side in channels-last memory: no cache line is left half read or written.
  // Forward, more of them make longer runs of stores, which are most of the traffic; the sources of an
  // adjoint are, and more of those would only make the windows larger.
  const index bytes = shape_.kind == Kind::forward ? 256 : 64;
  const index beside = std::max<index>(1, bytes / (bundle_ * std::max(src_, dst_) * index(sizeof(T))));
  s.run = s.buffered ? 1 : std::min(beside, bundles_);
  s.runs = ceil_div(bundles_, s.run);
  const auto measure = [&] {
    index line = 0;  // positions of the source
    s.window_elements = layout_.pitch;
    for (int a = 0; a < kAxes; ++a) {
      const index reach = (shape_.k[a] - 1) * shape_.d[a] / (shape_.kind == Kind::forward ? shape_.s[a] : 1);
      line = (s.block[a] - 1) * s.axis[a].src_step + 1 + reach;
      s.window_elements *= a == 2 ? line : std::min(line, s.axis[a].src_size);
    }
    s.tasks = s.count() * call.src.n * s.runs;
    s.line_elements = s.buffered ? s.block[2] * s.axis[2].dst_step * lanes : 0;
    s.line_elements = std::max(s.line_elements, layout_.line_elements(line));
    return s.run * s.window_elements + s.line_elements;
  };
  const index budget = kBudget / index(sizeof(T));
  const int threads = thread_count(call.threads);
  const index wanted = threads > 1 ? 4 * threads : 1;
  const index smallest[kAxes] = {1, 1, 2 * table_.max_group_positions};
  index elements = measure();
  while (elements > budget || (s.tasks > 0 && s.tasks < wanted)) {
    int a = 0;
    while (a < kAxes && s.block[a] <= smallest[a]) ++a;
    if (a == kAxes) break;
    s.block[a] = std::max(ceil_div(s.block[a], 2), smallest[a]);
    elements = measure();
  }
  s.scratch_elements = elements + s.run * lanes + kGroupSlack;
  return s;
}

template <class T>
void GroupMethod<T>::run_task(const Schedule& plan, const Call<T>& call, index task) const {
  const View<T>& dst = call.dst;
  const index lanes = table_.lanes, slice = src_ * lanes;

  const index first_bundle = task % plan.runs * plan.run;
  const index bundles = std::min(plan.run, bundles_ - first_bundle);
  task /= plan.runs;
  index q[kAxes], q_stop[kAxes];
  plan.take(task, q, q_stop);
  Box box;
  box.n0 = task;
  box.n1 = task + 1;
  for (int a = 0; a < kAxes; ++a) {
    plan.axis[a].window(q[a], q_stop[a], box.lo[a], box.hi[a]);
    if (a == 2) continue;  // taps of the other axes that meet no input are left out
    box.lo[a] = std::clamp<index>(box.lo[a], 0, plan.axis[a].src_size);
    box.hi[a] = std::clamp<index>(box.hi[a], box.lo[a], plan.axis[a].src_size);
  }
  T* const bias = static_cast<T*>(scratch(sizeof(T) * std::size_t(plan.scratch_elements)));
  T* const buffer = bias + plan.run * lanes;
  T* const memory = buffer + plan.line_elements;
  std::fill_n(bias, bundles * lanes, T(0));
  std::fill_n(bias + plan.scratch_elements - kGroupSlack, kGroupSlack, T(0));
  const auto groups_of = [&](index bundle) { return std::min(bundle_, shape_.groups - bundle * bundle_); };
  Window<T> source;  // of the first bundle; the others lie behind
  for (index b = bundles - 1; b >= 0; --b) {
    const index group = (first_bundle + b) * bundle_, groups = groups_of(first_bundle + b);
    source = layout_.open(table_, call.src, group, groups, box, memory + b * plan.window_elements, buffer);
    if (call.bias) std::copy_n(call.bias + group * dst_, groups * dst_, bias + b * lanes);
  }

  std::vector<GroupTap> pairs, singles;
  GroupTile<T> tile;
  tile.src_stride = plan.axis[2].src_step * source.stride[2];
  tile.parts = layout_.parts;
  tile.part_step = layout_.part_step();
  tile.channels = layout_.part;
  tile.last = layout_.last();
  tile.order = order_.data();
  const bool streams = !plan.buffered && bundle_ * dst_ == lanes && worth_streaming(dst, lanes);

  // Taps of one line, those of w for its destination j = 0.
  const auto collect = [&](const Phase& pd, const Phase& ph, const Phase& pw, index jd, index jh) {
    const Taps& w_taps = w_taps_[std::size_t(pw.cls - classes_[2].data())];
    pairs.clear();
    singles.clear();
    for (const AxisTap& td : pd.cls->taps) {
      const index sd = plan.axis[0].source(pd, td, jd);
      if (sd < 0 || sd >= plan.axis[0].src_size) continue;
      for (const AxisTap& th : ph.cls->taps) {
        const index sh = plan.axis[1].source(ph, th, jh);
        if (sh < 0 || sh >= plan.axis[1].src_size) continue;
        const index row = sd * source.stride[0] + sh * source.stride[1];
        const index taps = (td.kernel_index * shape_.k[1] + th.kernel_index) * shape_.k[2];
        const auto src = [&](const AxisTap& tw) {
          return row + plan.axis[2].source(pw, tw, 0) * source.stride[2];
        };
        for (const auto& p : w_taps.pairs)
          pairs.push_back({src(*p.first), (taps + p.first->kernel_index) * slice,
                           (taps + p.second->kernel_index) * slice});
        for (const AxisTap* t : w_taps.singles)
          singles.push_back({src(*t), (taps + t->kernel_index) * slice, 0});
      }
    }
    tile.pair = pairs.data();
    tile.single = singles.data();
  };
  // Destinations [w0, w1) of one phase of w on one line of a bundle, `row` is where j = 0 goes.
  const auto line = [&](index b, const Phase& pw, index w0, index w1, T* row, index dst_step) {
    const index columns = groups_of(first_bundle + b) * dst_;
    tile.weights = weights_.data() + (first_bundle + b) * shape_.taps() * slice;
    tile.bias = bias + b * lanes;
    tile.columns = plan.buffered ? lanes : columns;
    tile.streams = streams && columns == lanes;
    tile.dst_stride = dst_step;
    const T* const base = source.base + box.n0 * source.stride_n + b * plan.window_elements;
    const auto tiles = [&](index begin, index end) {
      if (begin >= end) return;
      const index size = tile_size(end - begin, table_.max_group_positions);
      for (index j = begin; j < end; j += size) {
        tile.src = base + j * tile.src_stride;
        tile.dst = row + j * dst_step;
        table_.group[std::min(size, end - j) - 1](tile);
      }
    };
    index covered0 = w0, covered1 = w1;
    plan.axis[2].covered(pw, covered0, covered1);
    tile.pairs = index(pairs.size());
    tile.singles = index(singles.size());
    tiles(covered0, covered1);
    tile.pairs = tile.singles = 0;  // where no input reaches: the bias alone
    tiles(w0, covered0);
    tiles(std::max(covered0, covered1), w1);
  };

  const index channel = first_bundle * bundle_ * dst_;
  for (const Phase& pd : plan.axis[0].phases)
    for (const Phase& ph : plan.axis[1].phases) {
      index d0, d1, h0, h1, w0, w1;
      plan.axis[0].range(pd, q[0], q_stop[0], d0, d1);
      plan.axis[1].range(ph, q[1], q_stop[1], h0, h1);
      for (index jd = d0; jd < d1; ++jd)
        for (index jh = h0; jh < h1; ++jh) {
          T* const at = dst.data + box.n0 * dst.stride_n + channel * dst.stride_c +
                        (pd.dst0 + jd * plan.axis[0].dst_step) * dst.stride[0] +
                        (ph.dst0 + jh * plan.axis[1].dst_step) * dst.stride[1];
          index o_begin, o_end;
          plan.axis[2].destinations(q[2], q_stop[2], o_begin, o_end);
          for (const Phase& pw : plan.axis[2].phases) {
            plan.axis[2].range(pw, q[2], q_stop[2], w0, w1);
            if (w0 >= w1) continue;
            collect(pd, ph, pw, jd, jh);
            if (plan.buffered)
              line(0, pw, w0, w1, buffer + (pw.dst0 - o_begin) * lanes, plan.axis[2].dst_step * lanes);
            for (index b = 0; b < bundles && !plan.buffered; ++b)
              line(b, pw, w0, w1, at + b * bundle_ * dst_ + pw.dst0 * dst.stride[2],
                   plan.axis[2].dst_step * dst.stride[2]);
          }
          if (!plan.buffered || o_begin >= o_end) continue;
          T* const to = at + o_begin * dst.stride[2];
          const index columns = groups_of(first_bundle) * dst_;
          if (dst.stride[2] == 1) {
            table_.transpose(buffer, lanes, o_end - o_begin, columns, to, dst.stride_c);
          } else {
            for (index o = 0; o < o_end - o_begin; ++o)
              for (index c = 0; c < columns; ++c)
                to[o * dst.stride[2] + c * dst.stride_c] = buffer[o * lanes + c];
          }
        }
    }
}

}  // namespace

template <class T>
bool group_method_applies(const Shape& shape, const Path& path) {
  const KernelTable<T>& table = kernels<T>(path);
  if (!bundles_fill(table, shape.dst_channels(), shape.groups) || shape.s[2] > kMostStride) return false;
  // The row method needs no permutations, and lines that stay planes not even a transpose.
  const bool pairs = shape.k[2] >= 2 * shape.s[2] && shape.s[2] > 1;
  return shape.kind == Kind::adjoint || !shape.channels_first || pairs;
}

template <class T>
std::unique_ptr<Method<T>> make_group_method(const Shape& shape, const T* kernel, const Path& path) {
  return std::make_unique<GroupMethod<T>>(shape, kernel, path);
}

template bool group_method_applies<float>(const Shape&, const Path&);
template bool group_method_applies<double>(const Shape&, const Path&);
template std::unique_ptr<Method<float>> make_group_method(const Shape&, const float*, const Path&);
template std::unique_ptr<Method<double>> make_group_method(const Shape&, const double*, const Path&);

}  // namespace ct
