// Which method computes a kernel: the one place of this decision.
//
// It looks at the shape of the kernel and the data format alone, never at the sizes of the input:
// methods add in different orders, and work may be cut anywhere without changing a bit.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <new>

#include "method.h"

namespace ct {

template <class T>
Buffer<T>::Buffer(index count) {
  const std::size_t bytes = (std::size_t(count) * sizeof(T) + 127) / 64 * 64;
  void* p = std::aligned_alloc(64, bytes);
  if (!p) throw std::bad_alloc();
  data_.reset(static_cast<T*>(p));
}

template <class T>
void Buffer<T>::Free::operator()(T* p) const {
  std::free(p);
}

template class Buffer<float>;
template class Buffer<double>;

// The projection method stores every product and reads it again, which many source channels pay for. The
// row method needs many rows that share their taps: phases whose taps are alike, by channels. The limits
// are measured: 32 x 32 samples, kernels of 2 to 8 taps per axis, 16 to 192 source channels.
static bool projection_pays(const Shape& shape) {
  const index src = shape.src_channels(), products = shape.taps() * shape.dst_channels();
  index alike = shape.dst_channels();  // rows of the smallest tile that shares its taps
  bool several = false;                // taps of a phase
  for (int a = 0; a < kAxes; ++a) {
    const index k = shape.k[a], s = shape.s[a], rest = k % s;
    alike *= rest == 0 ? s : std::min(rest, s - rest);
    several |= k > s;
  }
  return several && products <= 512 && src >= (alike <= 4 ? 24 : alike <= 12 ? 64 : 128);
}

template <class T>
std::unique_ptr<Method<T>> choose_method(const Shape& shape, const T* kernel, const Path& path,
                                         std::string& reason) {
  const index lanes = kernels<T>(path).lanes;
  const index src = shape.src_channels(), dst = shape.dst_channels();
  bool finite = true;
  const index total = shape.taps() * shape.c_out / shape.groups * shape.c_in;
  for (index n = 0; n < total && finite; ++n) finite = std::isfinite(kernel[n]);

  // The row method reads its source as rows of neighbours, which the strides of an adjoint break up, and
  // keeps a row per phase, which strides far beyond any kernel would make too many.
  const bool rows_fit = shape.kind == Kind::forward && shape.s[0] * shape.s[1] * shape.s[2] <= 4096;
  if (!finite) {
    reason = "the kernel holds an infinity or NaN, which zero padding would spread";
    return make_channel_method(shape, kernel, path, false);
  }
  if (shape.algorithm == Algorithm::winograd && rows_fit) {
    reason = "the Winograd form was asked for";
    return make_channel_method(shape, kernel, path, true);
  }
  if (src == 1 && dst == 1 && !shape.channels_first && shape.groups > 1) {
    reason = "one channel per group, channels last: element-wise along the channels";
    return make_depthwise_method(shape, kernel, path);
  }
  const index vectors = (dst + lanes - 1) / lanes;
  if (rows_fit && vectors <= 2 && dst * 4 <= vectors * lanes * 3) {
    reason = std::to_string(dst) + " output channels per group would leave much of the vectors of " +
             std::to_string(lanes) + " empty";
    if (projection_pays(shape)) {
      reason += ", and few phases share their taps";
      return make_projection_method(shape, kernel, path);
    }
    return make_row_method(shape, kernel, path);
  }
  reason = std::to_string(dst) + " output channels per group fill vectors of " + std::to_string(lanes);
  return make_channel_method(shape, kernel, path, true);
}

template std::unique_ptr<Method<float>> choose_method(const Shape&, const float*, const Path&, std::string&);
template std::unique_ptr<Method<double>> choose_method(const Shape&, const double*, const Path&,
                                                       std::string&);

}  // namespace ct
