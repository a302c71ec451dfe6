// The only file that knows Python: arrays in, results out, the GIL released in between.
//
// The Python side has checked every argument; the checks here are the second line: whatever is passed,
// no memory outside of the arrays is touched.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "cpu.h"
#include "dispatch.h"
#include "half.h"
#include "method.h"
#include "threads.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using ct::Axis;
using ct::index;
using ct::kAxes;
using ct::Kind;
using ct::View;

using Array = nb::ndarray<nb::device::cpu>;
using ConstArray = nb::ndarray<nb::ro, nb::device::cpu>;

constexpr index kLimit = index(1) << 46;

[[noreturn]] void bad(const char* message) { throw nb::value_error(message); }

bool interrupted() {
  nb::gil_scoped_acquire gil;
  return PyErr_CheckSignals() != 0;
}

void raise_if_interrupted(bool finished) {
  if (!finished) throw nb::python_error();
}

// The axes of a geometry.Geometry, missing leading ones of length one.
struct Sizes {
  Axis axis[kAxes];
  int rank = 0;
};

Sizes read_geometry(nb::handle geometry) {
  Sizes out;
  constexpr int kNumbers = 6;
  nb::tuple numbers = nb::cast<nb::tuple>(geometry.attr("numbers"));
  out.rank = int(numbers.size()) / kNumbers;
  if (out.rank < 1 || out.rank > kAxes || int(numbers.size()) % kNumbers)
    bad("geometry must have 1, 2 or 3 axes");
  for (int n = 0; n < out.rank; ++n) {
    Axis& a = out.axis[kAxes - out.rank + n];
    index* const fields[kNumbers] = {&a.i, &a.k, &a.s, &a.d, &a.lo, &a.o};
    for (int f = 0; f < kNumbers; ++f) *fields[f] = nb::cast<index>(numbers[n * kNumbers + f]);
    if (a.i < 1 || a.k < 1 || a.s < 1 || a.d < 1 || a.o < 0 || a.i > kLimit || a.k > kLimit || a.s > kLimit ||
        a.d > kLimit || a.o > kLimit || a.lo > kLimit || a.lo < -kLimit)
      bad("geometry is out of range");
  }
  return out;
}

// An array as five axes n, d, h, w, c. `layout` says where the channels stand.
template <class T, class A>
View<T> view(const A& array, int rank, bool channels_first) {
  if (int(array.ndim()) != rank + 2) bad("array has the wrong number of axes");
  View<T> out;
  out.data = const_cast<T*>(static_cast<const std::remove_const_t<T>*>(array.data()));
  const int c = channels_first ? 1 : rank + 1;
  out.n = index(array.shape(0));
  out.stride_n = array.stride(0);
  out.c = index(array.shape(c));
  out.stride_c = array.stride(c);
  for (int n = 0; n < rank; ++n) {
    const int from = channels_first ? n + 2 : n + 1;
    out.size[kAxes - rank + n] = index(array.shape(from));
    out.stride[kAxes - rank + n] = array.stride(from);
  }
  return out;
}

template <class T>
void check_sizes(const View<T>& a, index channels, const Sizes& sizes, bool output) {
  if (a.c != channels) bad("array has the wrong number of channels");
  for (int n = 0; n < kAxes; ++n)
    if (a.size[n] != (output ? sizes.axis[n].o : sizes.axis[n].i)) bad("array has the wrong sizes");
}

bool is_channels_first(const std::string& layout) {
  if (layout == "channels_first") return true;
  if (layout != "channels_last") bad("layout must be channels_last or channels_first");
  return false;
}

ct::Algorithm read_algorithm(const std::string& name) {
  if (name == "auto") return ct::Algorithm::automatic;
  if (name == "direct") return ct::Algorithm::direct;
  if (name != "winograd") bad("algorithm must be auto, direct or winograd");
  return ct::Algorithm::winograd;
}

ct::Half read_half(const std::string& name) {
  if (name == "float16") return ct::Half::float16;
  if (name != "bfloat16") bad("half must be float16 or bfloat16");
  return ct::Half::bfloat16;
}

// A kernel and the method chosen for it.
template <class T>
struct Chosen {
  std::unique_ptr<ct::Method<T>> method;
  std::string reason;

