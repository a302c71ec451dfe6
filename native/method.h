// What every method of computing offers. A method is chosen once per kernel (choose.cc), packs the
// weights its own way, and is immutable after that.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "buffer.h"
#include "core.h"
#include "schedule.h"
#include "threads.h"

namespace ct {

// How sums are formed. Direct: every term of the definition, in one order. Winograd: fewer
// multiplications, other rounding. Automatic: Winograd where it is faster, which may depend on the size
// of the image but never on the batch or the threads.
enum class Algorithm { automatic, direct, winograd };

// The transposed convolution that an operator belongs to.
struct Shape {
  Kind kind;
  index k[kAxes], s[kAxes], d[kAxes];
  index groups, c_out, c_in;  // all groups together
  bool channels_first;
  Algorithm algorithm;

  index taps() const { return k[0] * k[1] * k[2]; }
  index src_channels() const { return (kind == Kind::forward ? c_in : c_out) / groups; }
  index dst_channels() const { return (kind == Kind::forward ? c_out : c_in) / groups; }
};

// The data of one run. src and dst have the sizes of `axes`.
template <class T>
struct Call {
  View<const T> src;
  View<T> dst;
  const Axis (&axes)[kAxes];
  const T* bias;  // null, or one number per destination channel
  int threads;    // 0: the default
  ShouldStop should_stop;
  index bias_step = 0;  // to the numbers of the next phase along d, for the channel method alone
};

template <class T>
class Method {
 public:
  virtual ~Method() = default;
  // Returns false if should_stop abandoned the run. Throws std::bad_alloc.
  virtual bool run(const Call<T>& call) const = 0;
  virtual index workspace_bytes(const Call<T>& call) const = 0;
  virtual std::string explain(const Call<T>& call) const = 0;
};

inline index workers(int threads, index tasks) {
  const index wanted = thread_count(threads);
  return tasks < 1 ? 1 : wanted < tasks ? wanted : tasks;
}

// Elements of scratch memory that a thread may use where it can do with them: those of all threads then stay
// below a quarter of input, output and kernel.
template <class T>
index scratch_share(const Shape& shape, const Call<T>& call) {
  const index kernel = shape.taps() * shape.c_out / shape.groups * shape.c_in;
  return (elements_of(call.src) + elements_of(call.dst) + kernel) / (5 * thread_count(call.threads));
}

// A method whose run is a number of tasks: Self::schedule(call) gives something with `tasks` and the
// `scratch_elements` of each, Self::run_task(schedule, call, task) does one.
template <class T, class Self>
class TaskMethod : public Method<T> {
 public:
  bool run(const Call<T>& call) const override {
    const auto plan = self().schedule(call);
    const auto body = [&](index task) { self().run_task(plan, call, task); };
    return parallel_for(plan.tasks, call.threads, body, call.should_stop);
  }
  index workspace_bytes(const Call<T>& call) const override {
    const auto plan = self().schedule(call);
    return workers(call.threads, plan.tasks) * plan.scratch_elements * index(sizeof(T));
  }

