// The inside of a run: what its schedule, its weights and its tasks know of each other.
#pragma once
#include <algorithm>
#include <vector>

#include "ahead.h"
#include "winograd.h"

namespace ct {

// A part of a sum: some taps of a class, and which source of the points they meet.
struct Part {
  const AxisClass* cls;
  int source, number;
  int taps() const { return int(cls->taps.size()); }
};

// What a destination of a class sums up along one axis.
template <class T, class Visit>
void each_part_along(const ChannelPacking<T>& packing, int axis, const WinogradForm& form, int cls,
                     Visit visit) {
  int source = 0;
  for (const AxisClass& c : packing.residues[axis]) {
    const int taps = int(c.taps.size());
    if (!taps || (packing.shape.kind == Kind::forward && &c != &packing.residues[axis][std::size_t(cls)]))
      continue;
    for (int n = 0; n < form.parts(taps); ++n) visit(Part{&c, source, n});
    ++source;
  }
}
template <class T>
std::vector<Part> list_parts(const ChannelPacking<T>& packing, int axis, const WinogradForm& form, int cls) {
  std::vector<Part> out;
  each_part_along(packing, axis, form, cls, [&](const Part& part) { out.push_back(part); });
  return out;
}

// The points of a combination of forms, and the parts of the sums that meet a point: the order of the
// weights.
template <class Visit>
void each_point(const WinogradForm* const (&form)[kAxes], Visit visit) {
  int p[kAxes];
  for (p[0] = 0; p[0] < form[0]->points; ++p[0])
    for (p[1] = 0; p[1] < form[1]->points; ++p[1])
      for (p[2] = 0; p[2] < form[2]->points; ++p[2]) visit(p);
}
template <class Visit>
void each_part(const WinogradForm* const (&form)[kAxes], const std::vector<Part> (&parts)[kAxes],
               const int (&point)[kAxes], Visit visit) {
  const auto meets = [&](int a, const Part& p) { return form[a]->meets(p.taps(), p.number, point[a]); };
  for (const Part& d : parts[0])
    for (const Part& h : parts[1])
      for (const Part& w : parts[2])
        if (meets(0, d) && meets(1, h) && meets(2, w)) {
          const Part* const part[kAxes] = {&d, &h, &w};
          visit(part);
        }
}

// Whether the weights of a phase are plain sums of taps: along h and w a form of two taps, or one tap.
template <class T>
bool are_plain_sums(const ChannelPacking<T>& p, const WinogradForm* const (&form)[kAxes],
                    const std::vector<Part> (&parts)[kAxes]) {
  bool sums = p.shape.kind == Kind::forward;
  for (int a = 0; a < kAxes; ++a) {
    const bool pairs = a > 0 && form[a] == &kWinogradForms[kPairs] && parts[a].size() == 1;
    sums = sums && parts[a].size() == 1 && (parts[a][0].taps() == 1 || (pairs && parts[a][0].taps() == 2));
  }
  return sums;
}

// Source channels whose taps pass the tiles of all points before the next ones.
constexpr index kAddedChannels = 96;

// The taps of such a phase among the packed weights of a panel, (h, w) in the order of the samples, which
// rise where the shifts of the taps fall.
template <class T>
struct PairTaps {
  const T* tap[4];
  int lines, line;  // of taps
  index slice;

  PairTaps(const ChannelPacking<T>& p, const AxisClass* const (&cls)[kAxes], const T* panel, index slice)
      : lines(int(cls[1]->taps.size())), line(int(cls[2]->taps.size())), slice(slice) {
    const T* const first = panel + p.taps_before(*cls[0], *cls[1], *cls[2]) * slice;
    for (int t = 0; t < count(); ++t) tap[t] = first + (count() - 1 - t) * slice;
  }
  int count() const { return lines * line; }
  static int points(int taps) { return taps > 1 ? kWinogradForms[kPairs].points : 1; }