  Chosen(const ct::Shape& shape, const ct::Weights<T>& kernel, ct::Use use) {
    nb::gil_scoped_release free;
    method = ct::choose_method<T>(shape, kernel, ct::active_path(), use, reason);
  }
};

class PyOperator {
 public:
  PyOperator(const std::string& kind, ConstArray kernel, std::vector<index> strides,
             std::vector<index> dilations, index groups, const std::string& layout,
             const std::string& algorithm, bool once, const std::string& half) {
    const int rank = int(kernel.ndim()) - 2;
    if (rank < 1 || rank > kAxes || int(strides.size()) != rank || int(dilations.size()) != rank)
      bad("kernel, strides and dilations do not belong together");
    if (kind != "forward" && kind != "adjoint") bad("kind must be forward or adjoint");
    rank_ = rank;
    forward_ = kind == "forward";
    index total = 1;
    ct::Shape& s = shape_;
    s.kind = forward_ ? Kind::forward : Kind::adjoint;
    for (int a = 0; a < kAxes; ++a) s.k[a] = s.s[a] = s.d[a] = 1;
    s.groups = groups;
    s.channels_first = is_channels_first(layout);
    s.algorithm = read_algorithm(algorithm);
    for (int n = 0; n < rank; ++n) {
      const int a = kAxes - rank + n;
      s.k[a] = index(kernel.shape(n));
      s.s[a] = strides[std::size_t(n)];
      s.d[a] = dilations[std::size_t(n)];
      if (s.k[a] < 1 || s.s[a] < 1 || s.d[a] < 1 || s.s[a] >= (index(1) << 31) || s.d[a] > kLimit / s.k[a])
        bad("kernel, strides and dilations must be positive and below 2**31");
      total *= s.k[a];
    }
    s.c_in = index(kernel.shape(rank + 1));
    if (groups < 1 || s.c_in < 1 || kernel.shape(rank) < 1 || s.c_in % groups)
      bad("groups must divide the channels");
    s.c_out = index(kernel.shape(rank)) * groups;
    index expected = 1;
    for (int n = rank + 1; n >= 0; --n) {
      if (kernel.shape(n) > 1 && kernel.stride(n) != expected) bad("kernel must be contiguous");
      expected *= index(kernel.shape(n));
    }
    const ct::Use use = once ? ct::Use::once : ct::Use::kept;
    if (once) borrowed_ = kernel;
    path_ = ct::active_path().name;
    if (!half.empty()) {
      half_ = std::make_unique<ct::HalfMethod>(s, ct::active_path(), read_half(half));
      if (kernel.dtype() != nb::dtype<ct::half>()) throw nb::type_error("kernel must be the bits of halves");
      const auto* bits = static_cast<const ct::half*>(kernel.data());
      f32_ = std::make_unique<Chosen<float>>(s, ct::Weights<float>{nullptr, bits, int(read_half(half))}, use);
      return;
    }
    if (kernel.dtype() == nb::dtype<float>())
      f32_ = std::make_unique<Chosen<float>>(s, ct::Weights<float>{static_cast<const float*>(kernel.data())},
                                             use);
    else if (kernel.dtype() == nb::dtype<double>())
      f64_ = std::make_unique<Chosen<double>>(
          s, ct::Weights<double>{static_cast<const double*>(kernel.data())}, use);
    else
      throw nb::type_error("kernel must be float32 or float64");
  }

  void run(ConstArray x, Array out, nb::handle geometry, nb::object bias, int threads) const {
    if (half_)
      run_half(x, out, geometry, bias, threads);
    else if (f32_)
      run_typed<float>(*f32_->method, x, out, geometry, bias, threads);
    else
      run_typed<double>(*f64_->method, x, out, geometry, bias, threads);
  }

  index workspace_bytes(nb::handle geometry, index batch, int threads) const {
    const Sizes sizes = geometry_of(geometry);
    if (empty(sizes, batch)) return 0;
    if (half_) return half_->workspace_bytes(*f32_->method, nominal_half(sizes, batch, threads));
    return f32_ ? f32_->method->workspace_bytes(nominal<float>(sizes, batch, threads))
                : f64_->method->workspace_bytes(nominal<double>(sizes, batch, threads));
  }

