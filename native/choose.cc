// Which method computes a kernel: the one place of this decision.
//
// It looks at the shape of the kernel and the data format alone, never at the sizes of the input:
// methods add in different orders, and work may be cut anywhere without changing a bit.
#include <algorithm>
#include <atomic>
#include <mutex>
#include <type_traits>

#include "method.h"
#include "winograd_forms.h"

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

// Whether the phases along w fill whole vectors where the channels alone do not; the rows of others begin
// anywhere, and their stores are slow.
bool phases_pay(const Shape& shape, index lanes) {
  const bool divides = shape.d[2] == 1 && shape.s[2] > 1 && shape.k[2] % shape.s[2] == 0;
  const index wide = shape.s[2] * shape.dst_channels();
  if (!divides || shape.groups > 1) return false;
  if (shape.channels_first) return shape.k[0] == 1 && shape.s[0] == 1 && shape.s[2] % lanes == 0;
  return wide % lanes == 0 && wide >= 2 * lanes;
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

// Where every phase has one tap, both methods add the channels up in one order, to the same bits, so which of
// them runs may depend on the size of the image: vectors along rows need no transposed planes, but have to be
// full, and two phases are what kernels join. The limits are measured, on rows of 12 to 256 in one to three
// dimensions.
constexpr index kMostRowChannels = 128;

template <class T>
bool rows_may_pay(const Shape& shape, const Path& path) {
  // For tiles of rows as large as those of channels.
  const bool registers = kernels<T>(path).max_positions[1] >= 8;
  bool single = registers && shape.kind == Kind::forward && shape.channels_first && shape.s[2] == 2 &&
                shape.src_channels() <= kMostRowChannels;
  for (int a = 0; a < kAxes; ++a) single = single && shape.k[a] == shape.s[a] && shape.d[a] == 1;
  return single;
}

template <class T>
class RowsOrChannels final : public Method<T> {
 public:
  using Make = std::function<std::unique_ptr<Method<T>>()>;
  // A single run makes the one it needs.
  RowsOrChannels(index lanes, Make rows, Make channels, bool single)
      : lanes_(lanes), rows_{std::move(rows)}, channels_{std::move(channels)} {
    if (!single) rows_.get(), channels_.get();
  }
  bool run(const Call<T>& call) const override { return of(call).run(call); }
  index workspace_bytes(const Call<T>& call) const override { return of(call).workspace_bytes(call); }
  std::string explain(const Call<T>& call) const override { return of(call).explain(call); }

 private:
  struct Lazy {
    Make make;
    std::once_flag once{};
    std::unique_ptr<Method<T>> method{};
    const Method<T>& get() {
      std::call_once(once, [this] { method = make(); });
      return *method;
    }
  };
  const Method<T>& of(const Call<T>& call) const {
    const index row = call.src.size[2];
    const bool planes = call.src.stride[2] == 1 && call.dst.stride[2] == 1;
    const bool full = row % lanes_ == 0 && row > lanes_;
    return (planes && full ? rows_ : channels_).get();
  }
  const index lanes_;
  mutable Lazy rows_, channels_;
};

// As planes_pay for the sums of an adjoint, which all share their taps. What the phases of the stride become
// must stay few planes, or reading all of them for every line costs what the transposes did. The limits are
// measured, from 8 x 8 to 300 x 300 inputs, 8 to 32 per axis in three dimensions and lines of 100 to 8000.
bool adjoint_planes_pay(const Shape& shape) {
  const index src = shape.src_channels();
  index planes = src;
  for (int a = 0; a < kAxes; ++a) planes *= std::min(shape.k[a], shape.s[a]);
  return src * shape.taps() <= 96 && planes <= 32;
}

// One source plane gives many destinations: whole planes are read where they lie, as long as their taps are
// few enough for the registers. Measured on planes of 28 x 28 to 100 x 100 with 3 to 64 output channels.
template <class T>
bool plane_shared(const Shape& shape, const Path& path) {
  return shape.k[0] == 1 && shape.s[0] == 1 && shape.k[2] <= 5 && plane_kernel(kernels<T>(path), shape);
}

enum class Pick {
  fourier,
  channel,
  phases,
  row,
  row_bands,
  row_or_channel,
  projection,
  dot,
  group,
  depthwise,
  depthwise_bands
};

struct Picked {
  Pick method;
  std::string reason;
};

// The rules, the first that holds. `spectra`: whether they may be products of spectra.
template <class T>
Picked pick(const Shape& shape, const Path& path, bool spectra) {
  const index lanes = kernels<T>(path).lanes, vectors = (shape.dst_channels() + lanes - 1) / lanes;
  const index src = shape.src_channels(), dst = shape.dst_channels();
  const std::string outputs = std::to_string(dst) + " output channels", wide = std::to_string(lanes);
  const bool forward = shape.kind == Kind::forward, first = shape.channels_first;
  // Most methods keep something per phase, of which strides far beyond any kernel would make too many.
  const bool few_phases = shape.s[0] * shape.s[1] * shape.s[2] <= 4096;
  if (spectra && shape.algorithm != Algorithm::direct && few_phases && fourier_pays<T>(shape, path))
    return {Pick::fourier, "so many taps meet in a phase that products of spectra cost less"};
  if (shape.algorithm == Algorithm::winograd && few_phases)
    return {Pick::channel, "the Winograd form was asked for"};

  // Planes have kernels for the strides whose phases a few shuffles join.
  const index s = shape.s[2];
  const bool planes = s == 1 || ((s == 2 || s == 4) && shape.d[2] == 1);
  if (shape.groups > 1 && src * dst == 1) {
    if (planes && !first && shape.groups < lanes)
      return {Pick::depthwise_bands, "one channel per group, and too few of them for vectors of " + wide};
    if (planes || !first)
      return {Pick::depthwise, "one channel per group: every tap is an element-wise product"};
  }
  // A few channels on one side of a group are planes with a common source, or a sum over planes. Channels
  // last that takes transposed bands, so the group method keeps what it is good at.
  if (shape.groups > 1 && src * dst > 1 && src * dst <= 4 && planes) {
    if (first && (src == 1 || dst == 1))
      return {Pick::depthwise, "one channel per group on one side: every tap is an element-wise product"};
    if (!first && dst == 1 && !forward)
      return {Pick::depthwise_bands,
              "one channel per group on one side, and few on the other: planes are quicker"};
  }
  if (shape.groups == 1 && src == 1 && forward && first && plane_shared<T>(shape, path))
    return {Pick::depthwise, "one input channel: every tap is an element-wise product"};
  if (src * dst > 1 && group_method_applies<T>(shape, path))
    return {Pick::group, "vectors of " + wide + " hold the " + outputs + " of several groups"};
  // Lines of the source, for strides that do not make the window of a few destinations enormous.
  if (!forward && dst <= KernelTable<T>::kMaxDots && dst * 4 <= lanes && few_phases &&
      shape.d[2] * shape.k[2] <= 4096)
    return {Pick::dot,
            std::to_string(dst) + " channels per group to compute are too few for vectors along them"};

  // Vectors that are not full cost as much as full ones. How empty they must be depends on how long the sums
  // are, which a row shares its reads with fewer others for: measured with 5 to 31 output channels and 8 to
  // 96 input channels.
  const index room = vectors * lanes;
  const bool roomy = vectors <= 2 && dst * 4 <= room * 3;
  const bool brief = src < 24 && (vectors <= 2 || dst <= 24) && dst * 8 <= room * 7;
  if (forward && few_phases && (roomy || brief)) {
    const std::string empty = outputs + " per group would leave much of the vectors of " + wide + " empty";
    if (phases_pay(shape, lanes)) return {Pick::phases, empty + ", which phases along w fill together"};
    // Fewer multiplications, which planes are ready for.
    const bool form = first && row_form(shape).points > 1;
    if (!form && projection_pays(shape))
      return {Pick::projection, empty + ", and few phases share their taps"};
    if (shape.groups > 1 && !first) return {Pick::row_bands, empty + "; groups share a line"};
    return {Pick::row, empty};
  }
  if (few_phases && first && (forward ? planes_pay(shape) : adjoint_planes_pay(shape)))
    return {Pick::row, "sums of few terms do not pay for transposed planes"};
  if (few_phases && rows_may_pay<T>(shape, path))
    return {Pick::row_or_channel, "one tap per phase: planes are not transposed where rows fill vectors"};
  return {Pick::channel, outputs + " per group fill vectors of " + wide};
}

constexpr index kScanPiece = 1 << 16;

template <class T>
bool all_finite(const T* kernel, index count, const Path& path) {
  const KernelTable<T>& table = kernels<T>(path);
  std::atomic<bool> finite{true};
  const auto scan = [&](index task) {
    const index begin = task * kScanPiece;
    if (!table.finite(kernel + begin, std::min(kScanPiece, count - begin))) finite = false;
  };
  parallel_for((count + kScanPiece - 1) / kScanPiece, count < 4 * kScanPiece ? 1 : 0, scan, nullptr);
  return finite;
}

template <class T>
std::unique_ptr<Method<T>> choose(const Shape& shape, const Weights<T>& given, const Path& path, Use use,
                                  bool spectra, std::string& reason) {
  const auto [method, why] = pick<T>(shape, path, spectra);
  reason = why;
  if (method == Pick::channel) return make_channel_method(shape, given, path, use);
  if (method == Pick::phases) return make_phases_method(shape, given, path, use);

  // The other methods are for small kernels.
  const index total = shape.taps() * shape.c_out / shape.groups * shape.c_in;
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
  switch (method) {
    case Pick::fourier: {
      // Halves have been widened to memory that ends here.
      const Use keep = given.halves ? Use::kept : use;
      return make_fourier_method<T>(shape, kernel, path, keep, [shape, &path, keep](const T* kept) {
        std::string unused;
        return choose<T>(shape, Weights<T>{kept}, path, keep, false, unused);
      });
    }
    case Pick::depthwise:
      return make_depthwise_method(shape, kernel, path);
    case Pick::depthwise_bands:
      return make_bands_method(shape, path, make_depthwise_method(planar, kernel, path));
    case Pick::group:
      return make_group_method(shape, kernel, path);
    case Pick::dot:
      return make_dot_method(shape, kernel, path);
    case Pick::projection:
      return make_projection_method(shape, kernel, path);
    case Pick::row_or_channel: {
      // What has been widened ends here.
      const bool single = use == Use::once && !given.halves;
      return std::make_unique<RowsOrChannels<T>>(
          kernels<T>(path).lanes, [shape, kernel, &path] { return make_row_method(shape, kernel, path); },
          [shape, given, &path, use] { return make_channel_method(shape, given, path, use); }, single);
    }
    case Pick::row_bands:
      return make_bands_method(shape, path, make_row_method(planar, kernel, path));
    default:
      return make_row_method(shape, kernel, path);
  }
}

}  // namespace

template <class T>
std::unique_ptr<Method<T>> choose_method(const Shape& shape, const Weights<T>& given, const Path& path,
                                         Use use, std::string& reason) {
  return choose<T>(shape, given, path, use, true, reason);
}

template std::unique_ptr<Method<float>> choose_method(const Shape&, const Weights<float>&, const Path&, Use,
                                                      std::string&);
template std::unique_ptr<Method<double>> choose_method(const Shape&, const Weights<double>&, const Path&, Use,
                                                       std::string&);

}  // namespace ct