  // The taps whose sum is the weight of a point: F(2,2) has the first of two, both, and the last one.
  int terms(int h, int w, const T** term) const {
    int count = 0;
    for (int th = h == 2; th <= (lines > 1 && h > 0); ++th)
      for (int tw = w == 2; tw <= (line > 1 && w > 0); ++tw) term[count++] = tap[th * line + tw];
    return count;
  }
};

// Transformed weights: group, panel, class (d, h, w), point, part of its sum, source channel, lane.
template <class T>
struct Winograd<T>::Weights {
  index group = 0;             // elements per group
  std::vector<index> panel;    // where a panel starts, in elements
  std::vector<index> classes;  // products before a combination of classes
  Buffer<T> data{0};
};

template <class T>
struct Winograd<T>::Schedule {
  WinogradAxis axis[kAxes];
  // Strands that a pass computes: those of one variant, or some of them, or all of an axis.
  std::vector<std::vector<int>> groups[kAxes];
  // Variants along w whose tiles meet the same weights in one pass, and are multiplied together.
  std::vector<std::vector<int>> families;
  index block[kAxes], blocks[kAxes];  // in positions
  index batch_block, batch_blocks, passes, pass_run, pass_runs, panel_run, panel_runs, tasks;
  index rounded;  // source channels, rounded up to whole vectors
  index padded;   // the same, spread out for the cache
  index pitch;    // the points of a tile: the channels of all sources, spread out
  index sources;  // whose points are summed
  bool planar;    // destinations of a row leave a block together, transposed
  bool joins;     // or all of a plane, when the last pass over its rows is done
  bool streams;   // destinations go around the caches
  bool copied;    // samples come from a copy of the block's window
  bool apart;     // of the lines that one variant reads for one source, which no other variant or source does
  bool own;       // the window has the samples of one pass alone, along d and h
  bool overlaid;  // nothing reads the window behind the transforms: products take its place
  bool in_place;  // nothing reads the points behind the products, which take their place
  bool by_turns;  // a family is transformed when the one before it has been multiplied
  bool adds_taps;           // weights are sums of taps that the kernels add up
  bool summed[1 << kAxes];  // phases without points, by the axes along which they have forms
  int cut_axes;             // of which every source is multiplied by itself: sums go on from one to the next
  index line_step[kAxes];   // between the lines of the window
  index tail_elements;      // of copies of the last samples, behind whose channels there is no memory
  index window_elements;    // beside a line of zeros
  index point_elements;
  index product_elements, line_elements;  // of one panel and strand, or strand along d if planes leave
  index product_sets, line_sets;          // those that are kept

  index behind_elements() const { return product_sets * product_elements + line_sets * line_elements; }
  index front_elements() const {
    return padded + tail_elements +
           (overlaid ? std::max(window_elements, behind_elements()) : window_elements);
  }
  index elements() const { return front_elements() + point_elements + (overlaid ? 0 : behind_elements()); }
};

template <class T>
struct Winograd<T>::Prepared {
  WinogradChoice choice;
  Schedule plan;
};

template <class T>
class Winograd<T>::Task {
 public:
  // weights: null where kernels add them up.
  Task(const Winograd& method, const Schedule& plan, const Weights* weights, const T* packed,
       const Call<T>& call, index number);
  void run();

 private:
  // The tiles of one combination of variants in this block.
  struct Tiles {
    const Variant* variant[kAxes];
    index count[kAxes], grid[kAxes];  // of destinations, and with what later parts of long phases read
    index all;                        // of the grid, with the images
    index before;                     // tiles of the family's other variants
  };
  // Runs of tiles that have destinations, each `run` long.
  struct Runs {
    const Tiles& tiles;
    bool rows;  // one per row, or per plane
    index count, run;
    index start(index n) const {
      const index *const count = tiles.count, *const grid = tiles.grid;
      const index h = rows ? n % count[1] : 0, plane = rows ? n / count[1] : n;
      return ((plane / count[0] * grid[0] + plane % count[0]) * grid[1] + h) * grid[2];
    }
  };
  // The tiles of variants that are multiplied together.
  struct Family {
    std::vector<Tiles> tiles;
    index all;
    T* points;  // (point, variant, image, d, h, w, source, channel)
    index number;
  };
  // Sources [begin, end) per axis whose products are added up before others are transformed.
  struct Sources {
    index begin[kAxes], end[kAxes];
    bool first, last;
  };
  // Destinations [begin, end) of a strand whose taps [first, last), in the order of the samples, meet the
  // source.
  struct Stretch {
    index begin, end, first, last;
  };

