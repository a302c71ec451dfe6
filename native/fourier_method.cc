// The Fourier method: kernels of many taps per phase, as products of spectra.
//
// A task takes one tile: the spectra of its source planes, which are the channels of the source and, in an
// adjoint, the phases of the stride; then, for some destination planes at a time, the sums of products and
// their way back. Where a run has few tiles, all threads share those: first the source planes of all of them,
// then the destinations. The sums, and with them the bits, are the same.
#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "fourier.h"
#include "method.h"
#include "remembered.h"
#include "schedule.h"
#include "store_line.h"

namespace ct {
namespace {

// Planes of one line of results that leave a buffer together, at most.
constexpr index kMostPlanes = 64;

// Shapes of tiles whose spectra of the kernel are kept: those of images of several sizes.
constexpr std::size_t kMostTilings = 4;

template <class T>
class FourierMethod final : public Method<T> {
 public:
  FourierMethod(const Shape& shape, const T* kernel, const Path& path, Use use, MakeMethod<T> direct);
  bool run(const Call<T>& call) const override;
  index workspace_bytes(const Call<T>& call) const override;
  std::string explain(const Call<T>& call) const override;

 private:
  // Transforms of one shape of tiles, and the spectra of the kernel:
  // group, destination plane, block of pairs, source plane.
  struct Weights {
    std::shared_ptr<const FourierTransform<T>> transform;
    Buffer<T> data;
    index group = 0;
  };
  struct Choice {
    FourierTiling tiling;
    FourierExtent extent[kAxes];
    bool pays;
  };
  // Destinations of some phases and channels, which leave together: all phases of w.
  struct Schedule {
    Choice choice;
    index region;    // elements of a spectrum, or of a tile
    index channels;  // of a unit
    index units;     // of a tile
    index tiles;     // of all images and groups
    bool shared;     // all spectra at once, for all threads
    index tasks;
    index memory_elements, scratch_elements;
  };
  struct Tile {
    index image, group, q[kAxes], q_stop[kAxes], first[kAxes];
  };

  const Method<T>& direct() const;
  Choice choose(const Call<T>& call) const;
  Choice find_choice(const Call<T>& call) const;
  Schedule schedule(const Call<T>& call, const Choice& choice) const;
  std::shared_ptr<const Weights> weights(const FourierTiling& tiling, int threads) const;
  void place_taps(const FourierTiling& tiling, index group, index dst, index src, T* samples) const;
  Tile tile(const Schedule& plan, index number) const;
  void gather(const Schedule& plan, const Call<T>& call, const Tile& tile, index plane, index channels, T* to,
              index to_stride) const;
  void spectra(const Schedule& plan, const Weights& weights, const Call<T>& call, const Tile& tile, T* to,
               T* memory) const;
  void results(const Schedule& plan, const Weights& weights, const Call<T>& call, const Tile& tile,
               index unit, const T* spectra, T* sum, T* memory) const;

