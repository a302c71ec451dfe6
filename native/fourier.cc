#include "fourier.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>

namespace ct {
namespace {

constexpr double kTurn = 6.283185307179586476925286766559;

// Complex rows that there are passes for: 2, 4 or more times 1 or 3, and their doublings.
struct Size {
  index rows;
  double doublings;
};
constexpr Size kSizes[] = {{8, 3},  {16, 4},     {24, 4.585}, {32, 5},      {48, 5.585},
                           {64, 6}, {96, 6.585}, {128, 7},    {192, 7.585}, {256, 8}};
// Along w there are whole vectors of every instruction set.
constexpr index kColumnVector = 16;

// Cycles, measured, per complex vector of a plane: to get it and to transform it, per axis and per doubling
// of its rows; of products with spectra of the kernel that the second cache holds, the third, or none.
constexpr double kPlane = 25, kAxis = 22, kDoubling = 2.2;
constexpr double kPack = 2;  // spectra of the kernel
constexpr double kNear = 8, kFar = 16, kFarther = 30;
constexpr double kSecondCache = 1 << 19, kThirdCache = 1 << 25;

// The same per vector of direct products: with few destination channels, adjoints with very few, with many,
// and where Winograd forms save most of them.
constexpr double kFewChannels = 1.8, kDots = 3.2, kManyChannels = 1.1, kForms = 0.45;
constexpr double kFewGradients = 1.6;  // to the kernel
constexpr index kMostDots = 4, kMany = 8, kFormSources = 16;

// How much less it must be: for a kernel, where infinities that spread and zeros that are not quite zero have
// to be paid for, or where fewer multiplications were asked for; and for an image.
constexpr double kClearly = 0.7, kAsked = 2, kLess = 0.85;

// Taps of a phase that are worth a thought; a length that no tile has room for, and phases that are too many.
constexpr double kFewest = 24;
constexpr index kLongest = 1 << 16, kMostPhases = 4096;

// Scratch memory of a thread that is no burden, and spectra of weights that are too much of one, in bytes.
constexpr index kSmall = 1 << 20, kMostWeights = index(256) << 20;

// Transforms that are kept, for all kernels.
constexpr std::size_t kMostTransforms = 32;

// How many destinations a tile of so many samples gives.
bool fit(const FourierExtent& e, index samples, index& step, index& tiles) {
  const index all = e.destinations(), first = e.first_source(e.q_begin), lead = e.q_begin - first;
  step = std::max<index>(all, 1);
  tiles = 1;
  if (samples < e.reach) return false;  // taps that no destination wants have their place, too
  if (e.q_end - first <= samples && e.sources(e.q_begin, e.q_end) + e.reach - 1 - lead <= samples)
    return true;
  const index most = samples - e.reach + 1;
  if (most < 1) return false;
  tiles = ceil_div(all, most);
  step = ceil_div(all, tiles);
  return true;
}

bool has_forms(const FourierWork& work) {
  return std::all_of(work.reach, work.reach + kAxes, [](index reach) { return reach <= kWinogradLongest; });
}

// What direct sums of so many products cost.
double direct_cost(double products, const FourierWork& work) {
  const bool forms = work.src_channels >= kFormSources && work.dst_channels >= kMany && has_forms(work);
  const bool dots = work.kind == Kind::adjoint && work.dst_channels <= kMostDots;
  const double each = forms                        ? kForms
                      : dots                       ? kDots
                      : work.dst_channels >= kMany ? kManyChannels
                                                   : kFewChannels;
  return products / double(work.lanes) * each;
}

}  // namespace

FourierExtent fourier_extent(const Shape& shape, const Axis& axis, int number, index reach) {
  // Positions of the side that the stride belongs to: as destinations of phases, or as sources of them.
  const index s = shape.s[number], begin = floor_div(axis.lo, s);
  const index end = axis.o > 0 ? floor_div(axis.lo + axis.o - 1, s) + 1 : begin;
  if (shape.kind == Kind::forward) return {begin, end, 0, axis.i, reach};
  return {reach - 1, reach - 1 + axis.i, begin, end, reach};
}

template <class T>
FourierWork fourier_work(const Shape& shape, const Path& path, Use use) {
  const index src = shape.src_channels(), dst = shape.dst_channels();
  FourierWork work{
      shape.kind,      src, dst, src, dst, shape.groups, 1, {}, kernels<T>(path).lanes, index(sizeof(T)),
      use == Use::once};
  index& phased = shape.kind == Kind::forward ? work.destinations : work.sources;
  for (int a = 0; a < kAxes; ++a) {
    work.reach[a] = (shape.k[a] - 1) * shape.d[a] / shape.s[a] + 1;
    phased *= shape.s[a];
  }
  return work;
}

template FourierWork fourier_work<float>(const Shape&, const Path&, Use);
template FourierWork fourier_work<double>(const Shape&, const Path&, Use);

bool fourier_gradient_less(double cost, double products, const FourierWork& work) {
  const double each = std::min(work.src_channels, work.dst_channels) < kMany ? kFewGradients : kManyChannels;
  return cost > 0 && cost < kClearly * each * products / double(work.lanes);
}

bool fourier_less(double cost, double products, const FourierWork& work) {
  return cost > 0 && cost < kLess * direct_cost(products, work);
}

bool fourier_worth_a_thought(const Shape& shape) {
  index phases = 1;
  double taps = 1;
  for (int a = 0; a < kAxes; ++a) {
    if (shape.s[a] > kMostPhases || shape.d[a] > kLongest || shape.k[a] > kLongest) return false;
    phases *= shape.s[a];
    taps *= double(shape.k[a]) / double(shape.s[a]);
  }
  return phases <= kMostPhases && taps >= kFewest;
}

// A typical image: whole tiles, but not very many.
template <class T>
bool fourier_pays(const Shape& shape, const Path& path) {
  // Who asks for Winograd forms gets them where there are some.
  const bool asked = shape.algorithm == Algorithm::winograd;
  if (!fourier_worth_a_thought(shape)) return false;
  const FourierWork work = fourier_work<T>(shape, path, Use::kept);
  if (asked && has_forms(work)) return false;
  const bool deep = work.reach[0] > 1, high = work.reach[1] > 1;
  const index length = deep ? 48 : high ? 128 : 8192;
  FourierExtent extents[kAxes];
  double direct = double(shape.taps()) * double(shape.c_in) * double(shape.c_out) / double(shape.groups);
  index elements = shape.c_in + shape.c_out;
  for (int a = 0; a < kAxes; ++a) {
    const index i = a == 2 || work.reach[a] > 1 ? length : 1;
    const index lo = (shape.k[a] - 1) * shape.d[a] / 2;
    extents[a] =
        fourier_extent(shape, {i, shape.k[a], shape.s[a], shape.d[a], lo, i * shape.s[a]}, a, work.reach[a]);
    direct *= double(i);
    elements *= i;
  }
  const FourierTiling best = choose_tiling(work, extents, elements);
  return best.cost > 0 && best.cost < (asked ? kAsked : kClearly) * direct_cost(direct, work);
}

template bool fourier_pays<float>(const Shape&, const Path&);
template bool fourier_pays<double>(const Shape&, const Path&);

FourierTiling choose_tiling(const FourierWork& work, const FourierExtent (&extents)[kAxes], index elements) {
  FourierTiling best;
  const bool deep = work.reach[0] > 1, high = work.reach[1] > 1;
  const double planes = double(work.sources + work.destinations) * double(work.groups);
  const double products = double(work.sources) * double(work.destinations) * double(work.groups);
  const index limit = std::max(elements / 8, kSmall / work.element_bytes);
  const auto consider = [&](FourierTiling t, double doublings) {
    for (int a = 0; a < kAxes; ++a)
      if (!fit(extents[a], t.size[a], t.step[a], t.tiles[a])) return;
    const double spectrum = double(t.spectrum(work.lanes));
    const double vectors = spectrum / double(2 * work.lanes);
    const double axes = deep && high ? 3 : 2;
    const double transform = vectors * (kPlane + kAxis * axes + kDoubling * doublings);
    const double bytes = spectrum * products * double(work.element_bytes);
    if (bytes > double(kMostWeights)) return;
    const double product = bytes <= kSecondCache ? kNear : bytes <= kThirdCache ? kFar : kFarther;
    t.cost = double(work.images * t.tile_count()) * (planes * transform + products * vectors * product);
    if (work.once) t.cost += kPack * products * transform;
    // Memory in the second cache is quick, and small arrays should not need much more than they are.
    const double scratch = spectrum * double(work.sources + 1) + 2 * double(t.samples());
    if (scratch > double(limit)) t.cost *= std::sqrt(scratch / double(limit));
    if (best.cost == 0 || t.cost < best.cost) best = t;
  };
  for (const auto& [last, last_doublings] : kSizes) {
    if (last % kColumnVector) continue;
    for (const auto& [first, first_doublings] : kSizes) {
      const double doublings = first_doublings + last_doublings;
      FourierTiling t;
      t.rows[0] = first;
      t.rows[2] = last;
      if (!deep && !high) {
        if (first > last || last > 4 * first) continue;
        t.line = true;
        t.size[2] = 2 * first * last;
        consider(t, doublings);
        continue;
      }
      t.size[deep ? 0 : 1] = 2 * first;
      t.size[2] = last;
      if (!deep || !high) {
        consider(t, doublings);
        continue;
      }
      for (const auto& [middle, middle_doublings] : kSizes) {
        t.rows[1] = t.size[1] = middle;
        consider(t, doublings + middle_doublings);
      }
    }
  }
  return best;
}

template <class T>
FourierTransform<T>::FourierTransform(const FourierTiling& tiling, const KernelTable<T>& table)
    : tiling_(tiling), table_(table), twist_(0), untwist_(0) {
  std::vector<double> leaves;
  add_axis(kMiddle, 0, leaves);
  add_axis(kLast, 0, leaves);
  add_axis(kRealPairs, 0.25, leaves);
  if (!tiling.line) return;
  // Modulo x^n - c is modulo z^n - 1 for x = z times the n-th root of c.
  const index lanes = table.lanes, count = tiling.spectrum(lanes), columns = tiling.rows[2];
  twist_ = Buffer<T>(count);
  untwist_ = Buffer<T>(count);
  std::fill_n(twist_.data(), count, T(0));
  std::fill_n(untwist_.data(), count, T(0));
  for (index row = 0; row < tiling.rows[0]; ++row)
    for (index w = 0; w < columns; ++w) {
      const double angle = kTurn * leaves[std::size_t(row)] * double(w) / double(columns);
      const index at = (row / lanes * columns + w) * 2 * lanes + row % lanes;
      twist_.data()[at] = untwist_.data()[at] = T(std::cos(angle));
      twist_.data()[at + lanes] = T(std::sin(angle));
      untwist_.data()[at + lanes] = T(-std::sin(angle));
    }
}

// `turns` is the angle of the number that x^n is; `leaves` gets those of the parts.
template <class T>
void FourierTransform<T>::add_axis(int number, double turns, std::vector<double>& leaves) {
  FourierAxis<T>& axis = axis_[number];
  std::vector<T>& factors = factors_[number];
  axis.rows = tiling_.rows[number];
  axis.plain = turns == 0;
  leaves.assign(1, turns);
  std::size_t begin[FourierAxis<T>::kMaxPasses];
  for (index rest = axis.rows; rest > 1;) {
    const int radix = rest % 3 == 0 && rest % 4 != 0 ? 3 : rest % 8 == 0 && rest / 8 % 4 != 2 ? 8 : 4;
    rest /= radix;
    axis.radix[axis.passes] = radix;
    axis.blocks[axis.passes] = index(leaves.size());
    begin[axis.passes++] = factors.size();
    std::vector<double> parts;
    for (const double leaf : leaves) {
      for (int q = 1; q < radix; ++q) {
        const double angle = kTurn * leaf / radix * q;
        factors.push_back(T(std::cos(angle)));
        factors.push_back(T(std::sin(angle)));
      }
      for (int p = 0; p < radix; ++p) parts.push_back((leaf + p) / radix);
    }
    leaves = std::move(parts);
  }
  for (int pass = 0; pass < axis.passes; ++pass) axis.factors[pass] = factors.data() + begin[pass];
}

template <class T>
index FourierTransform<T>::scratch_elements(const FourierTiling& tiling, index lanes) {
  return 2 * lanes * (tiling.lines(lanes) + *std::max_element(tiling.rows, tiling.rows + kAxes));
}

template <class T>
void FourierTransform<T>::twist(const Buffer<T>& by, T* spectrum) const {
  FourierProducts<T> product;
  product.terms = 1;
  product.x = product.dst = spectrum;
  product.x_term = 0;
  product.k = by.data();
  product.blocks = tiling_.spectrum(table_.lanes) / (2 * product.kPairs * table_.lanes);
  table_.fourier_products(product);
}

template <class T>
void FourierTransform<T>::lines(bool back, int axis, FourierLines<T> a, T* memory) const {
  if (tiling_.rows[axis] == 1) return;
  a.axis = &axis_[axis];
  a.work = memory + 2 * table_.lanes * tiling_.lines(table_.lanes);
  if (back) {
    std::swap(a.src_row, a.dst_row);
    std::swap(a.src_im, a.dst_im);
    std::swap(a.src_strip, a.dst_strip);
  }
  table_.fourier[back](a);
}

// A slab of memory holds one vector of columns, the rows of the real pairs inside those of the middle.
template <class T>
void FourierTransform<T>::forward(const T* samples, index columns, T* spectrum, T* memory) const {
  const index lanes = table_.lanes, pair = 2 * lanes;
  const index(&rows)[kAxes] = tiling_.rows;
  const index plane = rows[1] * rows[2], all = tiling_.lines(lanes), block = rows[2] * pair;
  std::memset(memory + rows[0] * rows[1] * pair, 0,
              sizeof(T) * std::size_t((all - rows[0] * rows[1]) * pair));
  const index used = tiling_.line ? rows[2] : std::min(ceil_div(columns, lanes) * lanes, rows[2]);
  for (index w = 0; w < used; w += lanes) {
    lines(false, kRealPairs,
          {nullptr, rows[1], samples + w, plane, rows[0] * plane, rows[2], memory, pair, lanes,
           rows[0] * pair, nullptr},
          memory);
    lines(
        false, kMiddle,
        {nullptr, rows[0], memory, rows[0] * pair, lanes, pair, memory, rows[0] * pair, lanes, pair, nullptr},
        memory);
    table_.fourier_turn(memory, lanes * pair, spectrum + w * pair, block, all / lanes);
  }
  if (used < rows[2])
    for (index b = 0; b < all / lanes; ++b)
      std::memset(spectrum + b * block + used * pair, 0, sizeof(T) * std::size_t((rows[2] - used) * pair));
  if (tiling_.line) twist(twist_, spectrum);
  lines(false, kLast,
        {nullptr, all / lanes, spectrum, pair, lanes, block, spectrum, pair, lanes, block, nullptr}, memory);
}

template <class T>
void FourierTransform<T>::inverse(T* spectrum, index begin, index end, T* samples, T* memory) const {
  const index lanes = table_.lanes, pair = 2 * lanes;
  const index(&rows)[kAxes] = tiling_.rows;
  const index plane = rows[1] * rows[2], all = tiling_.lines(lanes), block = rows[2] * pair;
  lines(true, kLast,
        {nullptr, all / lanes, spectrum, pair, lanes, block, spectrum, pair, lanes, block, nullptr}, memory);
  if (tiling_.line) {
    twist(untwist_, spectrum);
    begin = 0;
    end = rows[2];
  }
  for (index w = begin / lanes * lanes; w < end; w += lanes) {
    table_.fourier_turn(spectrum + w * pair, block, memory, lanes * pair, all / lanes);
    lines(
        true, kMiddle,
        {nullptr, rows[0], memory, rows[0] * pair, lanes, pair, memory, rows[0] * pair, lanes, pair, nullptr},
        memory);
    lines(true, kRealPairs,
          {nullptr, rows[1], memory, plane, rows[0] * plane, rows[2], samples + w, pair, lanes,
           rows[0] * pair, nullptr},
          memory);
  }
}

template <class T>
std::shared_ptr<const FourierTransform<T>> fourier_transform(const FourierTiling& tiling,
                                                             const KernelTable<T>& table) {
  using Known = std::map<std::vector<index>, std::shared_ptr<const FourierTransform<T>>>;
  static std::mutex mutex;
  static Known* const known = new Known;  // threads may outlive what is destroyed at the end
  const std::vector<index> key = {index(reinterpret_cast<std::intptr_t>(&table)), tiling.line, tiling.rows[0],
                                  tiling.rows[1], tiling.rows[2]};
  {
    const std::lock_guard<std::mutex> lock(mutex);
    const auto found = known->find(key);
    if (found != known->end()) return found->second;
  }
  auto made = std::make_shared<const FourierTransform<T>>(tiling, table);
  const std::lock_guard<std::mutex> lock(mutex);
  if (known->size() >= kMostTransforms) known->clear();
  return (*known)[key] = std::move(made);
}

std::vector<std::vector<FourierTap>> fourier_taps(const Shape& shape, int axis, index reach) {
  const index s = shape.s[axis], d = shape.d[axis];
  std::vector<std::vector<FourierTap>> taps;
  taps.resize(std::size_t(s));
  for (index t = 0; t < shape.k[axis]; ++t) {
    const index shift = t * d / s;
    taps[std::size_t(t * d % s)].push_back({shape.kind == Kind::forward ? shift : reach - 1 - shift, t});
  }
  return taps;
}

template <class T>
void fourier_gather(const KernelTable<T>& table, const FourierTiling& tiling, const View<const T>& src,
                    index image, index channel, index channels, const FourierBox& box, T* to,
                    index to_stride) {
  for (index c = 0; c < channels; ++c) std::fill_n(to + c * to_stride, tiling.samples(), T(0));
  index begin[kAxes], end[kAxes];
  for (int a = 0; a < kAxes; ++a)
    clip(box.first[a], box.step[a], src.size[a], box.count[a], begin[a], end[a]);
  const index count = end[2] - begin[2], stride = box.step[2] * src.stride[2];
  if (count == 0) return;
  for (index d = begin[0]; d < end[0]; ++d)
    for (index h = begin[1]; h < end[1]; ++h) {
      const T* const from = src.data + image * src.stride_n + channel * src.stride_c +
                            (box.first[0] + d * box.step[0]) * src.stride[0] +
                            (box.first[1] + h * box.step[1]) * src.stride[1] +
                            (box.first[2] + begin[2] * box.step[2]) * src.stride[2];
      T* const line =
          to + ((box.at[0] + d) * tiling.size[1] + box.at[1] + h) * tiling.size[2] + box.at[2] + begin[2];
      if (src.stride_c == 1 && channels > 1) {
        table.transpose(from, stride, count, channels, line, to_stride);
        continue;
      }
      for (index c = 0; c < channels; ++c) {
        const T* const one = from + c * src.stride_c;
        T* const row = line + c * to_stride;
        if (stride == 1)
          std::copy_n(one, count, row);
        else
          for (index w = 0; w < count; ++w) row[w] = one[w * stride];
      }
    }
}

#define CT_FOURIER(T)                                                                                    \
  template class FourierTransform<T>;                                                                    \
  template std::shared_ptr<const FourierTransform<T>> fourier_transform(const FourierTiling&,            \
                                                                        const KernelTable<T>&);          \
  template void fourier_gather(const KernelTable<T>&, const FourierTiling&, const View<const T>&, index, \
                               index, index, const FourierBox&, T*, index);
CT_FOURIER(float)
CT_FOURIER(double)
#undef CT_FOURIER

}  // namespace ct
