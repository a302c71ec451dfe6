// The arithmetic of one axis of the Winograd forms: which tiles of which alignment compute which phase.
//
// Forward, the taps of a residue class of the stride compute a phase of the destinations. The adjoint has one
// phase, the sum over the phases of its source, each with the taps of one class: their points add up before
// they are restored (sources).
//
// Every phase starts its own tiles at its first destination, so that an even number of destinations leaves
// no half tile. Phases whose tiles read the same samples share their points (a variant). Taps that are g
// samples apart, as dilation makes them, turn a phase into g strands of every g-th destination, each an
// ordinary problem on every g-th sample.
#pragma once
#include <algorithm>
#include <numeric>
#include <vector>

#include "schedule.h"

namespace ct {

// Which form serves phases of how many taps, and whether all of one form start their tiles together: the
// first samples are then transformed once, for perhaps one tile more.
struct WinogradCut {
  int form[kWinogradLongest + 1] = {};
  bool together = false;
};

// The points of one alignment. Position p of its grid is the destination p - lead of a strand.
struct Variant {
  int form;
  index base;       // source position of the first sample of tile 0
  index positions;  // of the longest strand
  index extra = 0;  // tiles behind the last one that later parts of long phases read
  const WinogradForm& shape() const { return kWinogradForms[form]; }

  // Tiles of destinations in the block of positions [begin, begin + block), and of transformed samples.
  index tiles(index begin, index block) const {
    const index here = std::min(block, positions - begin);
    return here > 0 ? ceil_div(here, shape().outputs) : 0;
  }
  index grid(index begin, index block) const {
    const index here = tiles(begin, block);
    return here ? here + extra : 0;
  }
};

// Destinations dst0 + j * dst_step of a phase, j < count.
struct Strand {
  int cls;      // index of the class
  int variant;  // -1 where no tap reaches: the bias alone
  index dst0, count, lead;
};

// What the points of a tile are summed over: samples that lie `offset` behind those of the variant, and the
// class whose taps they meet; forward, a strand has one of its own.
struct TileSource {
  index offset;
  int cls;
};

// Per image, along one axis: products, their sums, transformed points, the products of one tile of every
// phase; and without a form the pairs of a sample and a tap, and the taps of every phase.
struct WinogradCost {
  double products = 0, sums = 0, points = 0, weights = 0, direct = 0, taps = 0;

  // Another axis.
  void multiply(const WinogradCost& other) {
    products *= other.products, sums *= other.sums, points *= other.points;
    weights *= other.weights, direct *= other.direct, taps *= other.taps;
  }
};

struct WinogradAxis {
  std::vector<Variant> variants;
  std::vector<Strand> strands;
  std::vector<TileSource> sources;
  index reach = 0;  // largest offset of a source
  index dst_step = 1, sample_step = 1, src_size = 1;
  index extent = 0;  // positions of the longest strand
  index unit = 1;    // blocks are multiples of it

  WinogradCost plain, formed;  // of phases with a single tap, and of the others; adjoints have one phase