  void copy_window(const Variant* const (&variant)[kAxes], index offset_d, index offset_h);
  void transform(const std::vector<Family>& families, const Sources& sources);
  void transform(const Family& family, const Tiles& tiles, const TileSource* const (&source)[kAxes],
                 T* points);
  void stay_inside(WinogradInput<T>& in, const T** samples, index count) const;
  Runs runs_of(const Family& family, index largest) const;
  ChannelTile<T> product_of(const Panel& panel) const;
  void multiply(const Family& family, const Strand* const (&strand)[kAxes], const Panel& panel,
                const Sources& sources, const T* weights, T* products);
  void multiply_adding(const Family& family, const Strand* const (&strand)[kAxes], const Panel& panel,
                       T* products);
  void restore(const Family& family, const Tiles& tiles, const Panel& panel,
               const Strand* const (&strand)[kAxes], const T* products);
  void sum(const Variant* const (&variant)[kAxes], const Panel& panel, const Strand* const (&strand)[kAxes]);
  void fill(const Panel& panel, const Strand* const (&strand)[kAxes]);
  void run_pass(index number);
  std::vector<Family> list_families(const std::vector<int>* const (&groups)[kAxes]) const;
  bool aim(index panel, index set, const std::vector<int>& along_w, const Strand* const (&strand)[kAxes]);
  void compute(const std::vector<Family>& families, index panel, const std::vector<int>& along_w,
               const Strand* (&strand)[kAxes], const Sources& sources);
  void store_lines(index panel);
  // The sources in the order of the sums: all of them, or one after the other along the cut axes.
  template <class Visit>
  void each_cut(Visit visit) const {
    Sources all, part;
    index parts = 1;
    for (int a = 0; a < kAxes; ++a) {
      all.begin[a] = 0;
      all.end[a] = index(plan_.axis[a].sources.size());
      if (a < plan_.cut_axes) parts *= all.end[a];
    }
    for (index n = 0; n < parts; ++n) {
      part = all;
      part.first = n == 0;
      part.last = n + 1 == parts;
      index rest = n;
      for (int a = plan_.cut_axes - 1; a >= 0; --a) {
        part.begin[a] = rest % all.end[a];
        part.end[a] = part.begin[a] + 1;
        rest /= all.end[a];
      }
      visit(part);
    }
  }

  // Whether destinations are summed up from samples instead of points.
  bool summed(const Variant* const (&variant)[kAxes]) const {
    return plan_.summed[formed_axes({&variant[0]->shape(), &variant[1]->shape(), &variant[2]->shape()})];
  }

  // Cut sums are kept for all panels.
  T* products_of(const Family& family, index panel) const {
    if (plan_.in_place) return family.points;
    const index families = index(plan_.families.size());
    const index set = plan_.cut_axes > 0 ? (panel - panel_begin_) * families + family.number : 0;
    return products_ + set * plan_.product_elements;
  }

  // A destination that no tap reaches.
  void put_bias(T* to, index columns) const {
    if (to_strip_)
      for (index c = 0; c < columns; c += strip_, to += to_strip_) std::copy_n(bias_ + c, strip_, to);
    else
      for (index c = 0; c < columns; ++c) to[c * to_stride_c_] = bias_[c];
  }
  // Destinations [begin, end) of a strand that belong to this block.
  void range(int a, const Strand& s, index& begin, index& end) const {
    begin = std::max<index>(first_[a] - s.lead, 0);
    end = std::min(first_[a] + plan_.block[a] - s.lead, s.count);
  }

  const Schedule& plan_;
  const Weights* const weights_;
  const T* const packed_;  // the taps themselves
  const Call<T>& call_;
  const ChannelPacking<T>& p_;
  const KernelTable<T>& table_;
  index first_[kAxes];  // first position of the block
  index group_, image_, images_, pass_begin_, pass_end_, panel_begin_, panel_end_;
  T *zeros_, *tail_, *window_, *points_, *products_, *lines_;
  const T* src_;      // first image and channel
  const T* src_end_;  // behind the last sample of the array
  // The samples: the source itself, or the window, which starts at source position window_lo_.
  const T* samples_;
  index sample_stride_n_, sample_stride_[kAxes];
  index window_lo_[kAxes] = {0, 0, 0};
  // Where destination 0 of the current strands is and how far the next is: in the array, or in the lines
  // (image, d, h, strip, w, channel) of a planar one, which leave the block transposed; those of whole planes
  // are (image, d, strip, h, w, channel).
  T *to_, *row_, *array_;  // destination 0 of the strands along d and h: here, and in the array
  T* saved_;               // the first line that leaves the block
  index together_;         // positions that leave as one line
  index to_stride_n_, to_step_[kAxes], to_stride_c_, to_stride_w_;
  index strip_, to_strip_;           // channels that leave a line together, and from one strip to the next
  index begin_[kAxes], end_[kAxes];  // destinations of these strands in this block
  index o_begin_, o_end_;            // and of all along w, in the array
  T bias_[2 * 64 / sizeof(T)];
  std::vector<Stretch> stretches_[kAxes];
  std::vector<index> src_offset_, weight_offset_;  // of the parts that meet a point, or of taps
  std::vector<index> part_offset_;                 // of the parts that meet a point of one axis
  Ahead ahead_;                                    // the weights of the next point
};

}  // namespace ct
