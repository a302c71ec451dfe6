// The gradient to a kernel of many taps per phase: products of the spectra of the outputs with the conjugate
// ones of the inputs, summed up over all tiles and images before the way back.
//
// Some tiles at a time are transformed, then every pair of planes is summed: both are shared out among the
// threads, and no sum depends on them.
#include <algorithm>

#include "fourier.h"

namespace ct {
namespace {

// Tiles whose products are added up in registers.
constexpr index kMostTiles = 8;
// Parts of a sum that threads share where there are few pairs.
constexpr index kParts = 8;

Shape shape_of(const Axis (&axes)[kAxes], index c_in, index c_out, index groups) {
  Shape s{};
  s.kind = Kind::forward;
  for (int a = 0; a < kAxes; ++a) {
    s.k[a] = axes[a].k;
    s.s[a] = axes[a].s;
    s.d[a] = axes[a].d;
  }
  s.groups = groups;
  s.c_out = c_out;
  s.c_in = c_in;
  return s;
}

template <class T>
class FourierGradient {
 public:
  FourierGradient(const View<const T>& x, const View<const T>& y, const Axis (&axes)[kAxes], index groups,
                  const Path& path)
      : x_(x),
        y_(y),
        axes_(axes),
        table_(kernels<T>(path)),
        shape_(shape_of(axes, x.c, y.c, groups)),
        work_(fourier_work<T>(shape_, path, Use::once)) {
    work_.images = x.n;
    for (int a = 0; a < kAxes; ++a) {
      extent_[a] = fourier_extent(shape_, axes[a], a, work_.reach[a]);
      phases_ *= shape_.s[a];
    }
    tiling_ = choose_tiling(work_, extent_, elements_of(x) + elements_of(y));
  }

  bool pays() const {
    double products = double(x_.n) * double(shape_.c_in) * double(shape_.c_out) / double(shape_.groups);
    for (const Axis& axis : axes_) products *= double(meetings(axis));
    return fourier_gradient_less(tiling_.cost, products, work_);
  }

  bool run(T* out, int threads, ShouldStop should_stop, bool add);

 private:
  void transform(index tile, index group, index plane, T* to) const;
  void store(index pair, const T* samples, T* out, bool add) const;