  std::string explain(nb::handle geometry, index batch) const {
    const Sizes sizes = geometry_of(geometry);
    std::string text = std::string(path_) + ", ";
    if (half_) text += half_->explain(nominal_half(sizes, batch, 0)) + ", ";
    if (empty(sizes, batch)) return text + "nothing to compute";
    return text +
           (f32_ ? f32_->method->explain(nominal<float>(sizes, batch, 0)) + "; chosen because " + f32_->reason
                 : f64_->method->explain(nominal<double>(sizes, batch, 0)) + "; chosen because " +
                       f64_->reason);
  }

 private:
  Sizes geometry_of(nb::handle geometry) const {
    Sizes sizes = read_geometry(geometry);
    if (sizes.rank != rank_) bad("geometry has the wrong number of axes");
    for (int a = 0; a < kAxes; ++a)
      if (sizes.axis[a].k != shape_.k[a] || sizes.axis[a].s != shape_.s[a] || sizes.axis[a].d != shape_.d[a])
        bad("geometry does not belong to this kernel");
    return sizes;
  }

  // Whether a result has no element: no method is asked for it.
  bool empty(const Sizes& sizes, index batch) const {
    const auto none = [this](const Axis& a) { return (forward_ ? a.o : a.i) == 0; };
    return batch == 0 || std::any_of(std::begin(sizes.axis), std::end(sizes.axis), none);
  }

  // Threads that a call is worth: handing work to another thread costs as much as some 250 thousand
  // multiplications, or moving 32 thousand numbers.
  int worthy_threads(const Sizes& sizes, index batch, int threads) const {
    double inputs = double(batch), outputs = double(batch), products = double(shape_.taps());
    for (int a = 0; a < kAxes; ++a) {
      inputs *= double(sizes.axis[a].i);
      outputs *= double(sizes.axis[a].o);
    }
    products *= inputs * double(shape_.c_in) * double(shape_.c_out / shape_.groups);
    const double moved = inputs * double(shape_.c_in) + outputs * double(shape_.c_out);
    const double worth = 1 + products / 250e3 + moved / 32e3;
    if (worth < 2) return 1;  // without asking the system how many there are
    threads = ct::thread_count(threads);
    return worth < threads ? int(worth) : threads;
  }

  // A call on contiguous arrays of these sizes: what plans are explained for.
  template <class T>
  ct::Call<T> nominal(const Sizes& sizes, index batch, int threads) const {
    ct::Call<T> call{{}, {}, sizes.axis, nullptr, worthy_threads(sizes, batch, threads), nullptr};
    fill_nominal(call.src, call.dst, sizes, batch);
    return call;
  }
  ct::HalfCall nominal_half(const Sizes& sizes, index batch, int threads) const {
    ct::HalfCall call{{}, {}, {}, sizes.axis, nullptr, worthy_threads(sizes, batch, threads), nullptr};
    fill_nominal(call.src, call.dst, sizes, batch);
    return call;
  }
  template <class Src, class Dst>
  void fill_nominal(Src& src, Dst& dst, const Sizes& sizes, index batch) const {
    const auto fill = [&](auto& v, index channels, bool output) {
      v.n = batch;
      v.c = channels;
      index step = shape_.channels_first ? 1 : channels;
      for (int a = kAxes - 1; a >= 0; --a) {
        v.size[a] = output ? sizes.axis[a].o : sizes.axis[a].i;
        v.stride[a] = step;
        step *= v.size[a];
      }
      v.stride_c = shape_.channels_first ? step : 1;
      v.stride_n = shape_.channels_first ? step * channels : step;
    };
    fill(src, forward_ ? shape_.c_in : shape_.c_out, !forward_);
    fill(dst, forward_ ? shape_.c_out : shape_.c_in, forward_);
  }

  template <class T>
  void run_typed(const ct::Method<T>& method, const ConstArray& x, const Array& out, nb::handle geometry,
                 const nb::object& bias, int threads) const {
    if (x.dtype() != nb::dtype<T>() || out.dtype() != nb::dtype<T>())
      throw nb::type_error("inputs, out and kernel must have one type");
    const Sizes sizes = geometry_of(geometry);
    const auto src = view<const T>(x, rank_, shape_.channels_first);
    const auto dst = view<T>(out, rank_, shape_.channels_first);
    if (check_views(src, dst, sizes)) return;
    Vector<T> vector;
    const T* numbers = read_bias(bias, dst.c, vector);
    bool finished;
    {
      nb::gil_scoped_release free;
      finished =
          method.run({src, dst, sizes.axis, numbers, worthy_threads(sizes, src.n, threads), &interrupted});
    }
    raise_if_interrupted(finished);
  }

