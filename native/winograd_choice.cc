// Which forms serve an image, if any: the cost of all combinations, counted in vector operations.
#include <algorithm>

#include "winograd.h"

namespace ct {
namespace {

// Vector operations beside the products, measured: per vector of transformed samples, per vector of
// products, and per vector of weights, which come from a farther cache the fewer tiles share them. A kernel
// that is used once pays for the transform of its weights as well, or for the order of its taps.
constexpr double kInput = 6, kOutput = 17, kWeight = 4, kPack = 56, kPackTap = 40;

// These choose among the forms. Beside the direct sum, small images and sums of few channels show what
// transforms cost in full, which is the more the more axes have forms: per image and group, and per axis and
// vector, of which the last one need not be filled. Among the forms the same numbers would prefer larger
// tiles, whose weights are more.
constexpr double kStart = 2500, kInputPerAxis = 8, kOutputPerAxis = 8.5;

// Channels last, the taps of a large adjoint are added up in runs, and its sources read where they lie: so
// much of the cost of other direct sums, for panels of so many bytes.
constexpr double kLongSums = 0.65;
constexpr index kLongSumBytes = 512 << 10;

// Weights that no third cache holds come from memory, which two threads wait for at this many vector
// operations per vector, unless the products take longer; an adjoint, whose sums go on from source to source,
// waits beside them. Constants: the choice, and with it the bits, must not depend on the machine.
constexpr double kFarWeight = 16, kFarWeightBeside = 5, kThirdCache = 32 << 20;

// The cost with what weights from memory add.
template <class T>
double with_waiting(double cost, double weights, const ChannelPacking<T>& p) {
  if (weights * double(p.table->lanes) * sizeof(T) <= kThirdCache) return cost;
  return p.shape.kind == Kind::forward ? std::max(cost, weights * kFarWeight)
                                       : cost + weights * kFarWeightBeside;
}

// Transformed weights of more bytes are not kept where they are sums of few taps and share few tiles: kernels
// add up the taps in less time than so many numbers take on their way through the caches.
constexpr double kKeptWeights = 8 << 20;

// Kernels of fewer positions would add up the same taps too often.
constexpr int kAddingPositions = 8;

// Sums of few products have so little rounding that rough forms would stand out.
constexpr index kFewProducts = 32;

// Sums of very many parts leave no memory for more than a few tiles.
constexpr index kMostSources = 64;

// Phases of the source that an adjoint sums up: those with as many taps per axis as the form, or with any.
template <class T>
index source_count(const ChannelPacking<T>& p, bool whole) {
  index count = 1;
  if (p.shape.kind == Kind::adjoint)
    for (const auto& classes : p.residues) {
      const int fewest = whole ? most_taps(classes) : 1;
      count *= std::count_if(classes.begin(), classes.end(),
                             [&](const AxisClass& c) { return int(c.taps.size()) >= fewest; });
    }
  return count;
}

// Products in the shortest sums.
template <class T>
bool few_products(const ChannelPacking<T>& p) {
  return source_count(p, true) * p.src_channels < kFewProducts;
}

// The points of so many tiles of an adjoint, the fewest that keep the processor busy, may need so much of the
// arrays.
constexpr double kFewestTiles = 8, kPointShare = 1 / 4.;

struct Option {
  WinogradCut cut;
  WinogradAxis axis;
  int rough;

