// The depthwise method: one channel per group, channels last. Every tap is an element-wise product along
// the channels, read where it lies: no copy, no halo. Positions at the border get only the taps they meet.
#include <algorithm>

#include "method.h"
#include "schedule.h"

namespace ct {
namespace {

template <class T>
class DepthwiseMethod final : public Method<T> {
 public:
  DepthwiseMethod(const Shape& shape, const T* kernel, const Path& path)
      : shape_(shape),
        table_(kernels<T>(path)),
        weights_(shape.taps() * shape.groups),
        no_bias_(shape.groups),
        other_layouts_(make_channel_method(shape, kernel, path, Use::kept)) {
    T* dst = weights_.data();
    for (int a = 0; a < kAxes; ++a) classes_[a] = classify(shape.kind, shape.k[a], shape.s[a], shape.d[a]);
    for (const AxisClass& cd : classes_[0])
      for (const AxisClass& ch : classes_[1])
        for (const AxisClass& cw : classes_[2])
          for (const AxisTap& td : cd.taps)
            for (const AxisTap& th : ch.taps)
              for (const AxisTap& tw : cw.taps) {
                const index tap =
                    (td.kernel_index * shape.k[1] + th.kernel_index) * shape.k[2] + tw.kernel_index;
                dst = std::copy_n(kernel + tap * shape.groups, shape.groups, dst);
              }
    std::fill_n(no_bias_.data(), shape.groups, T(0));
  }

  bool run(const Call<T>& call) const override {
    // Channels that are not neighbours are rare here; the other method adds in the same order.
    if (call.src.stride_c != 1 || call.dst.stride_c != 1) return other_layouts_->run(call);
    Context context{this, {}, &call, 0};
    for (int a = 0; a < kAxes; ++a) context.axis[a] = schedule_axis(shape_.kind, call.axes[a], classes_[a]);
    context.lines = context.axis[1].q_end - context.axis[1].q_begin;
    const index tasks = call.src.n * (context.axis[0].q_end - context.axis[0].q_begin) * context.lines;
    return parallel_for(tasks, call.threads, &run_task, &context, call.should_stop);
  }

  index workspace_bytes(const Call<T>&) const override { return 0; }

  std::string explain(const Call<T>&) const override {
    return "depthwise method: vectors of " + std::to_string(table_.lanes) + " channels";
  }

 private:
  struct Context {
    const DepthwiseMethod* self;
    AxisSchedule axis[kAxes];
    const Call<T>* call;
    index lines;
  };

  // One line of q: all phases of one (image, q_d, q_h).
  static void run_task(void* context, index task) {
    const Context& ctx = *static_cast<const Context*>(context);
    const DepthwiseMethod& self = *ctx.self;
    const Call<T>& call = *ctx.call;
    const index channels = self.shape_.groups;
    const index q_h = ctx.axis[1].q_begin + task % ctx.lines;
    task /= ctx.lines;
    const index depth = ctx.axis[0].q_end - ctx.axis[0].q_begin;
    const index q_d = ctx.axis[0].q_begin + task % depth, image = task / depth;
    const T* src = call.src.data + image * call.src.stride_n;

    std::vector<index> src_offset, weight_offset;
    DepthwiseTile<T> tile;
    tile.src_stride = ctx.axis[2].src_step * call.src.stride[2];
    tile.dst_stride = ctx.axis[2].dst_step * call.dst.stride[2];
    tile.weights = self.weights_.data();
    tile.bias = call.bias ? call.bias : self.no_bias_.data();
    tile.channels = channels;

    for (const Phase& pd : ctx.axis[0].phases)
      for (const Phase& ph : ctx.axis[1].phases)
        for (const Phase& pw : ctx.axis[2].phases) {
          const index jd = q_d - pd.q0, jh = q_h - ph.q0;
          if (jd < 0 || jd >= pd.count || jh < 0 || jh >= ph.count) continue;
          const auto &cd = pd.cls->taps, &ch = ph.cls->taps, &cw = pw.cls->taps;
          const index nd = index(cd.size()), nh = index(ch.size()), nw = index(cw.size());
          const index before = pd.cls->taps_before * self.shape_.k[1] * self.shape_.k[2] +
                               nd * (ph.cls->taps_before * self.shape_.k[2] + nh * pw.cls->taps_before);
          T* row = call.dst.data + image * call.dst.stride_n +
                   (pd.dst0 + jd * ctx.axis[0].dst_step) * call.dst.stride[0] +
                   (ph.dst0 + jh * ctx.axis[1].dst_step) * call.dst.stride[1] + pw.dst0 * call.dst.stride[2];
          // Inside [lo, hi) every tap of w meets the source.
          index lo = 0, hi = pw.count;
          for (const AxisTap& tap : cw) {
            const index at = ctx.axis[2].source(pw, tap, 0);
            lo = std::max(lo, -floor_div(at, ctx.axis[2].src_step));
            hi = std::min(hi, -floor_div(at - ctx.axis[2].src_size, ctx.axis[2].src_step));
          }
          lo = std::min(lo, pw.count);
          hi = std::max(hi, lo);
          const auto positions = [&](index begin, index end) {
            if (begin >= end) return;
            src_offset.clear();
            weight_offset.clear();
            for (index td = 0; td < nd; ++td) {
              const index sd = ctx.axis[0].source(pd, cd[std::size_t(td)], jd);
              if (sd < 0 || sd >= ctx.axis[0].src_size) continue;
              for (index th = 0; th < nh; ++th) {
                const index sh = ctx.axis[1].source(ph, ch[std::size_t(th)], jh);
                if (sh < 0 || sh >= ctx.axis[1].src_size) continue;
                for (index tw = 0; tw < nw; ++tw) {
                  const index sw = ctx.axis[2].source(pw, cw[std::size_t(tw)], begin);
                  if (sw < 0 || sw >= ctx.axis[2].src_size) continue;
                  src_offset.push_back(sd * call.src.stride[0] + sh * call.src.stride[1] +
                                       sw * call.src.stride[2]);
                  weight_offset.push_back((before + (td * nh + th) * nw + tw) * channels);
                }
              }
            }
            tile.taps = index(src_offset.size());
            tile.src_offset = src_offset.data();
            tile.weight_offset = weight_offset.data();
            tile.src = src;
            tile.dst = row + begin * tile.dst_stride;
            tile.positions = end - begin;
            self.table_.depthwise(tile);
          };
          for (index j = 0; j < lo; ++j) positions(j, j + 1);
          positions(lo, hi);
          for (index j = hi; j < pw.count; ++j) positions(j, j + 1);
        }
  }

  Shape shape_;
  const KernelTable<T>& table_;
  std::vector<AxisClass> classes_[kAxes];
  Buffer<T> weights_, no_bias_;
  std::unique_ptr<Method<T>> other_layouts_;
};

}  // namespace

template <class T>
std::unique_ptr<Method<T>> make_depthwise_method(const Shape& shape, const T* kernel, const Path& path) {
  return std::make_unique<DepthwiseMethod<T>>(shape, kernel, path);
}

template std::unique_ptr<Method<float>> make_depthwise_method(const Shape&, const float*, const Path&);
template std::unique_ptr<Method<double>> make_depthwise_method(const Shape&, const double*, const Path&);

}  // namespace ct