  // Halves come as their bits; sums may go to floats.
  void run_half(const ConstArray& x, const Array& out, nb::handle geometry, const nb::object& bias,
                int threads) const {
    const bool wide = out.dtype() == nb::dtype<float>();
    if (x.dtype() != nb::dtype<ct::half>() || (!wide && out.dtype() != nb::dtype<ct::half>()))
      throw nb::type_error("inputs and out must be the bits of halves, or out float32");
    const Sizes sizes = geometry_of(geometry);
    ct::HalfCall call{
        view<const ct::half>(x, rank_, shape_.channels_first), {}, {}, sizes.axis, nullptr, 0, &interrupted};
    if (wide)
      call.wide = view<float>(out, rank_, shape_.channels_first);
    else
      call.dst = view<ct::half>(out, rank_, shape_.channels_first);
    if (wide ? check_views(call.src, call.wide, sizes) : check_views(call.src, call.dst, sizes)) return;
    call.threads = worthy_threads(sizes, call.src.n, threads);
    Vector<float> vector;
    call.bias = read_bias(bias, forward_ ? shape_.c_out : shape_.c_in, vector);
    bool finished;
    {
      nb::gil_scoped_release free;
      finished = half_->run(*f32_->method, call);
    }
    raise_if_interrupted(finished);
  }

  // True where nothing is to be computed.
  template <class Src, class Dst>
  bool check_views(const Src& src, const Dst& dst, const Sizes& sizes) const {
    check_sizes(src, forward_ ? shape_.c_in : shape_.c_out, sizes, !forward_);
    check_sizes(dst, forward_ ? shape_.c_out : shape_.c_in, sizes, forward_);
    if (src.n != dst.n) bad("inputs and out have different batches");
    return empty(sizes, src.n);
  }

  template <class T>
  using Vector = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
  template <class T>
  static const T* read_bias(const nb::object& bias, index channels, Vector<T>& keep) {
    if (bias.is_none()) return nullptr;
    keep = nb::cast<Vector<T>>(bias, false);
    if (index(keep.shape(0)) != channels) bad("bias has the wrong length");
    return keep.data();
  }

  ConstArray borrowed_;  // keeps the kernel of a single use alive
  std::unique_ptr<Chosen<float>> f32_;
  std::unique_ptr<Chosen<double>> f64_;
  std::unique_ptr<ct::HalfMethod> half_;  // around f32_
  ct::Shape shape_;
  const char* path_ = "";
  int rank_ = 0;
  bool forward_ = true;
};

// Halves are the bits of the named type.
template <class T>
void gradient_typed(const ConstArray& x, const ConstArray& y, const Array& out, const Sizes& sizes,
                    index groups, bool first, int threads, ct::Algorithm algorithm,
                    const std::string& half = "") {
  if (y.dtype() != nb::dtype<T>() || out.dtype() != nb::dtype<T>())
    throw nb::type_error("inputs, outputs and out must have one type");
  const auto vx = view<const T>(x, sizes.rank, first);
  const auto vy = view<const T>(y, sizes.rank, first);
  check_sizes(vx, vx.c, sizes, false);
  check_sizes(vy, vy.c, sizes, true);
  if (vx.n != vy.n) bad("inputs and outputs have different batches");
  if (groups < 1 || vx.c % groups || vy.c % groups) bad("groups must divide the channels");
  if (int(out.ndim()) != sizes.rank + 2) bad("out has the wrong number of axes");
  index expected = 1;
  for (int n = sizes.rank + 1; n >= 0; --n) {
    const index want = n == sizes.rank + 1 ? vx.c
                       : n == sizes.rank   ? vy.c / groups
                                           : sizes.axis[kAxes - sizes.rank + n].k;
    if (index(out.shape(n)) != want) bad("out has the wrong sizes");
    if (want > 1 && out.stride(n) != expected) bad("out must be contiguous");
    expected *= want;
  }
  T* data = static_cast<T*>(out.data());
  bool finished;
  {
    nb::gil_scoped_release free;
    if constexpr (std::is_same_v<T, ct::half>)
      finished = ct::kernel_gradient(vx, vy, data, sizes.axis, groups, read_half(half), ct::active_path(),
                                     threads, &interrupted, algorithm);
    else
      finished = ct::kernel_gradient<T>(vx, vy, data, sizes.axis, groups, ct::active_path(), threads,
                                        &interrupted, false, algorithm);
  }
  raise_if_interrupted(finished);
}