  // Transformed points of the largest tile, of all sources.
  double tile_points() const {
    int most = 0;
    for (const Variant& v : axis.variants) most = std::max(most, v.shape().points);
    return double(most) * double(axis.sources.size());
  }
  // Tiles of an image.
  index tiles() const {
    index most = 1;
    for (const Variant& v : axis.variants) most = std::max(most, v.tiles(0, v.positions));
    return most;
  }
  // Whether all weights are taps or sums of two: phases of one tap without a form and of two by F(2,2). The
  // same rule as that of are_plain_sums in winograd_run.h.
  bool adds_pairs(const std::vector<AxisClass>& classes) const {
    return std::all_of(classes.begin(), classes.end(), [&](const AxisClass& c) {
      return c.taps.size() < 2 || (c.taps.size() == 2 && cut.form[2] == kPairs);
    });
  }
};

// Forms for phases of so many taps. Of those that need several parts only the best of each accuracy is worth
// a try.
std::vector<int> candidates(int taps, int most_rough) {
  std::vector<int> out;
  int best[kWinogradMostRough + 1] = {};
  const auto cost = [&](int form) {
    return double(kWinogradForms[form].products(taps)) / kWinogradForms[form].outputs;
  };
  for (int form = 0; form < kWinogradFormCount; ++form) {
    const WinogradForm& f = kWinogradForms[form];
    if (!f.serves(taps) || f.rough > most_rough) continue;
    if (f.taps == taps)
      out.push_back(form);
    else if (cost(form) < cost(best[f.rough]))
      best[f.rough] = form;
  }
  double least = taps;
  for (int form : best) {
    if (form != kPlain && cost(form) < least) out.push_back(form);
    least = std::min(least, cost(form));
  }
  return out;
}

std::vector<Option> options(Kind kind, const Axis& axis, const std::vector<AxisClass>& classes,
                            bool may_share, int most_rough) {
  bool has[kWinogradLongest + 1] = {};
  for (const AxisClass& c : classes) has[c.taps.size()] = kind == Kind::forward;
  has[most_taps(classes)] = true;  // one form for all whose points add up
  std::vector<WinogradCut> cuts(1);
  for (int taps = 2; taps <= kWinogradLongest; ++taps) {
    if (!has[taps]) continue;
    std::vector<WinogradCut> longer;
    for (const WinogradCut& cut : cuts)
      for (int form : candidates(taps, most_rough)) {
        longer.push_back(cut);
        longer.back().form[taps] = form;
      }
    cuts = std::move(longer);
  }
  std::vector<Option> out;
  for (WinogradCut& cut : cuts) {
    int rough = 0;
    for (int form : cut.form) rough = std::max(rough, kWinogradForms[form].rough);
    for (bool together : {false, true}) {
      cut.together = together;
      WinogradAxis cut_axis = winograd_axis(kind, axis, classes, cut);
      // Sharing is an option where it saves a variant.
      if (together && (!may_share || cut_axis.variants.size() >= out.back().axis.variants.size())) continue;
      out.push_back({cut, std::move(cut_axis), rough});
    }
  }
  return out;
}

}  // namespace

template <class T>
bool winograd_applies(const ChannelPacking<T>& p) {
  if (source_count(p, false) > kMostSources) return false;
  bool any = false;
  for (const auto& classes : p.residues) {
    if (most_taps(classes) > kWinogradLongest) return false;
    any |= most_taps(classes) > 1;
  }
  return any;
}

template <class T>
WinogradChoice choose_winograd(const ChannelPacking<T>& p, const Axis (&axes)[kAxes], Use use) {
  double vectors = 0;
  for (const Panel& panel : p.panels) vectors += panel.vectors;
  const double channels = double(p.src_channels), lanes = p.table->lanes;
  const double src_vectors = double(ceil_div(p.src_channels, p.table->lanes));
  const int most_rough = few_products(p) ? 0 : kWinogradMostRough;
  std::vector<Option> all[kAxes];
  WinogradChoice best;
  best.direct_products = 1;
  for (int a = 0; a < kAxes; ++a) {
    // Destinations of planar rows leave a block together, so all of its strands end at the same place.
    const bool may_share = p.shape.kind == Kind::forward && (a < 2 || !p.shape.channels_first);
    all[a] = options(p.shape.kind, axes[a], p.residues[a], may_share, most_rough);
    double taps = 0;
    for (const Phase& phase : schedule_axis(p.shape.kind, axes[a], p.classes[a]).phases)
      taps += double(phase.count) * double(phase.cls->taps.size());
    best.direct_products *= taps;
  }
  const double taps = double(p.shape.taps()) * vectors * channels;
  const bool long_sums = p.shape.kind == Kind::adjoint && !p.shape.channels_first &&
                         p.shape.taps() > p.shape.k[2] && p.panels[0].vectors == 2 &&
                         p.elements(p.panels[0]) * index(sizeof(T)) > kLongSumBytes;
  best.direct = with_waiting(
      best.direct_products * vectors * channels * (long_sums ? kLongSums : 1) + kWeight * taps, taps, p);
  const double weight = kWeight + (use == Use::once ? kPack : 0);
  double least = -1;
  double inputs = double(p.shape.c_in), outputs = double(p.shape.c_out);
  for (const Axis& axis : axes) {
    inputs *= double(axis.i);
    outputs *= double(axis.o);
  }
  const double arrays =
      inputs + outputs + double(p.shape.taps() * p.shape.c_in) * double(p.shape.c_out / p.shape.groups);
  const bool may_add = p.shape.kind == Kind::forward && most_taps(p.residues[0]) < 2 &&
                       p.table->max_positions[1] >= kAddingPositions;
  bool best_fits = false;
  for (const Option& d : all[0])
    for (const Option& h : all[1])
      for (const Option& w : all[2]) {
        if (d.rough + h.rough + w.rough > most_rough) continue;
        const WinogradAxis* const axis[kAxes] = {&d.axis, &h.axis, &w.axis};
        int all_formed = 0;
        for (int a = 0; a < kAxes; ++a) all_formed |= int(axis[a]->formed.products > 0) << a;
        WinogradCost costs[1 << kAxes];
        double formed_weights = 0;
        for (int axes = 0; axes < 1 << kAxes; ++axes) {
          WinogradCost& c = costs[axes] = {1, 1, 1, 1, 1, 1};
          for (int a = 0; a < kAxes; ++a) c.multiply(axes >> a & 1 ? axis[a]->formed : axis[a]->plain);
          if (axes > 0 && c.products > 0) formed_weights += c.weights * vectors * channels;
        }
        const index tiles = d.tiles() * h.tiles() * w.tiles(), most = p.table->max_positions[1];
        const double bytes = formed_weights * lanes * sizeof(T) * double(p.shape.groups);
        const bool adds_taps = may_add && h.adds_pairs(p.residues[1]) && w.adds_pairs(p.residues[2]) &&
                               (use == Use::once || (tiles < kManyTiles && bytes > kKeptWeights));
        double products = 0, cost = 0, weights = 0, more = kStart;
        bool summed[1 << kAxes], sums = false, saves = false;
        for (int axes = 0; axes < 1 << kAxes; ++axes) {
          const WinogradCost& c = costs[axes];
          summed[axes] = p.shape.kind == Kind::forward;
          if (c.products == 0) continue;  // there are no such phases
          const double direct = vectors * channels * (c.direct + c.taps * kWeight);
          // Of two taps, one weight is their sum and two are the taps.
          double terms = c.taps;
          for (int a = 1; a < kAxes; ++a) terms *= axes >> a & 1 ? 2 : 1;
          const double of_weights = adds_taps ? c.taps * (use == Use::once ? kWeight + kPackTap : kWeight) +
                                                    (terms - c.weights) * double(ceil_div(tiles, most))
                                              : c.weights * weight;
          const double with_form = vectors * (c.products * channels + c.sums * kOutput) +
                                   c.points * kInput * channels / lanes + of_weights * vectors * channels;
          // Who asks for forms gets those that save most.
          const bool asked = p.shape.algorithm == Algorithm::winograd && axes == all_formed;
          summed[axes] = summed[axes] && (axes == 0 || (direct <= with_form && !asked));
          (summed[axes] ? sums : saves) = true;
          if (!summed[axes]) {
            int formed = 0;
            for (int a = 0; a < kAxes; ++a) formed += (axes >> a & 1) && axis[a]->has_form();
            more += formed * (c.points * kInputPerAxis * src_vectors + c.sums * kOutputPerAxis * vectors) -
                    (c.points * kInput * channels / lanes + c.sums * kOutput * vectors);
          }
          cost += summed[axes] ? direct : with_form;
          products += summed[axes] ? c.direct : c.products;
          weights += (summed[axes] ? c.taps : c.weights) * vectors * channels;
        }
        cost = with_waiting(cost, weights, p);
        const double tile = d.tile_points() * h.tile_points() * w.tile_points() * channels;
        const bool fits = p.shape.kind == Kind::forward || kFewestTiles * tile <= kPointShare * arrays;
        if (least >= 0 && (fits == best_fits ? cost >= least : best_fits)) continue;
        best_fits = fits;
        best.cut[0] = d.cut, best.cut[1] = h.cut, best.cut[2] = w.cut;
        std::copy(std::begin(summed), std::end(summed), best.summed);
        best.sums = sums;
        best.saves = saves;
        best.adds_taps = adds_taps;
        least = cost;
        best.cost = cost + more;
        best.products = products;
      }
  return best;
}

template bool winograd_applies(const ChannelPacking<float>&);
template bool winograd_applies(const ChannelPacking<double>&);
template WinogradChoice choose_winograd(const ChannelPacking<float>&, const Axis (&)[kAxes], Use);
template WinogradChoice choose_winograd(const ChannelPacking<double>&, const Axis (&)[kAxes], Use);

}  // namespace ct
