// Phases along w as channels. Where the stride s divides the kernel, tap s * t + p of the last
// axis gives destination s * q + p from source q - t: the taps of neighbouring phases lie next to each other
// in the kernel as their destinations do in a row. Seen as s times as many channels, both are those of a
// kernel of k / s taps and unit stride, and channels last not a number moves. Channels first, every plane is
// such an image of s channels, and the planes are destinations along d, one for each of as many taps; only
// the kernel is put in that order.
//
// A crop that is no multiple of the stride leaves parts of such runs at the ends of a row. They are computed
// in scratch memory, box by box; so is everything where the destinations of a row are not one run.
#include <algorithm>

#include "method.h"
#include "schedule.h"

namespace ct {
namespace {

constexpr index kMostColumns = 16;  // of a box

template <class T>
class PhasesMethod final : public Method<T> {
 public:
  PhasesMethod(const Shape& shape, const Weights<T>& kernel, const Path& path, Use use)
      : phases_(shape.s[2]), first_(shape.channels_first) {
    Weights<T> given = kernel;
    Buffer<T> planes(first_ && kernel.data ? shape.taps() * shape.c_out * shape.c_in : 0);
    Buffer<std::uint16_t> halves(first_ && kernel.halves ? shape.taps() * shape.c_out * shape.c_in : 0);
    if (first_ && kernel.halves) given.halves = by_planes(shape, kernel.halves, halves.data());
    if (first_ && kernel.data) given.data = by_planes(shape, kernel.data, planes.data());
    wide_ = make_channel_method(widen(shape), given, path, first_ ? Use::kept : use);
  }

  bool run(const Call<T>& given) const override {
    const Seen seen(*this, given);
    const Call<T>& call = seen.call;
    const Schedule plan = schedule(call);
    std::vector<T> bias;  // of (phase, channel), or the other way round where planes are apart
    for (index n = 0; call.bias && n < phases_ * given.dst.c; ++n)
      bias.push_back(call.bias[first_ ? n / phases_ : n % given.dst.c]);
    const T* const repeated = call.bias ? bias.data() : nullptr;
    if (plan.begin < plan.end) {
      const Part whole(*this, call, repeated, plan);
      if (!wide_->run(whole.call)) return false;
    }
    const auto body = [&](index task) { run_box(plan, call, repeated, task); };
    return parallel_for(plan.tasks, call.threads, body, call.should_stop);
  }

  index workspace_bytes(const Call<T>& given) const override {
    const Seen seen(*this, given);
    const Call<T>& call = seen.call;
    const Schedule plan = schedule(call);
    index bytes = 0;
    if (plan.begin < plan.end) bytes = wide_->workspace_bytes(Part(*this, call, nullptr, plan).call);
    if (plan.tasks > 0) {
      const Part box(*this, call, nullptr, plan.columns[0], 0, 0, 0, plan.rows);
      const index each = plan.elements * index(sizeof(T)) + wide_->workspace_bytes(box.call);
      bytes = std::max(bytes, workers(call.threads, plan.tasks) * each);
    }
    return bytes + (call.bias ? phases_ * given.dst.c * index(sizeof(T)) : 0);
  }

  std::string explain(const Call<T>& given) const override {
    const Seen seen(*this, given);
    const Call<T>& call = seen.call;
    const Schedule plan = schedule(call);
    const std::string ends =
        plan.tasks > 0 ? ", the rest of the rows in " + std::to_string(plan.tasks) + " boxes" : "";
    const Part part = plan.begin < plan.end ? Part(*this, call, nullptr, plan)
                                            : Part(*this, call, nullptr, plan.columns[0], 0, 0, 0, plan.rows);
    return "phases along w as channels: " + wide_->explain(part.call) + ends;
  }

 private:
  // In terms of q: what is computed in place, and what in boxes.
  struct Range {
    index begin, end;
  };
  struct Schedule : Range {
    std::vector<Range> columns;  // of boxes
    index rows, bands;           // of a box, and how many there are of it
    index elements, tasks;
  };

  // The call with its planes, if they come first, along d.
  struct Seen {
    Axis axes[kAxes];
    Call<T> call;

    Seen(const PhasesMethod& self, const Call<T>& given)
        : axes{given.axes[0], given.axes[1], given.axes[2]},
          call{given.src, given.dst, axes, given.bias, given.threads, given.should_stop} {
      if (!self.first_) return;
      const index planes = given.dst.c;
      axes[0] = {1, planes, planes, 1, 0, planes};
      call.dst.size[0] = planes;
      call.dst.stride[0] = given.dst.stride_c;
      call.dst.c = call.dst.stride_c = 1;
      call.bias_step = self.phases_;
    }
    Seen(const Seen&) = delete;  // the call refers to the axes
  };

  static Shape widen(Shape shape) {
    if (shape.channels_first) shape.k[0] = shape.s[0] = shape.c_out;
    shape.c_out = shape.s[2] * (shape.channels_first ? 1 : shape.c_out);
    shape.k[2] /= shape.s[2];
    shape.s[2] = 1;
    return shape;
  }

