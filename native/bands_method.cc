// Layers of few channels per group, channels last: bands of lines are transposed to planes, computed there
// by another method, and transposed back. The sums are those of the planes, in the same order.
#include <algorithm>

#include "method.h"
#include "schedule.h"

namespace ct {
namespace {

constexpr index kMostRows = 16;  // channels that leave by interleaving

template <class T>
class BandsMethod final : public Method<T> {
 public:
  BandsMethod(const Shape& shape, const Path& path, std::unique_ptr<Method<T>> planes)
      : shape_(shape), table_(kernels<T>(path)), planes_(std::move(planes)) {}

  bool run(const Call<T>& call) const override {
    // Other layouts are the planes' business.
    if (call.src.stride_c != 1 || call.dst.stride_c != 1) return planes_->run(call);
    const Schedule plan = schedule(call);
    const auto body = [&](index task) { run_task(plan, call, task); };
    return parallel_for(plan.bands * call.src.n, call.threads, body, call.should_stop);
  }

  index workspace_bytes(const Call<T>& call) const override {
    const Schedule plan = schedule(call);
    const Band band(*this, call, plan, 0);
    return workers(call.threads, plan.bands * call.src.n) *
           (plan.elements * index(sizeof(T)) + planes_->workspace_bytes(band.call));
  }

  std::string explain(const Call<T>& call) const override {
    const Schedule plan = schedule(call);
    const Band band(*this, call, plan, 0);
    return std::to_string(plan.bands * call.src.n) + " transposed bands of " + std::to_string(plan.band) +
           " lines, each by the " + planes_->explain(band.call);
  }

 private:
  // Bands cut the first axis that has a length.
  struct Schedule {
    int axis;
    index band, bands, sources;  // lengths along the axis
    index src_plane, dst_plane, elements;
  };

  Schedule schedule(const Call<T>& call) const {
    Schedule s;
    s.axis = 0;
    while (s.axis < kAxes - 1 && call.dst.size[s.axis] == 1 && call.src.size[s.axis] == 1) ++s.axis;
    const Axis& axis = call.axes[s.axis];
    const bool forward = shape_.kind == Kind::forward;
    const index length = call.dst.size[s.axis], reach = (axis.k - 1) * axis.d;
    index src_line = 1, dst_line = 1;
    for (int a = s.axis + 1; a < kAxes; ++a) {
      src_line *= call.src.size[a];
      dst_line *= call.dst.size[a];
    }
    // A part of the arrays that leaves the workspace small, and at least a few lines.
    const index src_c = call.src.c, dst_c = call.dst.c;
    const index total = call.src.n * (src_c * call.src.size[s.axis] * src_line + dst_c * length * dst_line);
    const index budget =
        std::min(block_budget() / index(sizeof(T)), total / (8 * workers(call.threads, INT32_MAX)));
    const index per = (forward ? ceil_div(src_line, axis.s) : axis.s * src_line) * src_c + dst_line * dst_c;
    s.band = std::clamp<index>(budget / std::max<index>(per, 1), 1, length);
    s.bands = ceil_div(length, s.band);
    s.sources = forward ? ceil_div(s.band + reach, axis.s) + 1 : (s.band - 1) * axis.s + reach + 1;
    s.sources = std::min(s.sources, call.src.size[s.axis]);
    s.src_plane = s.sources * src_line;
    s.dst_plane = s.band * dst_line;
    s.elements = src_c * s.src_plane + dst_c * s.dst_plane;
    return s;
  }

  // Destinations from `first` on, as a problem of planes that have no memory yet.
  struct Band {
    index count, source;  // destinations, and where their sources begin
    Axis axes[kAxes];
    Call<T> call;