  const Shape shape_;
  const KernelTable<T>& table_;
  const bool forward_;
  const Use use_;
  Buffer<T> copy_;
  const T* const kernel_;
  // By axis and phase; of the source or the destination.
  std::vector<std::vector<FourierTap>> taps_[kAxes];
  index phases_ = 1;
  FourierWork work_;
  const MakeMethod<T> make_direct_;
  mutable std::once_flag made_;
  mutable std::unique_ptr<Method<T>> direct_;
  Remembered<std::vector<index>, Choice> choices_;
  mutable std::mutex mutex_;
  mutable std::map<std::vector<index>, std::shared_ptr<const Weights>> weights_;
};

template <class T>
FourierMethod<T>::FourierMethod(const Shape& shape, const T* kernel, const Path& path, Use use,
                                MakeMethod<T> direct)
    : shape_(shape),
      table_(kernels<T>(path)),
      forward_(shape.kind == Kind::forward),
      use_(use),
      copy_(use == Use::kept ? shape.taps() * shape.c_out / shape.groups * shape.c_in : 0),
      kernel_(use == Use::kept ? copy_.data() : kernel),
      work_(fourier_work<T>(shape, path, use)),
      make_direct_(std::move(direct)) {
  if (use == Use::kept)
    std::copy_n(kernel, shape.taps() * shape.c_out / shape.groups * shape.c_in, copy_.data());
  for (int a = 0; a < kAxes; ++a) {
    taps_[a] = fourier_taps(shape, a, work_.reach[a]);
    phases_ *= shape.s[a];
  }
}

template <class T>
const Method<T>& FourierMethod<T>::direct() const {
  std::call_once(made_, [&] { direct_ = make_direct_(kernel_); });
  return *direct_;
}

template <class T>
typename FourierMethod<T>::Choice FourierMethod<T>::choose(const Call<T>& call) const {
  std::vector<index> sizes;
  for (const Axis& a : call.axes) sizes.insert(sizes.end(), {a.i, a.lo, a.o});
  return choices_.of(sizes, [&] { return find_choice(call); });
}

template <class T>
typename FourierMethod<T>::Choice FourierMethod<T>::find_choice(const Call<T>& call) const {
  Choice c;
  double direct = double(shape_.c_in) * double(shape_.c_out) / double(shape_.groups);
  index inputs = shape_.c_in, outputs = shape_.c_out;
  for (int a = 0; a < kAxes; ++a) {
    const Axis& axis = call.axes[a];
    c.extent[a] = fourier_extent(shape_, axis, a, work_.reach[a]);
    direct *= double(meetings(axis));
    inputs *= axis.i;
    outputs *= axis.o;
  }
  c.tiling = choose_tiling(work_, c.extent,
                           inputs + outputs + shape_.taps() * shape_.c_in * shape_.c_out / shape_.groups);
  c.pays = shape_.algorithm == Algorithm::winograd ? c.tiling.cost > 0
                                                   : fourier_less(c.tiling.cost, direct, work_);
  return c;
}

template <class T>
typename FourierMethod<T>::Schedule FourierMethod<T>::schedule(const Call<T>& call,
                                                               const Choice& choice) const {
  Schedule s{};
  s.choice = choice;
  const index lanes = table_.lanes, dst = shape_.dst_channels();
  const index line = 64 / index(sizeof(T));
  const FourierTiling& t = s.choice.tiling;
  // One more line of the cache between spectra than would put them all into the same sets.
  s.region = std::max(t.spectrum(lanes), t.samples()) + line;
  const index w_phases = forward_ ? shape_.s[2] : 1;
  const bool last = call.dst.stride_c == 1 && dst > 1;
  s.channels = !last ? 1 : w_phases * dst <= kMostPlanes ? dst : std::min(dst, 2 * lanes);
  s.units = (forward_ ? shape_.s[0] * shape_.s[1] : 1) * ceil_div(dst, s.channels);
  s.tiles = call.src.n * shape_.groups * t.tile_count();
  const int threads = thread_count(call.threads);
  s.shared = s.tiles < 2 * threads && work_.sources * s.units > 1 && threads > 1;
  s.tasks = s.shared ? s.tiles * std::max(work_.sources, s.units) : s.tiles;
  const index spectra = work_.sources * s.region, planes = w_phases * s.channels * t.samples();
  s.scratch_elements =
      s.region + planes + FourierTransform<T>::scratch_elements(t, lanes) + (s.shared ? 0 : spectra);
  s.memory_elements = s.shared ? s.tiles * spectra : 0;
  return s;
}

template <class T>
void FourierMethod<T>::place_taps(const FourierTiling& tiling, index group, index dst, index src,
                                  T* samples) const {
  const index channels = forward_ ? work_.sources : work_.destinations;
  index phase = forward_ ? dst % phases_ : src / shape_.src_channels(), at[kAxes];
  for (int a = kAxes - 1; a >= 0; --a) {
    at[a] = phase % shape_.s[a];
    phase /= shape_.s[a];
  }
  const index other = forward_ ? dst / phases_ : src % shape_.src_channels();  // output channel
  const index c_in = group * channels + (forward_ ? src : dst), c_out = shape_.c_out / shape_.groups;
  std::fill_n(samples, tiling.samples(), T(0));
  // The way back multiplies by the number of samples.
  const T scale = T(1) / T(tiling.rows[0] * tiling.rows[1] * tiling.rows[2]);
  for (const FourierTap& d : taps_[0][std::size_t(at[0])])
    for (const FourierTap& h : taps_[1][std::size_t(at[1])]) {
      T* const row = samples + (d.at * tiling.size[1] + h.at) * tiling.size[2];
      const T* const from =
          kernel_ + (d.kernel_index * shape_.k[1] + h.kernel_index) * shape_.k[2] * c_out * shape_.c_in;
      for (const FourierTap& w : taps_[2][std::size_t(at[2])])
        row[w.at] = from[(w.kernel_index * c_out + other) * shape_.c_in + c_in] * scale;
    }
}

template <class T>
std::shared_ptr<const typename FourierMethod<T>::Weights> FourierMethod<T>::weights(
    const FourierTiling& tiling, int threads) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::vector<index> key = {tiling.line, tiling.rows[0], tiling.rows[1], tiling.rows[2]};
  const auto found = weights_.find(key);
  if (found != weights_.end()) return found->second;
  if (weights_.size() >= kMostTilings) weights_.clear();  // runs that need them have their own hold on them
  const index lanes = table_.lanes, spectrum = tiling.spectrum(lanes), sources = work_.sources;
  const index group = work_.destinations * sources * spectrum;
  auto made = std::make_shared<Weights>(
      Weights{fourier_transform(tiling, table_), Buffer<T>(group * shape_.groups), group});
  const index samples = std::max(spectrum, tiling.samples());
  const auto body = [&](index task) {
    const index src = task % sources, plane = task / sources;
    T* const memory = static_cast<T*>(
        scratch(sizeof(T) * std::size_t(2 * samples + FourierTransform<T>::scratch_elements(tiling, lanes))));
    place_taps(tiling, plane / work_.destinations, plane % work_.destinations, src, memory);
    made->transform->forward(memory, tiling.line ? tiling.rows[2] : work_.reach[2], memory + samples,
                             memory + 2 * samples);
    const index block = 2 * FourierProducts<T>::kPairs * lanes;
    T* const to = made->data.data() + plane * sources * spectrum + src * block;
    for (index at = 0; at < spectrum; at += block)
      std::copy_n(memory + samples + at, block, to + at * sources);
  };
  const index tasks = work_.destinations * shape_.groups * sources;
  parallel_for(tasks, tasks * spectrum < (1 << 16) ? 1 : threads, body, nullptr);
  return weights_[key] = std::move(made);
}

template <class T>
typename FourierMethod<T>::Tile FourierMethod<T>::tile(const Schedule& plan, index number) const {
  Tile t;
  const FourierTiling& tiling = plan.choice.tiling;
  for (int a = kAxes - 1; a >= 0; --a) {
    const FourierExtent& e = plan.choice.extent[a];
    t.q[a] = e.q_begin + number % tiling.tiles[a] * tiling.step[a];
    t.q_stop[a] = std::min(t.q[a] + tiling.step[a], e.q_end);
    t.first[a] = e.first_source(t.q[a]);
    number /= tiling.tiles[a];
  }
  t.group = number % shape_.groups;
  t.image = number / shape_.groups;
  return t;
}

// Tiles of the channels from a source plane on.
template <class T>
void FourierMethod<T>::gather(const Schedule& plan, const Call<T>& call, const Tile& tile, index plane,
                              index channels, T* to, index to_stride) const {
  index phase = forward_ ? 0 : plane / shape_.src_channels();
  FourierBox box{};
  for (int a = kAxes - 1; a >= 0; --a) {
    box.step[a] = forward_ ? 1 : shape_.s[a];
    box.first[a] = tile.first[a] * box.step[a] + (forward_ ? 0 : phase % shape_.s[a] - call.axes[a].lo);
    box.count[a] = plan.choice.extent[a].sources(tile.q[a], tile.q_stop[a]);
    if (!forward_) phase /= shape_.s[a];
  }
  const index channel = tile.group * shape_.src_channels() + plane % shape_.src_channels();
  fourier_gather(table_, plan.choice.tiling, call.src, tile.image, channel, channels, box, to, to_stride);
}

template <class T>
void FourierMethod<T>::results(const Schedule& plan, const Weights& weights, const Call<T>& call,
                               const Tile& tile, index unit, const T* spectra, T* sum, T* memory) const {
  const Choice& choice = plan.choice;
  const FourierTiling& tiling = choice.tiling;
  const View<T>& dst = call.dst;
  const index channels = shape_.dst_channels(), lanes = table_.lanes, spectrum = tiling.spectrum(lanes);
  const index runs = ceil_div(channels, plan.channels), samples = tiling.samples();
  const index channel = unit % runs * plan.channels, count = std::min(plan.channels, channels - channel);
  // Where destinations of a phase are: q * step + phase - lo.
  index step[kAxes], phase[kAxes] = {0, 0, 0}, lo[kAxes], begin[kAxes], end[kAxes];
  for (int a = 0; a < kAxes; ++a) {
    step[a] = forward_ ? shape_.s[a] : 1;
    lo[a] = forward_ ? call.axes[a].lo : work_.reach[a] - 1;
  }
  phase[0] = unit / runs / step[1];
  phase[1] = unit / runs % step[1];
  for (int a = 0; a < 2; ++a)
    clip(tile.q[a] * step[a] + phase[a] - lo[a], step[a], dst.size[a], tile.q_stop[a] - tile.q[a], begin[a],
         end[a]);
  if (begin[0] >= end[0] || begin[1] >= end[1]) return;
  index at[kAxes];
  for (int a = 0; a < kAxes; ++a) at[a] = tile.q[a] - tile.first[a];

  T* const planes = memory;
  memory += step[2] * plan.channels * samples;
  FourierProducts<T> product;
  product.terms = work_.sources;
  product.blocks = spectrum / (2 * product.kPairs * lanes);
  product.x = spectra;
  product.x_term = plan.region;
  product.dst = sum;
  index map[kMostPlanes];
  const index width = tile.q_stop[2] - tile.q[2];
  for (index w = 0; w < step[2]; ++w)
    for (index c = 0; c < count; ++c) {
      const index residues = (phase[0] * step[1] + phase[1]) * step[2] + w;
      const index plane = (channel + c) * (forward_ ? phases_ : 1) + residues;
      product.k = weights.data.data() + tile.group * weights.group + plane * work_.sources * spectrum;
      table_.fourier_products(product);
      T* const to = planes + (w * count + c) * samples;
      weights.transform->inverse(sum, at[2], at[2] + width, to, memory);
      if (!call.bias) continue;
      const T bias = call.bias[tile.group * channels + channel + c];
      for (index n = 0; n < samples; ++n) to[n] += bias;
    }

  T* const to = dst.data + tile.image * dst.stride_n + (tile.group * channels + channel) * dst.stride_c;
  for (index d = begin[0]; d < end[0]; ++d)
    for (index h = begin[1]; h < end[1]; ++h) {
      const T* const from = planes + ((at[0] + d) * tiling.size[1] + at[1] + h) * tiling.size[2] + at[2];
      T* const line = to + ((tile.q[0] + d) * step[0] + phase[0] - lo[0]) * dst.stride[0] +
                      ((tile.q[1] + h) * step[1] + phase[1] - lo[1]) * dst.stride[1];
      if (step[2] * count <= kMostPlanes && (count == 1 || count == dst.stride[2])) {
        for (index n = 0; n < step[2] * count; ++n) map[n] = n;
        store_line<T>(table_, {from, samples, map, tile.q[2], tile.q_stop[2], step[2], lo[2], dst.size[2],
                               count, line, dst.stride[2], dst.stride_c});
        continue;
      }
      for (index w = 0; w < step[2]; ++w) {
        index first, stop;
        const index o = tile.q[2] * step[2] + w - lo[2];
        clip(o, step[2], dst.size[2], width, first, stop);
        if (first < stop)
          table_.transpose(from + w * count * samples + first, samples, count, stop - first,
                           line + (o + first * step[2]) * dst.stride[2], step[2] * dst.stride[2]);
      }
    }
}

// Planes lie one spectrum behind the place of their own, which nobody needs when it is written.
template <class T>
void FourierMethod<T>::spectra(const Schedule& plan, const Weights& weights, const Call<T>& call,
                               const Tile& tile, T* to, T* memory) const {
  const index channels = shape_.src_channels();
  for (index plane = 0; plane < work_.sources; plane += channels)
    gather(plan, call, tile, plane, channels, to + (plane + 1) * plan.region, plan.region);
  for (index plane = 0; plane < work_.sources; ++plane)
    weights.transform->forward(to + (plane + 1) * plan.region,
                               plan.choice.extent[2].sources(tile.q[2], tile.q_stop[2]),
                               to + plane * plan.region, memory);
}

template <class T>
bool FourierMethod<T>::run(const Call<T>& call) const {
  const Choice choice = choose(call);
  if (!choice.pays) return direct().run(call);
  const Schedule plan = schedule(call, choice);
  const std::shared_ptr<const Weights> weights = this->weights(choice.tiling, call.threads);
  const auto memory = [&] {
    return static_cast<T*>(scratch(sizeof(T) * std::size_t(plan.scratch_elements)));
  };
  const index sources = work_.sources;
  if (!plan.shared) {
    const auto body = [&](index number) {
      const Tile t = tile(plan, number);
      T* const spectra = memory();
      T* const sum = spectra + sources * plan.region;
      this->spectra(plan, *weights, call, t, spectra, sum + plan.region);
      for (index unit = 0; unit < plan.units; ++unit)
        results(plan, *weights, call, t, unit, spectra, sum, sum + plan.region);
    };
    return parallel_for(plan.tiles, call.threads, body, call.should_stop);
  }
  T* const shared = static_cast<T*>(scratch(sizeof(T) * std::size_t(plan.memory_elements), 2));
  const auto there = [&](index task) {
    const Tile t = tile(plan, task / sources);
    T* const samples = memory();
    gather(plan, call, t, task % sources, 1, samples, plan.region);
    weights->transform->forward(samples, choice.extent[2].sources(t.q[2], t.q_stop[2]),
                                shared + task * plan.region, samples + plan.region);
  };
  if (!parallel_for(plan.tiles * sources, call.threads, there, call.should_stop)) return false;
  const auto back = [&](index task) {
    const index number = task / plan.units;
    T* const sum = memory();
    results(plan, *weights, call, tile(plan, number), task % plan.units,
            shared + number * sources * plan.region, sum, sum + plan.region);
  };
  return parallel_for(plan.tiles * plan.units, call.threads, back, call.should_stop);
}

template <class T>
index FourierMethod<T>::workspace_bytes(const Call<T>& call) const {
  const Choice choice = choose(call);
  if (!choice.pays) return direct().workspace_bytes(call);
  const Schedule s = schedule(call, choice);
  return (s.memory_elements + workers(call.threads, s.tasks) * s.scratch_elements) * index(sizeof(T));
}

template <class T>
std::string FourierMethod<T>::explain(const Call<T>& call) const {
  const Choice choice = choose(call);
  if (!choice.pays) return direct().explain(call) + ", as tiles of spectra would cost more at this size";
  const Schedule s = schedule(call, choice);
  const auto sizes = [](const index(&numbers)[kAxes], int rank) {
    std::string out;
    for (int a = kAxes - rank; a < kAxes; ++a) out += (out.empty() ? "" : " x ") + std::to_string(numbers[a]);
    return out;
  };
  const int rank = call.axes[0].i > 1 || call.axes[0].k > 1   ? 3
                   : call.axes[1].i > 1 || call.axes[1].k > 1 ? 2
                                                              : 1;
  return "Fourier method: tiles of " + sizes(choice.tiling.size, rank) + " for " +
         sizes(choice.tiling.step, rank) + " results of every phase, vectors of " +
         std::to_string(table_.lanes) + ", " + std::to_string(s.tasks) + " tasks";
}

}  // namespace

template <class T>
std::unique_ptr<Method<T>> make_fourier_method(const Shape& shape, const T* kernel, const Path& path, Use use,
                                               MakeMethod<T> direct) {
  return std::make_unique<FourierMethod<T>>(shape, kernel, path, use, std::move(direct));
}

template std::unique_ptr<Method<float>> make_fourier_method(const Shape&, const float*, const Path&, Use,
                                                            MakeMethod<float>);
template std::unique_ptr<Method<double>> make_fourier_method(const Shape&, const double*, const Path&, Use,
                                                             MakeMethod<double>);

}  // namespace ct
