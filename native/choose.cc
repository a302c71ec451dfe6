// Which method computes a kernel: the one place of this decision.
//
// It looks at the shape of the kernel and the data format alone, never at the sizes of the input:
// methods add in different orders, and work may be cut anywhere without changing a bit.
#include <algorithm>
#include <atomic>
#include <type_traits>

#include "method.h"

namespace ct {

namespace {

// The projection method stores every product and reads it again, which many source channels pay for. The
// row method needs many rows that share their taps: phases whose taps are alike, by channels. The limits
// are measured: 32 x 32 samples, kernels of 2 to 8 taps per axis, 16 to 192 source channels.
bool projection_pays(const Shape& shape) {
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

// Vectors along the channels transpose planes twice, which short sums do not pay for, if all phases share
// their taps. The limits are measured, on planes of 32 x 32 to 128 x 128 and lines of 2000 to 16000 samples;
// in three dimensions the rows of the phases lie too far apart.
bool planes_pay(const Shape& shape) {
  index terms = shape.src_channels();
  bool alike = true;
  for (int a = 0; a < kAxes; ++a) {
    terms *= (shape.k[a] + shape.s[a] - 1) / shape.s[a];
    alike = alike && shape.k[a] % shape.s[a] == 0;
  }
  return alike && terms <= 64 && shape.k[0] == 1 && shape.s[0] == 1;
}

constexpr index kScanPiece = 1 << 16;

template <class T>
bool all_finite(const T* kernel, index count, const Path& path) {
  struct Scan {
    const T* kernel;
    index count;
    const KernelTable<T>& table;
    std::atomic<bool> finite{true};
  } scan{kernel, count, kernels<T>(path)};
  parallel_for((count + kScanPiece - 1) / kScanPiece, count < 4 * kScanPiece ? 1 : 0,
               [](void* context, index task) {
                 auto& s = *static_cast<Scan*>(context);
                 const index begin = task * kScanPiece;
                 if (!s.table.finite(s.kernel + begin, std::min(kScanPiece, s.count - begin)))
                   s.finite = false;
               },
               &scan, nullptr);
  return scan.finite;
}

}  // namespace

template <class T>
std::unique_ptr<Method<T>> choose_method(const Shape& shape, const Weights<T>& given, const Path& path,
                                         Use use, std::string& reason) {
  const index lanes = kernels<T>(path).lanes;
  const index src = shape.src_channels(), dst = shape.dst_channels();
  const index total = shape.taps() * shape.c_out / shape.groups * shape.c_in;

  // The row method reads its source as rows of neighbours, which the strides of an adjoint break up, and
  // keeps a row per phase, which strides far beyond any kernel would make too many.
  const bool few_phases = shape.s[0] * shape.s[1] * shape.s[2] <= 4096;
  const bool rows_fit = shape.kind == Kind::forward && few_phases;
  const index vectors = (dst + lanes - 1) / lanes;
  if (shape.algorithm == Algorithm::winograd && few_phases) {
    reason = "the Winograd form was asked for";
    return make_channel_method(shape, given, path, use);
  }
  // Planes have kernels for the strides whose phases a few shuffles join.
  const index s = shape.s[2];
  const bool planes = s == 1 || ((s == 2 || s == 4) && shape.d[2] == 1);
  // A few channels on one side of a group are planes with a common source, or a sum over planes. Channels
  // last that takes transposed bands, so the group method keeps what it is good at.
  const bool several = src * dst > 1;
  const bool few = planes && src * dst <= 4 &&
                   (shape.channels_first ? src == 1 || dst == 1 : dst == 1 && shape.kind == Kind::adjoint);
  const bool depthwise = shape.groups > 1 && (several ? few : planes || !shape.channels_first);
  const bool few_channels = rows_fit && vectors <= 2 && dst * 4 <= vectors * lanes * 3;
  const bool few_products = rows_fit && shape.channels_first && planes_pay(shape);
  const bool rows = few_channels || few_products;
  // Lines of the source, for strides that do not make the window of a few destinations enormous.
  const bool lines = shape.kind == Kind::adjoint && dst <= KernelTable<T>::kMaxDots && dst * 4 <= lanes &&
                     few_phases && shape.d[2] * shape.k[2] <= 4096;
  const bool groups = !depthwise && src * dst > 1 && group_method_applies<T>(shape, path);
  if (!depthwise && !rows && !lines && !groups) {
    reason = std::to_string(dst) + " output channels per group fill vectors of " + std::to_string(lanes);
    return make_channel_method(shape, given, path, use);
  }
  // The other methods are for small kernels.
  Buffer<T> wide(given.halves ? total : 0);
  if constexpr (std::is_same_v<T, float>)  // halves are computed in float
    if (given.halves) path.f32->widen[given.half](given.halves, 1, total, wide.data());
  const T* kernel = given.halves ? wide.data() : given.data;
  if (!all_finite(kernel, total, path)) {
    reason = "the kernel holds an infinity or NaN, which zero padding would spread";
    return make_channel_method(shape, given, path, use);
  }
  Shape planar = shape;
  planar.channels_first = true;
  if (depthwise && planes && !shape.channels_first && (shape.groups < lanes || several)) {
    reason = several ? "one channel per group on one side, and few on the other: planes are quicker"
                     : "one channel per group, and too few of them for vectors of " + std::to_string(lanes);
    return make_bands_method(shape, path, make_depthwise_method(planar, kernel, path));
  }
  if (depthwise) {
    reason = "one channel per group: every tap is an element-wise product";
    return make_depthwise_method(shape, kernel, path);
  }
  if (groups) {
    reason = "vectors of " + std::to_string(lanes) + " hold the " + std::to_string(dst) +
             " output channels of several groups";
    return make_group_method(shape, kernel, path);
  }
  if (lines) {
    reason = std::to_string(dst) + " channels per group to compute are too few for vectors along them";
    return make_dot_method(shape, kernel, path);
  }
  reason = std::to_string(dst) + " output channels per group would leave much of the vectors of " +
           std::to_string(lanes) + " empty";
  if (few_products && !few_channels) {
    reason = "sums of few terms do not pay for transposed planes";
    return make_row_method(shape, kernel, path);
  }
  if (projection_pays(shape)) {
    reason += ", and few phases share their taps";
    return make_projection_method(shape, kernel, path);
  }
  if (shape.groups > 1 && !shape.channels_first) {
    reason += "; groups share a line";
    return make_bands_method(shape, path, make_row_method(planar, kernel, path));
  }
  return make_row_method(shape, kernel, path);
}

template std::unique_ptr<Method<float>> choose_method(const Shape&, const Weights<float>&, const Path&, Use,
                                                      std::string&);
template std::unique_ptr<Method<double>> choose_method(const Shape&, const Weights<double>&, const Path&, Use,
                                                       std::string&);

}  // namespace ct