  bool has_form() const {
    return std::any_of(variants.begin(), variants.end(), [](const Variant& v) { return v.form != kPlain; });
  }
};

// Distance between the taps of a phase, in samples.
inline index tap_distance(const std::vector<AxisClass>& classes) {
  for (const AxisClass& c : classes)
    if (c.taps.size() > 1) return c.taps[1].shift - c.taps[0].shift;
  return 1;
}

inline int most_taps(const std::vector<AxisClass>& classes) {
  std::size_t most = 0;
  for (const AxisClass& c : classes) most = std::max(most, c.taps.size());
  return int(most);
}

inline WinogradAxis winograd_adjoint_strands(const Axis& axis, const std::vector<AxisClass>& classes,
                                             const WinogradCut& cut) {
  const index distance = tap_distance(classes);
  const int most = most_taps(classes), form = cut.form[most];
  const WinogradForm& shape = kWinogradForms[form];
  WinogradAxis out;
  out.dst_step = distance;
  out.sample_step = axis.s * distance;
  out.src_size = axis.o;
  out.unit = shape.outputs;
  for (std::size_t n = 0; n < classes.size(); ++n) {
    if (classes[n].taps.empty()) continue;
    const index offset = axis.s * classes[n].taps[0].shift + classes[n].residue;
    out.sources.push_back({offset, int(n)});
    out.reach = std::max(out.reach, offset);
  }
  for (index n = 0; n < std::min(distance, axis.i); ++n) {
    const index count = ceil_div(axis.i - n, distance);
    out.strands.push_back({0, int(n), n, count, 0});
    out.variants.push_back({form, axis.s * n - axis.lo, count, (shape.parts(most) - 1) * shape.shift()});
    out.extent = std::max(out.extent, count);
  }
  return out;
}

inline WinogradAxis winograd_forward_strands(const Axis& axis, const std::vector<AxisClass>& classes,
                                             const WinogradCut& cut) {
  const AxisSchedule phases = schedule_axis(Kind::forward, axis, classes);
  const index distance = tap_distance(classes);
  WinogradAxis out;
  out.sources = {{0, -1}};
  out.dst_step = phases.dst_step * distance;
  out.sample_step = distance;
  out.src_size = axis.i;
  std::vector<index> bases;
  for (const Phase& p : phases.phases)
    for (index n = 0; n < std::min(distance, p.count); ++n) {
      const index taps = index(p.cls->taps.size());
      Strand s{int(p.cls - classes.data()), -1, p.dst0 + n * phases.dst_step, ceil_div(p.count - n, distance),
               0};
      index base = 0;
      if (taps) {
        const int form = cut.form[taps];
        base = p.source0 + n - p.cls->taps.back().shift;
        for (std::size_t v = 0; v < out.variants.size() && s.variant < 0; ++v) {
          Variant& known = out.variants[v];
          const bool same = cut.together ? (base - known.base) % distance == 0 : base == known.base;
          if (known.form != form || !same) continue;
          s.variant = int(v);
          known.base = std::min(known.base, base);
        }
        if (s.variant < 0) {
          s.variant = int(out.variants.size());
          out.variants.push_back({form, base, 0});
        }
        Variant& v = out.variants[std::size_t(s.variant)];
        v.extra = std::max<index>(v.extra, (v.shape().parts(int(taps)) - 1) * v.shape().shift());
      }
      bases.push_back(base);
      out.strands.push_back(s);
    }
  for (std::size_t n = 0; n < out.strands.size(); ++n) {
    Strand& s = out.strands[n];
    if (s.variant >= 0) {
      Variant& v = out.variants[std::size_t(s.variant)];
      s.lead = (bases[n] - v.base) / distance;
      v.positions = std::max(v.positions, s.count + s.lead);
      out.unit = std::lcm(out.unit, index(v.shape().outputs));
    }
    out.extent = std::max(out.extent, s.count + s.lead);
  }
  return out;
}

// classes: the taps by residues of the stride, in either direction.
inline WinogradAxis winograd_axis(Kind kind, const Axis& axis, const std::vector<AxisClass>& classes,
                                  const WinogradCut& cut) {
  WinogradAxis out = kind == Kind::forward ? winograd_forward_strands(axis, classes, cut)
                                           : winograd_adjoint_strands(axis, classes, cut);
  const auto cost = [&](const Variant& v) -> WinogradCost& {
    return kind == Kind::forward && v.form == kPlain ? out.plain : out.formed;
  };
  for (const Variant& v : out.variants)
    cost(v).points += double(v.grid(0, v.positions) * v.shape().points * index(out.sources.size()));
  for (const Strand& s : out.strands) {
    if (s.variant < 0) continue;
    const Variant& v = out.variants[std::size_t(s.variant)];
    const double tiles = double(v.tiles(0, v.positions));
    int products = 0;
    for (const TileSource& source : out.sources) {
      const int cls = source.cls < 0 ? s.cls : source.cls;
      const index taps = index(classes[std::size_t(cls)].taps.size());
      products += v.shape().products(int(taps));
      cost(v).taps += double(taps);
      cost(v).direct += double(s.count * taps);
    }
    cost(v).products += tiles * products;
    cost(v).sums += tiles * v.shape().points;
    cost(v).weights += products;
  }
  return out;
}

}  // namespace ct