    Band(const BandsMethod& self, const Call<T>& whole, const Schedule& plan, index first)
        : count(std::min(plan.band, whole.dst.size[plan.axis] - first)),
          axes{whole.axes[0], whole.axes[1], whole.axes[2]},
          call{whole.src, whole.dst, axes, whole.bias, 1, nullptr} {
      const bool forward = self.shape_.kind == Kind::forward;
      Axis& a = axes[plan.axis];
      const index least =
          forward ? floor_div(first + a.lo - (a.k - 1) * a.d + a.s - 1, a.s) : first * a.s - a.lo;
      source = std::clamp<index>(least, 0, whole.src.size[plan.axis] - plan.sources);
      (forward ? a.i : a.o) = plan.sources;
      (forward ? a.o : a.i) = count;
      a.lo += forward ? first - source * a.s : source - first * a.s;
      call.src.size[plan.axis] = plan.sources;
      call.dst.size[plan.axis] = count;
      make_planar(call.src, plan.src_plane);
      make_planar(call.dst, plan.dst_plane);
    }
    Band(const Band&) = delete;  // the call refers to the axes

    template <class U>
    static void make_planar(View<U>& array, index plane) {
      array.n = 1;
      array.stride_c = plane;
      array.stride[2] = 1;
      array.stride[1] = array.size[2];
      array.stride[0] = array.size[1] * array.size[2];
    }
  };

  void run_task(const Schedule& plan, const Call<T>& call, index task) const {
    const index image = task / plan.bands, first = task % plan.bands * plan.band;
    const index src_c = call.src.c, dst_c = call.dst.c;
    Band band(*this, call, plan, first);

    T* const memory = static_cast<T*>(scratch(sizeof(T) * std::size_t(plan.elements), 2));
    T* const results = memory + src_c * plan.src_plane;
    band.call.src.data = memory;
    band.call.dst.data = results;
    View<const T> src = call.src;
    View<T> dst = call.dst;
    src.data += image * src.stride_n + band.source * src.stride[plan.axis];
    dst.data += image * dst.stride_n + first * dst.stride[plan.axis];
    src.size[plan.axis] = plan.sources;
    dst.size[plan.axis] = band.count;
    each_line(src, [&](index at, index line) {
      T* const to = memory + line * src.size[2];
      if (src_c > 4)
        table_.transpose(src.data + at, src.stride[2], src.size[2], src_c, to, plan.src_plane);
      else
        for (index c = 0; c < src_c; ++c)
          for (index w = 0; w < src.size[2]; ++w)
            to[c * plan.src_plane + w] = src.data[at + w * src.stride[2] + c];
    });
    planes_->run(band.call);
    each_line(dst, [&](index at, index line) {
      const T* from = results + line * dst.size[2];
      if (dst_c > kMostRows) {
        table_.transpose(from, plan.dst_plane, dst_c, dst.size[2], dst.data + at, dst.stride[2]);
        return;
      }
      if (dst.stride[2] == dst_c) {
        const T* rows[kMostRows];
        for (index c = 0; c < dst_c; ++c) rows[c] = from + c * plan.dst_plane;
        table_.interleave(rows, dst_c, dst.size[2], dst.data + at);
        return;
      }
      for (index w = 0; w < dst.size[2]; ++w)
        for (index c = 0; c < dst_c; ++c) dst.data[at + w * dst.stride[2] + c] = from[c * plan.dst_plane + w];
    });
  }

  // use(offset in the array, number of the line)
  template <class U, class Use>
  static void each_line(const View<U>& array, Use use) {
    for (index d = 0; d < array.size[0]; ++d)
      for (index h = 0; h < array.size[1]; ++h)
        use(d * array.stride[0] + h * array.stride[1], d * array.size[1] + h);
  }

  Shape shape_;
  const KernelTable<T>& table_;
  std::unique_ptr<Method<T>> planes_;
};

}  // namespace

template <class T>
std::unique_ptr<Method<T>> make_bands_method(const Shape& shape, const Path& path,
                                             std::unique_ptr<Method<T>> planes) {
  return std::make_unique<BandsMethod<T>>(shape, path, std::move(planes));
}

template std::unique_ptr<Method<float>> make_bands_method(const Shape&, const Path&,
                                                          std::unique_ptr<Method<float>>);
template std::unique_ptr<Method<double>> make_bands_method(const Shape&, const Path&,
                                                           std::unique_ptr<Method<double>>);

}  // namespace ct
