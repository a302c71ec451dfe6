// The dot method: adjoints with very few destination channels, which would leave vectors along them empty.
// Vectors lie along the source instead: neighbouring taps of w and the source channels are one run of
// channels-last memory, and a destination is a sum of dot products of such runs with the weights.
//
// A task computes a box of destinations. It copies their source window, with zeros around the array, unless
// the window is inside and in the right order.
#include <algorithm>

#include "method.h"
#include "window.h"

namespace ct {
namespace {

constexpr bool kPadded[kAxes] = {true, true, true};

template <class T>
class DotMethod final : public TaskMethod<T, DotMethod<T>> {
 public:
  DotMethod(const Shape& shape, const T* kernel, const Path& path)
      : shape_(shape), table_(kernels<T>(path)), weights_(0) {
    const index lanes = table_.lanes, src = shape.src_channels(), dst = shape.dst_channels();
    w_taps_ = shape.d[2] == 1 ? shape.k[2] : 1;
    runs_ = shape.taps() / w_taps_;
    length_ = w_taps_ * src;
    group_weights_ = runs_ * ceil_div(length_, lanes) * dst * lanes;
    weights_ = Buffer<T>(group_weights_ * shape.groups);
    std::fill_n(weights_.data(), group_weights_ * shape.groups, T(0));
    // Order: group, run, vector, destination channel, lane.
    for (index g = 0; g < shape.groups; ++g)
      for (index r = 0; r < runs_; ++r)
        for (index n = 0; n < dst; ++n)
          for (index e = 0; e < length_; ++e)
            weights_.data()[g * group_weights_ +
                            ((r * ceil_div(length_, lanes) + e / lanes) * dst + n) * lanes + e % lanes] =
                kernel[(r * length_ + e) * shape.c_in + g * dst + n];
  }

  std::string explain(const Call<T>& call) const override {
    return "dot method: vectors of " + std::to_string(table_.lanes) + " along " + std::to_string(length_) +
           " numbers of the source, " + std::to_string(schedule(call).tasks) + " tasks";
  }

 private:
  friend TaskMethod<T, DotMethod<T>>;
  struct Schedule {
    Blocks blocks;
    index tasks, scratch_elements;
  };

  Schedule schedule(const Call<T>& call) const {
    Schedule s{Blocks(call.src.n, call.axes), 0, 0};
    s.blocks.batch = 1;
    const index wanted = call.threads == 1 ? 1 : 4 * workers(call.threads, INT64_MAX);
    // Windows that are read where they lie may be large.
    const bool copied = !all_in_place(call);
    do {
      s.tasks = s.blocks.count() * shape_.groups;
      s.scratch_elements = copied ? s.blocks.y_positions(kPadded) * shape_.src_channels() + 64 : 0;
    } while ((s.scratch_elements * index(sizeof(T)) > block_budget() ||
              (s.tasks < wanted && s.blocks.x_positions() > 64)) &&
             s.blocks.halve());
    return s;
  }

  // Whether the kernel may read a box of the sources where it lies: it reads behind the last run, if that is
  // not made of whole vectors.
  bool in_place(const View<const T>& src, const Box& box) const {
    bool inside = true;
    for (int a = 0; a < kAxes; ++a) inside = inside && box.lo[a] >= 0 && box.hi[a] <= src.size[a];
    const index channels = shape_.src_channels();
    return inside && length_ % table_.lanes == 0 && src.stride[2] == channels &&
           (channels == 1 || src.stride_c == 1);
  }

  bool all_in_place(const Call<T>& call) const {
    const Blocks whole(call.src.n, call.axes);
    return in_place(call.src, whole.reached(whole.box(0), kPadded));
  }

  // The sources of a box: where they lie, or a copy.
  Window<T> window(const Schedule& plan, const View<const T>& src, index channel, const Box& box) const {
    if (in_place(src, box)) return whole_array(src, channel);
    T* const memory = static_cast<T*>(scratch(sizeof(T) * std::size_t(plan.scratch_elements)));
    std::fill_n(memory + plan.scratch_elements - 64, 64, T(0));  // vectors may read behind the last run
    return copy_window(table_, src, channel, shape_.src_channels(), box, shape_.src_channels(), memory);
  }

  void run_task(const Schedule& plan, const Call<T>& call, index task) const {
    const Shape& shape = shape_;
    const index src = shape.src_channels(), dst = shape.dst_channels(), lanes = table_.lanes;
    const index group = task % shape.groups;
    const Box box = plan.blocks.box(task / shape.groups);
    const Window<T> window = this->window(plan, call.src, group * src, plan.blocks.reached(box, kPadded));

    std::vector<index> offsets;
    for (index d = 0; d < shape.k[0]; ++d)
      for (index h = 0; h < shape.k[1]; ++h)
        for (index w = 0; w < shape.k[2]; w += w_taps_)
          offsets.push_back(d * shape.d[0] * window.stride[0] + h * shape.d[1] * window.stride[1] +
                            w * shape.d[2] * window.stride[2]);
    T bias[KernelTable<T>::kMaxDots];
    for (index n = 0; n < dst; ++n) bias[n] = call.bias ? call.bias[group * dst + n] : T(0);

    DotTile<T> tile;
    tile.src_step = shape.s[2] * src;
    tile.positions = box.hi[2] - box.lo[2];
    tile.runs = runs_;
    tile.vectors = length_ / lanes;
    tile.last = length_ % lanes;
    tile.next =
        tile.src_step % lanes == 0 && tile.src_step / lanes < tile.vectors ? tile.src_step / lanes : 0;
    tile.src_offset = offsets.data();
    tile.weights = weights_.data() + group * group_weights_;
    tile.bias = bias;
    tile.dst_step = call.dst.stride[2];
    tile.dst_stride_c = call.dst.stride_c;
    for (index n = box.n0; n < box.n1; ++n)
      for (index d = box.lo[0]; d < box.hi[0]; ++d)
        for (index h = box.lo[1]; h < box.hi[1]; ++h) {
          tile.src = window.at(n, d * shape.s[0] - call.axes[0].lo, h * shape.s[1] - call.axes[1].lo,
                               box.lo[2] * shape.s[2] - call.axes[2].lo);
          tile.dst = call.dst.data + n * call.dst.stride_n + d * call.dst.stride[0] + h * call.dst.stride[1] +
                     box.lo[2] * call.dst.stride[2] + group * dst * call.dst.stride_c;
          table_.dot[dst - 1](tile);
        }
  }

  Shape shape_;
  const KernelTable<T>& table_;
  index w_taps_, runs_, length_;  // a run: taps of w, and its elements
  index group_weights_;
  Buffer<T> weights_;
};

}  // namespace

template <class T>
std::unique_ptr<Method<T>> make_dot_method(const Shape& shape, const T* kernel, const Path& path) {
  return std::make_unique<DotMethod<T>>(shape, kernel, path);
}

template std::unique_ptr<Method<float>> make_dot_method(const Shape&, const float*, const Path&);
template std::unique_ptr<Method<double>> make_dot_method(const Shape&, const double*, const Path&);

}  // namespace ct