 private:
  const Self& self() const { return static_cast<const Self&>(*this); }
};

// kept: the method copies what it needs of the kernel. once: it may read the kernel as long as it lives,
// because few calls will come and packed weights might not be worth their memory.
enum class Use { kept, once };

// A kernel as it was given, (kd, kh, kw, c_out / groups, c_in), contiguous: of T, or the bits of halves,
// which are converted as they are read.
template <class T>
struct Weights {
  const T* data = nullptr;
  const std::uint16_t* halves = nullptr;
  int half = 0;  // which of the two types, in the order of the kernel tables
};

// kernel: (kd, kh, kw, c_out / groups, c_in), contiguous. Zero halos are exact only for finite weights; the
// channel method finds out itself, the others must not get anything else.
template <class T>
std::unique_ptr<Method<T>> make_channel_method(const Shape& shape, const Weights<T>& kernel, const Path& path,
                                               Use use);
// The same for phases along w as channels, where the stride divides the kernel; no groups, no dilation along
// w. Channels first, planes take the place of d, which must have a single tap.
template <class T>
std::unique_ptr<Method<T>> make_phases_method(const Shape& shape, const Weights<T>& kernel, const Path& path,
                                              Use use);
template <class T>
std::unique_ptr<Method<T>> make_dot_method(const Shape& shape, const T* kernel, const Path& path);
template <class T>
std::unique_ptr<Method<T>> make_row_method(const Shape& shape, const T* kernel, const Path& path);
// The form of the row method along h, plain where it does not pay.
struct WinogradForm;
const WinogradForm& row_form(const Shape& shape);
template <class T>
std::unique_ptr<Method<T>> make_projection_method(const Shape& shape, const T* kernel, const Path& path);
// The depthwise kernels made for a size and stride along w, or null; and those that take whole planes.
template <class T>
const DepthwiseKernel<T>* line_kernel(const KernelTable<T>& table, const Shape& shape) {
  for (const DepthwiseKernel<T>& k : table.depthwise)
    if (k.kernel_size == shape.k[2] && k.stride == shape.s[2] && shape.d[2] == 1) return &k;
  return nullptr;
}
// If h is like w.
template <class T>
const DepthwiseKernel<T>* square_kernel(const KernelTable<T>& table, const Shape& shape) {
  const bool square = shape.k[1] == shape.k[2] && shape.s[1] == shape.s[2] && shape.d[1] == 1;
  return square ? line_kernel(table, shape) : nullptr;
}
template <class T>
const DepthwiseKernel<T>* plane_kernel(const KernelTable<T>& table, const Shape& shape) {
  const DepthwiseKernel<T>* known = square_kernel(table, shape);
  return known && known->plane[0][0] ? known : nullptr;
}
template <class T>
std::unique_ptr<Method<T>> make_depthwise_method(const Shape& shape, const T* kernel, const Path& path);
// Whether several groups fill a vector, the path can bring every lane its source, and that pays.
template <class T>
bool group_method_applies(const Shape& shape, const Path& path);
template <class T>
std::unique_ptr<Method<T>> make_group_method(const Shape& shape, const T* kernel, const Path& path);
// Runs another method, made for channels-first data, on transposed bands.
template <class T>
std::unique_ptr<Method<T>> make_bands_method(const Shape& shape, const Path& path,
                                             std::unique_ptr<Method<T>> planes);

// Whether products of spectra cost clearly less than direct sums, for images of many tiles.
template <class T>
bool fourier_pays(const Shape& shape, const Path& path);
// Makes a method for the kernel that it is given.
template <class T>
using MakeMethod = std::function<std::unique_ptr<Method<T>>(const T* kernel)>;
// `direct` makes the method for images that are too small, when the first one comes.
template <class T>
std::unique_ptr<Method<T>> make_fourier_method(const Shape& shape, const T* kernel, const Path& path, Use use,
                                               MakeMethod<T> direct);

// The method for a kernel, chosen from its shape alone: never from the input's sizes, so that work may be
// cut anywhere without changing a bit. `reason` gets the choice in words.
template <class T>
std::unique_ptr<Method<T>> choose_method(const Shape& shape, const Weights<T>& kernel, const Path& path,
                                         Use use, std::string& reason);

// Writes the gradient to the kernel, (kd, kh, kw, c_out / groups, c_in) contiguous, or adds it to `out`.
template <class T>
bool kernel_gradient(const View<const T>& x, const View<const T>& y, T* out, const Axis (&axes)[kAxes],
                     index groups, const Path& path, int threads, ShouldStop should_stop, bool add = false,
                     Algorithm algorithm = Algorithm::automatic);
// The same for kernels of many taps, whose phases are products of spectra.
template <class T>
bool fourier_gradient_applies(const View<const T>& x, const View<const T>& y, const Axis (&axes)[kAxes],
                              index groups, const Path& path);
template <class T>
bool fourier_kernel_gradient(const View<const T>& x, const View<const T>& y, T* out,
                             const Axis (&axes)[kAxes], index groups, const Path& path, int threads,
                             ShouldStop should_stop, bool add);
// The same with fewer multiplications; nothing where that has no form or, unless it is forced, does not pay.
template <class T>
std::optional<bool> winograd_kernel_gradient(const View<const T>& x, const View<const T>& y, T* out,
                                             const Axis (&axes)[kAxes], index groups, const Path& path,
                                             int threads, ShouldStop should_stop, bool add, bool forced);
// The same for groups of few channels, where they fill vectors together.
template <class T>
bool group_gradient_applies(const View<const T>& x, const View<const T>& y, const Axis (&axes)[kAxes],
                            index groups, const Path& path);
template <class T>
bool group_kernel_gradient(const View<const T>& x, const View<const T>& y, T* out, const Axis (&axes)[kAxes],
                           index groups, const Path& path, int threads, ShouldStop should_stop, bool add);
// The same for planes of inputs with few output channels.
template <class T>
bool dot_gradient_applies(const View<const T>& x, const View<const T>& y, const Axis (&axes)[kAxes],
                          index groups, const Path& path);
template <class T>
bool dot_kernel_gradient(const View<const T>& x, const View<const T>& y, T* out, const Axis (&axes)[kAxes],
                         index groups, const Path& path, int threads, ShouldStop should_stop, bool add);
// The same for one channel per group, or one input and several outputs where planes have a kernel.
template <class T>
bool depthwise_gradient_applies(const View<const T>& x, const View<const T>& y, const Axis (&axes)[kAxes],
                                index groups, const Path& path);
template <class T>
bool depthwise_kernel_gradient(const View<const T>& x, const View<const T>& y, T* out,
                               const Axis (&axes)[kAxes], const Path& path, int threads,
                               ShouldStop should_stop, bool add);

}  // namespace ct