  const View<const T>& x_;
  const View<const T>& y_;
  const Axis (&axes_)[kAxes];
  const KernelTable<T>& table_;
  const Shape shape_;
  FourierWork work_;
  FourierExtent extent_[kAxes];
  FourierTiling tiling_;
  index phases_ = 1;
  std::shared_ptr<const FourierTransform<T>> transform_;
};

// A plane of the inputs, or behind those one of the outputs: a phase of a channel.
template <class T>
void FourierGradient<T>::transform(index tile, index group, index plane, T* to) const {
  const bool inputs = plane < work_.sources;
  if (!inputs) plane -= work_.sources;
  index phase = inputs ? 0 : plane % phases_;
  FourierBox box;
  for (int a = kAxes - 1; a >= 0; --a) {
    const FourierExtent& e = extent_[a];
    const index q = e.q_begin + tile % tiling_.tiles[a] * tiling_.step[a];
    const index q_stop = std::min(q + tiling_.step[a], e.q_end), first = e.first_source(q);
    tile /= tiling_.tiles[a];
    box.step[a] = inputs ? 1 : shape_.s[a];
    box.first[a] = inputs ? first : q * shape_.s[a] + phase % shape_.s[a] - axes_[a].lo;
    box.count[a] = inputs ? e.sources(q, q_stop) : q_stop - q;
    box.at[a] = inputs ? 0 : q - first;
    if (!inputs) phase /= shape_.s[a];
  }
  const index channel =
      inputs ? group * work_.src_channels + plane : group * work_.dst_channels + plane / phases_;
  const index lanes = table_.lanes, samples = tiling_.samples();
  T* const memory = static_cast<T*>(
      scratch(sizeof(T) * std::size_t(samples + transform_->scratch_elements(tiling_, lanes))));
  fourier_gather(table_, tiling_, inputs ? x_ : y_, tile, channel, 1, box, memory, samples);
  transform_->forward(memory, box.at[2] + box.count[2], to, memory + samples);
}

// The taps of a pair: group, plane of the outputs, channel of the inputs.
template <class T>
void FourierGradient<T>::store(index pair, const T* samples, T* out, bool add) const {
  const index source = pair % work_.sources, c_out = work_.dst_channels;
  const index plane = pair / work_.sources % work_.destinations;
  const index group = pair / work_.sources / work_.destinations;
  const index c_in = group * work_.src_channels + source;
  index phase = plane % phases_;
  std::vector<FourierTap> taps[kAxes];
  for (int a = kAxes - 1; a >= 0; --a) {
    taps[a] = fourier_taps(shape_, a, work_.reach[a])[std::size_t(phase % shape_.s[a])];
    phase /= shape_.s[a];
  }
  const T scale = T(1) / T(tiling_.rows[0] * tiling_.rows[1] * tiling_.rows[2]);
  for (const FourierTap& d : taps[0])
    for (const FourierTap& h : taps[1]) {
      const T* const row = samples + (d.at * tiling_.size[1] + h.at) * tiling_.size[2];
      T* const to =
          out +
          ((d.kernel_index * shape_.k[1] + h.kernel_index) * shape_.k[2] * c_out + plane / phases_) *
              shape_.c_in +
          c_in;
      for (const FourierTap& w : taps[2]) {
        T& tap = to[w.kernel_index * c_out * shape_.c_in];
        tap = (add ? tap : T(0)) + row[w.at] * scale;
      }
    }
}

template <class T>
bool FourierGradient<T>::run(T* out, int threads, ShouldStop should_stop, bool add) {
  transform_ = fourier_transform(tiling_, table_);
  const index lanes = table_.lanes, spectrum = tiling_.spectrum(lanes);
  const index line = 64 / index(sizeof(T)), region = spectrum + line;
  const index planes = work_.sources + work_.destinations, tiles = x_.n * tiling_.tile_count();
  const index group_pairs = work_.sources * work_.destinations;
  // So many tiles, and groups, at a time: their number must not depend on the threads.
  const index share = std::max((elements_of(x_) + elements_of(y_)) / 8, (index(1) << 20) / index(sizeof(T)));
  const index tile_run = std::clamp<index>(share / (planes * region), 1, std::min(tiles, kMostTiles));
  const index group_run =
      std::clamp<index>(share / ((planes * tile_run + group_pairs) * region), 1, shape_.groups);
  T* const sums = static_cast<T*>(
      scratch(sizeof(T) * std::size_t(group_run * (group_pairs * region + tile_run * planes * region)), 2));
  T* const spectra = sums + group_run * group_pairs * region;

  for (index group = 0; group < shape_.groups; group += group_run) {
    const index groups = std::min(group_run, shape_.groups - group), pairs = groups * group_pairs;
    for (index tile = 0; tile < tiles; tile += tile_run) {
      const index count = std::min(tile_run, tiles - tile);
      const auto there = [&](index task) {
        const index plane = task % planes, of = task / planes % groups, n = task / planes / groups;
        transform(tile + n, group + of, plane, spectra + ((of * tile_run + n) * planes + plane) * region);
      };
      if (!parallel_for(count * groups * planes, threads, there, should_stop)) return false;
      FourierProducts<T> product;
      const index blocks = spectrum / (2 * product.kPairs * lanes);
      const index parts = pairs < kParts ? std::min(kParts / pairs, blocks) : 1;
      const auto sum = [&](index task) {
        const index pair = task / parts, of = pair / group_pairs, begin = task % parts * blocks / parts;
        const index from = begin * 2 * product.kPairs * lanes;
        const T* const first = spectra + of * tile_run * planes * region + from;
        FourierProducts<T> p;
        p.blocks = (task % parts + 1) * blocks / parts - begin;
        p.terms = count;
        p.x_term = p.k_term = planes * region;
        p.x = first + pair % work_.sources * region;
        p.k = first + (work_.sources + pair / work_.sources % work_.destinations) * region;
        p.dst = sums + pair * region + from;
        p.add = tile > 0;
        table_.fourier_gradient(p);
      };
      if (!parallel_for(pairs * parts, threads, sum, should_stop)) return false;
    }
    const auto back = [&](index pair) {
      const index samples = tiling_.samples();
      T* const memory = static_cast<T*>(
          scratch(sizeof(T) * std::size_t(samples + transform_->scratch_elements(tiling_, lanes))));
      transform_->inverse(sums + pair * region, 0, work_.reach[2], memory, memory + samples);
      store(group * group_pairs + pair, memory, out, add);
    };
    if (!parallel_for(pairs, threads, back, should_stop)) return false;
  }
  return true;
}

}  // namespace

template <class T>
bool fourier_gradient_applies(const View<const T>& x, const View<const T>& y, const Axis (&axes)[kAxes],
                              index groups, const Path& path) {
  if (!fourier_worth_a_thought(shape_of(axes, x.c, y.c, groups))) return false;
  return FourierGradient<T>(x, y, axes, groups, path).pays();
}

template <class T>
bool fourier_kernel_gradient(const View<const T>& x, const View<const T>& y, T* out,
                             const Axis (&axes)[kAxes], index groups, const Path& path, int threads,
                             ShouldStop should_stop, bool add) {
  return FourierGradient<T>(x, y, axes, groups, path).run(out, threads, should_stop, add);
}

template bool fourier_gradient_applies(const View<const float>&, const View<const float>&,
                                       const Axis (&)[kAxes], index, const Path&);
template bool fourier_gradient_applies(const View<const double>&, const View<const double>&,
                                       const Axis (&)[kAxes], index, const Path&);
template bool fourier_kernel_gradient(const View<const float>&, const View<const float>&, float*,
                                      const Axis (&)[kAxes], index, const Path&, int, ShouldStop, bool);
template bool fourier_kernel_gradient(const View<const double>&, const View<const double>&, double*,
                                      const Axis (&)[kAxes], index, const Path&, int, ShouldStop, bool);

}  // namespace ct
