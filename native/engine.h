// From a kernel to a packed operator, and from an operator and arrays to a result.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "core.h"
#include "threads.h"

namespace ct {

// Memory aligned for the widest vectors.
template <class T>
class Buffer {
 public:
  explicit Buffer(index count);
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  index count() const { return count_; }

 private:
  struct Free { void operator()(T* p) const; };
  std::unique_ptr<T[], Free> data_;
  index count_;
};

// One tap of one axis: which slice of the kernel, and where it reads relative to q.
struct AxisTap {
  index kernel_index;
  index shift;  // forward: source = q - shift; adjoint: source = i * s - lo + shift
};

// A residue class of destinations of one axis and its taps.
struct AxisClass {
  index residue;
  std::vector<AxisTap> taps;
  index taps_before;  // taps of the earlier classes of this axis
};

// A panel of destination channels that one micro-kernel call computes.
struct Panel {
  index first, columns;  // destination channels, within a group
  int vectors;
  index weights;  // where its packed weights start, within a group
};

// A kernel checked, analysed and packed for one path; immutable, shared by threads.
template <class T>
class Operator {
 public:
  struct Shape {
    Kind kind;
    index k[kAxes], s[kAxes], d[kAxes];
    index groups, c_out, c_in;  // of the transposed convolution, all groups
  };

  // kernel: (kd, kh, kw, c_out / groups, c_in), contiguous.
  Operator(const Shape& shape, const T* kernel, const Path& path);

  // dst and src have the sizes of `axes`; bias is null or has one number per destination channel.
  // Returns false if should_stop abandoned the run. Throws std::bad_alloc.
  bool run(const View<const T>& src, const View<T>& dst, const Axis (&axes)[kAxes], const T* bias,
           int threads, ShouldStop should_stop) const;

  index workspace_bytes(const View<const T>& src, const Axis (&axes)[kAxes], int threads) const;
  std::string explain(const View<const T>& src, const Axis (&axes)[kAxes], int threads) const;

  const Shape& shape() const { return shape_; }

 private:
  struct Schedule;
  struct TaskContext;

  Schedule schedule(const View<const T>& src, const Axis (&axes)[kAxes], int threads) const;
  void pack(const T* kernel, index group, const Panel& panel);
  static void run_task(void* context, index task);

  Shape shape_;
  const Path& path_;
  const KernelTable<T>& table_;
  std::vector<AxisClass> classes_[kAxes];
  std::vector<Panel> panels_;
  index taps_;             // of the whole kernel
  index src_channels_;     // per group
  index dst_channels_;     // per group
  index group_weights_;    // packed elements per group
  bool finite_ = true;     // zero halos are exact only for finite weights
  Buffer<T> weights_;
};

// Adds nothing: writes the gradient to the kernel, (kd, kh, kw, c_out / groups, c_in) contiguous.
template <class T>
bool kernel_gradient(const View<const T>& x, const View<const T>& y, T* out, const Axis (&axes)[kAxes],
                     index groups, const Path& path, int threads, ShouldStop should_stop);

}  // namespace ct