  // From (tap, channel, input) to (channel, tap, input).
  template <class U>
  static const U* by_planes(const Shape& shape, const U* kernel, U* to) {
    for (index c = 0; c < shape.c_out; ++c)
      for (index tap = 0; tap < shape.taps(); ++tap)
        std::copy_n(kernel + (tap * shape.c_out + c) * shape.c_in, shape.c_in,
                    to + (c * shape.taps() + tap) * shape.c_in);
    return to;
  }

  Schedule schedule(const Call<T>& call) const {
    const Axis& w = call.axes[2];
    const View<T>& dst = call.dst;
    Schedule s;
    s.begin = -floor_div(-w.lo, phases_);
    s.end = floor_div(w.lo + w.o, phases_);
    const Range all = {floor_div(w.lo, phases_), -floor_div(-w.lo - w.o, phases_)};
    const bool runs = dst.stride_c == 1 && dst.stride[2] == dst.c;
    if (!runs || s.begin >= s.end) s.begin = s.end = all.begin;
    const auto add = [&](index begin, index end) {
      for (; begin < end; begin += kMostColumns)
        s.columns.push_back({begin, std::min(begin + kMostColumns, end)});
    };
    add(all.begin, s.begin);
    add(s.end, all.end);
    index most = 1;
    for (const Range& r : s.columns) most = std::max(most, r.end - r.begin);
    const index row = most * phases_ * dst.c;
    s.rows = std::clamp<index>(block_budget() / index(sizeof(T)) / row, 1, dst.size[1]);
    s.bands = ceil_div(dst.size[1], s.rows);
    s.elements = s.rows * row;
    s.tasks = index(s.columns.size()) * s.bands * dst.size[0] * dst.n;
    return s;
  }

  // The wide problem of some columns: those in place, or one box.
  struct Part {
    Axis axes[kAxes];
    Call<T> call;

    Part(const PhasesMethod& self, const Call<T>& whole, const T* bias, const Range& columns)
        : axes{whole.axes[0], whole.axes[1], whole.axes[2]},
          call{whole.src, whole.dst, axes, bias, whole.threads, whole.should_stop, whole.bias_step} {
      Axis& w = axes[2];
      const index phases = self.phases_;
      call.dst.data += (columns.begin * phases - w.lo) * call.dst.stride[2];
      call.dst.c *= phases;
      call.dst.size[2] = columns.end - columns.begin;
      call.dst.stride[2] = call.dst.c;
      w = {w.i, w.k / phases, 1, 1, columns.begin, call.dst.size[2]};
    }
    // Without memory yet.
    Part(const PhasesMethod& self, const Call<T>& whole, const T* bias, const Range& columns, index image,
         index d, index row, index rows)
        : Part(self, whole, bias, columns) {
      call.threads = 1;
      call.should_stop = nullptr;
      call.src.n = call.dst.n = 1;
      call.src.data += image * call.src.stride_n;
      if (bias) call.bias += d * call.bias_step;
      const index first[] = {d, row}, count[] = {1, std::min(rows, whole.dst.size[1] - row)};
      for (int a = 0; a < 2; ++a) {
        axes[a].lo += first[a];
        call.dst.size[a] = axes[a].o = count[a];
      }
      call.dst.stride_c = 1;
      call.dst.stride[1] = call.dst.size[2] * call.dst.c;
      call.dst.stride[0] = call.dst.stride_n = call.dst.size[1] * call.dst.stride[1];
    }
    Part(const Part&) = delete;  // the call refers to the axes
  };

  void run_box(const Schedule& plan, const Call<T>& call, const T* bias, index task) const {
    const index band = task % plan.bands;
    task /= plan.bands;
    const Range& columns = plan.columns[std::size_t(task % index(plan.columns.size()))];
    task /= index(plan.columns.size());
    const index d = task % call.dst.size[0], image = task / call.dst.size[0];
    Part box(*this, call, bias, columns, image, d, band * plan.rows, plan.rows);
    T* const results = static_cast<T*>(scratch(sizeof(T) * std::size_t(plan.elements), 2));
    box.call.dst.data = results;
    wide_->run(box.call);

    const View<T>& out = call.dst;
    const index first = columns.begin * phases_ - call.axes[2].lo;  // destination of the first column
    const index begin = std::max<index>(0, -first), count = (columns.end - columns.begin) * phases_;
    const index end = std::min(count, out.size[2] - first);
    for (index row = 0; row < box.call.dst.size[1]; ++row) {
      const T* from = results + row * count * out.c;
      T* to = out.data + image * out.stride_n + d * out.stride[0] + (band * plan.rows + row) * out.stride[1];
      for (index j = begin; j < end; ++j)
        for (index c = 0; c < out.c; ++c)
          to[(first + j) * out.stride[2] + c * out.stride_c] = from[j * out.c + c];
    }
  }

  index phases_;
  bool first_;  // the planes of channels come first
  std::unique_ptr<Method<T>> wide_;
};

}  // namespace

template <class T>
std::unique_ptr<Method<T>> make_phases_method(const Shape& shape, const Weights<T>& kernel, const Path& path,
                                              Use use) {
  return std::make_unique<PhasesMethod<T>>(shape, kernel, path, use);
}

template std::unique_ptr<Method<float>> make_phases_method(const Shape&, const Weights<float>&, const Path&,
                                                           Use);
template std::unique_ptr<Method<double>> make_phases_method(const Shape&, const Weights<double>&, const Path&,
                                                            Use);

}  // namespace ct