void kernel_gradient(ConstArray x, ConstArray y, Array out, nb::handle geometry, index groups,
                     const std::string& layout, int threads, const std::string& algorithm,
                     const std::string& half) {
  const Sizes sizes = read_geometry(geometry);
  const bool first = is_channels_first(layout);
  const ct::Algorithm chosen = read_algorithm(algorithm);
  if (x.dtype() == nb::dtype<float>())
    gradient_typed<float>(x, y, out, sizes, groups, first, threads, chosen);
  else if (x.dtype() == nb::dtype<double>())
    gradient_typed<double>(x, y, out, sizes, groups, first, threads, chosen);
  else if (x.dtype() == nb::dtype<ct::half>() && !half.empty())
    gradient_typed<ct::half>(x, y, out, sizes, groups, first, threads, chosen, half);
  else
    throw nb::type_error("inputs must be float32 or float64");
}

// Floating-point operations per second of fused multiply-adds in registers, all threads together.
double fma_peak(int threads, double seconds) {
  const auto* table = ct::active_path().f32;
  struct Measure {
    const ct::KernelTable<float>* table;
    double seconds;
    std::atomic<double> rate{0};
  } m{table, seconds};
  nb::gil_scoped_release free;
  threads = ct::thread_count(threads);
  ct::parallel_for(
      threads, threads,
      [](void* context, std::int64_t) {
        auto& mine = *static_cast<Measure*>(context);
        using Clock = std::chrono::steady_clock;
        constexpr index chunk = 100000;
        double sum = 0, best = 0;
        const auto start = Clock::now();
        auto before = start;
        for (;;) {
          sum += mine.table->fma_chain(chunk);
          const auto now = Clock::now();
          const double took = std::chrono::duration<double>(now - before).count();
          best = std::max(best, double(chunk) * double(mine.table->fma_chain_flops) / took);
          before = now;
          if (std::chrono::duration<double>(now - start).count() > mine.seconds) break;
        }
        if (sum != sum) best = 0;
        double old = mine.rate.load();
        while (!mine.rate.compare_exchange_weak(old, old + best)) {
        }
      },
      &m, nullptr);
  return m.rate;
}

}  // namespace

NB_MODULE(_core, m) {
  m.doc() = "Native kernels of convtranspose.";
  // Plans may live in caches until the interpreter ends; that is no leak to tell a user about.
  nb::set_leak_warnings(false);
  nb::class_<PyOperator>(m, "Operator")
      .def(nb::init<const std::string&, ConstArray, std::vector<ct::index>, std::vector<ct::index>, ct::index,
                    const std::string&, const std::string&, bool, const std::string&>(),
           "kind"_a, "kernel"_a, "strides"_a, "dilations"_a, "groups"_a, "layout"_a, "algorithm"_a,
           "once"_a = false, "half"_a = "")
      .def("run", &PyOperator::run, "x"_a.noconvert(), "out"_a.noconvert(), "geometry"_a, "bias"_a.none(),
           "threads"_a)
      .def("workspace_bytes", &PyOperator::workspace_bytes)
      .def("explain", &PyOperator::explain);
  m.def("kernel_gradient", &kernel_gradient, "x"_a.noconvert(), "y"_a.noconvert(), "out"_a.noconvert(),
        "geometry"_a, "groups"_a, "layout"_a, "threads"_a, "algorithm"_a = "auto", "half"_a = "");
  m.def("paths", [] {
    std::vector<std::string> names;
    for (const ct::Path& path : ct::runnable_paths()) names.emplace_back(path.name);
    return names;
  });
  m.def("descriptions", [] {
    std::vector<std::string> texts;
    for (const ct::Path& path : ct::runnable_paths()) texts.emplace_back(path.description);
    return texts;
  });
  m.def("active_path", [] { return std::string(ct::active_path().name); });
  m.def("select_path", [](const std::string& name) { return std::string(ct::select_path(name).name); });
  m.def("default_threads", &ct::default_threads);
  m.def("fma_peak", &fma_peak, "threads"_a = 0, "seconds"_a = 0.2);
}
