// How a call is cut into blocks, passes and tasks, and what each keeps in scratch memory.
#include <algorithm>

#include "winograd_run.h"

namespace ct {

// Tiles that share the weights on their way through the caches, where there are as many, and the fewest that
// blocks are cut down to. Kernels may take them in several steps, which find the weights close by.
constexpr index kSharingTiles = 14, kFewestTiles = 8;

// Products of a piece of a cut sum, which pay for storing and loading the sums.
constexpr index kFewestTerms = 64;

// What beside the products costs time, measured, in products: a vector of weights from behind the second
// cache and from within, one of points from the source or from a copy of it, a sum that goes on in another
// piece, and a vector that is written or read behind the second cache.
constexpr double kFarWeight = 8, kNearWeight = 1, kPoint = 36, kCopiedPoint = 56, kNearSum = 6,
                 kFarWrite = 16, kFarRead = 2;

namespace {

// Whether no sum needs several parts, which read the tiles behind their own.
bool whole_tiles(const WinogradAxis& axis) {
  return std::all_of(axis.variants.begin(), axis.variants.end(), [](const Variant& v) { return !v.extra; });
}

}  // namespace

template <class T>
class Winograd<T>::Scheduler {
 public:
  Scheduler(const Winograd& method, const Call<T>& call, const WinogradChoice& choice)
      : use_(method.use_),
        p_(method.packing_),
        call_(call),
        choice_(choice),
        threads_(thread_count(call.threads)),
        lanes_(p_.table->lanes),
        panels_(index(p_.panels.size())),
        width_(panels_ * 2 * lanes_),
        // Transformed points and products of a block stay in the second cache beside the weights that pass
        // over them, and all scratch memory stays below a quarter of the arrays.
        budget_(block_budget() / index(sizeof(T)) * 3 / 2),
        share_(scratch_share(p_.shape, call)),
        most_(share_ + share_ / 4 - 1),
        burden_(std::max(most_, (64 << 10) / index(sizeof(T)))) {
    outline();
  }

  // The best way to cut. Sums over many sources need not have the points of all at once: cut between them,
  // and perhaps with the panels shared out, blocks have more tiles for the weights that come from afar.
  Cuts best() {
    Cuts best{0, 1, kManyTiles * std::clamp<index>(l2_bytes() >> 20, 1, 2)};
    if (s_.sources == 1) return best;
    const Schedule outlined = s_;
    double least = 0;
    bool fits = false;
    for (int axes = 0; axes <= kAxes && (axes == 0 || may_cut(axes)); ++axes)
      for (index parts = 1; parts <= (axes > 0 && panels_ > 1 ? 2 : 1); ++parts)
        for (const index tiles : {kManyTiles, 2 * kManyTiles}) {
          arrange({axes, parts, tiles});
          const double here = cost();
          const bool also = s_.elements() <= burden_;
          if (least == 0 || (also == fits ? here < least : also)) {
            best = {axes, parts, tiles};
            fits = also;
            least = here;
          }
          s_ = outlined;
        }
    return best;
  }

  Schedule with(const Cuts& cuts) {
    arrange(cuts);
    return std::move(s_);
  }

 private:
  // What does not depend on the cuts.
  void outline() {
    s_.rounded = ceil_div(p_.src_channels, lanes_) * lanes_;
    s_.padded = spread<T>(s_.rounded);
    s_.planar = p_.shape.channels_first && call_.dst.stride_c != 1 && call_.dst.stride[2] == 1;
    // Vectors that reach beyond the channels of a sample read those of the next one, which no product meets.
    // Behind the last samples there is no memory: copies stand for them.
    const bool reaches = s_.rounded != p_.src_channels;
    s_.copied = call_.src.stride_c != 1 || (reaches && !samples_in_order());
    s_.tail_elements = reaches && !s_.copied ? (s_.rounded / p_.src_channels + 1) * s_.rounded : 0;
    s_.passes = s_.sources = 1;
    for (int a = 0; a < kAxes; ++a) {
      WinogradAxis& axis = s_.axis[a] =
          winograd_axis(p_.shape.kind, call_.axes[a], p_.residues[a], choice_.cut[a]);
      s_.sources *= index(axis.sources.size());
      auto& groups = s_.groups[a];
      if (a == 2 && s_.planar) groups.resize(1);
      for (int variant = -1; variant < int(axis.variants.size()); ++variant) {
        std::vector<int> members;
        for (int n = 0; n < int(axis.strands.size()); ++n)
          if (axis.strands[std::size_t(n)].variant == variant) members.push_back(n);
        if (members.empty()) continue;
        if (a == 2 && s_.planar)
          groups[0].insert(groups[0].end(), members.begin(), members.end());
        else
          groups.push_back(std::move(members));
      }
      s_.passes *= index(groups.size());
      s_.block[a] = std::max(ceil_div(axis.extent, axis.unit), index(1)) * axis.unit;
    }

    // Neighbours of a phase that lie pages apart are no stream that the processor would see.
    const bool far = s_.axis[2].dst_step * call_.dst.stride[2] * index(sizeof(T)) >= 4096;
    s_.streams =
        (s_.planar || call_.dst.stride_c == 1) && worth_streaming(call_.dst, p_.dst_channels, far ? 2 : 4);
    s_.pitch = spread<T>(s_.sources * s_.rounded);

    // Where the taps are several samples apart, or an adjoint sums up the phases of a stride, every line of
    // the source belongs to one variant and one source: each pass copies its own, and the window has no
    // others.
    s_.apart = s_.groups[2].size() == 1;
    for (int a = 0; a < 2; ++a)
      s_.apart = s_.apart && index(s_.axis[a].variants.size()) <= tap_distance(p_.residues[a]);
    for (int a = 0; a < kAxes; ++a) s_.line_step[a] = s_.apart && a < 2 ? s_.axis[a].sample_step : 1;

    // A pass copies its own window then, which only direct sums read again.
    std::copy(std::begin(choice_.summed), std::end(choice_.summed), s_.summed);
    s_.overlaid = s_.copied && s_.apart && !choice_.sums;

    find_families();
    weights_ = s_.sources * p_.src_channels * width_;
    for (const WinogradAxis& axis : s_.axis) {
      int points = 0;
      for (const Variant& v : axis.variants) points = std::max(points, v.shape().points);
      weights_ *= points;
    }
    s_.adds_taps = choice_.adds_taps;
    s_.own = s_.by_turns = s_.joins = false;
    s_.cut_axes = 0;
    s_.batch_block = 1;
    s_.in_place = panels_ == 1 && s_.pitch >= 2 * lanes_ && !s_.adds_taps;
    for (const WinogradAxis& axis : s_.axis)
      s_.in_place = s_.in_place && whole_tiles(axis) && axis.strands.size() == axis.variants.size();
  }

  // Whether the samples follow one another in memory, in the order of the axes, without overlaps.
  bool samples_in_order() const {
    const View<const T>& src = call_.src;
    index reach = src.c;
    const auto add = [&](index size, index stride) {
      const bool in_order = size < 2 || stride >= reach;
      if (size > 1) reach += (size - 1) * stride;
      return in_order;
    };
    return add(src.size[2], src.stride[2]) && add(src.size[1], src.stride[1]) &&
           add(src.size[0], src.stride[0]) && add(src.n, src.stride_n);
  }

  // In a pass that has all strands along w: those of one class differ in their samples alone.
  void find_families() {
    const WinogradAxis& w = s_.axis[2];
    std::vector<std::vector<int>> classes(w.variants.size());
    for (const Strand& strand : w.strands)
      if (strand.variant >= 0) classes[std::size_t(strand.variant)].push_back(strand.cls);
    const bool join = s_.planar && whole_tiles(s_.axis[0]) && whole_tiles(s_.axis[1]) && whole_tiles(w);
    for (int v = 0; v < int(w.variants.size()); ++v) {
      const auto known =
          std::find_if(s_.families.begin(), s_.families.end(), [&](const std::vector<int>& family) {
            const std::size_t first = std::size_t(family[0]), here = std::size_t(v);
            return join && w.variants[first].form == w.variants[here].form && classes[first] == classes[here];
          });
      if (known != s_.families.end())
        known->push_back(v);
      else
        s_.families.push_back({v});
    }
  }

  // Whether the sums of a point may be cut between the sources of the first axes and still add in one order:
  // the parts of an axis that comes before another would have to come after it.
  bool may_cut(int axes) const {
    bool parts = true;
    for (int a = 0; a + 1 < axes; ++a) parts = parts && whole_tiles(s_.axis[a]);
    index terms = s_.rounded;
    for (int a = axes; a < kAxes; ++a) terms *= index(s_.axis[a].sources.size());
    return parts && s_.sources > 1 && terms >= kFewestTerms;
  }

  void cut_sums(int axes) {
    s_.cut_axes = axes;
    s_.in_place = s_.overlaid = false;
    index sources = 1;
    for (int a = axes; a < kAxes; ++a) sources *= index(s_.axis[a].sources.size());
    s_.pitch = spread<T>(sources * s_.rounded);
  }

  // Everything else.
  void arrange(const Cuts& cuts) {
    if (cuts.axes > 0) cut_sums(cuts.axes);
    s_.panel_run = ceil_div(panels_, cuts.panel_parts);
    cut_blocks(cuts.tiles);
    take_images(s_.sources > 1 ? cuts.tiles : kManyTiles);
    share_out();
    join_planes();
    ease();
  }

  // Strands of one variant along an axis, at most.
  index most_strands(int a) const {
    std::size_t most = 0;
    for (const auto& members : s_.groups[a]) most = std::max(most, members.size());
    return index(most);
  }

  // Tiles and points of the largest pass of a block, and the tiles of the smallest.
  index count() {
    fewest_tiles_ = s_.batch_block;
    index tiles = s_.batch_block, points = s_.batch_block, products = s_.batch_block;
    index window = s_.batch_block * s_.padded, lines = s_.batch_block * 2 * lanes_;
    for (int a = 0; a < kAxes; ++a) {
      index most_tiles = 0, fewest = INT64_MAX, most = 0, all = 0, samples = 0, lo = INT64_MAX,
            hi = INT64_MIN;
      const bool apart = s_.apart && a < 2, own = apart || (s_.own && a < 2);
      const auto add = [&](index here, int shape) {
        most_tiles = std::max(most_tiles, here);
        fewest = std::min(fewest, here);
        most = std::max(most, here * shape);
        all += here * shape;
      };
      if (a == 2)
        for (const std::vector<int>& family : s_.families) {
          index here = 0;
          for (const int v : family) here += s_.axis[a].variants[std::size_t(v)].grid(0, s_.block[a]);
          add(here, s_.axis[a].variants[std::size_t(family[0])].shape().points);
        }
      for (const Variant& v : s_.axis[a].variants) {
        const index here = v.grid(0, s_.block[a]);
        if (a < 2) add(here, v.shape().points);
        const index stop = v.base + (apart ? 0 : s_.axis[a].reach) +
                           s_.axis[a].sample_step * ((here - 1) * v.shape().outputs + v.shape().points);
        lo = own ? v.base : std::min(lo, v.base);
        hi = own ? stop : std::max(hi, stop);
        samples = std::max(samples, std::min(hi - lo, s_.axis[a].src_size));
      }
      tiles *= most_tiles;
      fewest_tiles_ *= std::min(fewest, most_tiles);  // none where there is nothing to compute
      products *= most;
      points *= a == 2 && s_.planar && !s_.by_turns ? all : most;
      window *= ceil_div(samples, s_.line_step[a]);
      lines *= s_.block[a] * (a == 2 || (a == 1 && s_.joins) ? s_.axis[a].dst_step : 1);
    }
    s_.window_elements = s_.copied ? window : 0;
    s_.point_elements = points * s_.pitch;
    s_.product_elements = s_.in_place ? 0 : products * 2 * lanes_;
    s_.product_sets = s_.cut_axes > 0 ? s_.panel_run * index(s_.families.size()) : 1;
    s_.line_elements = s_.planar ? lines : 0;
    s_.line_sets = s_.by_turns ? s_.panel_run * most_strands(0) * most_strands(1)
                   : s_.joins  ? s_.panel_run * most_strands(0)
                               : 1;
    return tiles_ = tiles;
  }

  bool halve() {
    for (int a = 0; a < kAxes; ++a)
      if (s_.block[a] > s_.axis[a].unit) {
        s_.block[a] = ceil_div(ceil_div(s_.block[a], 2), s_.axis[a].unit) * s_.axis[a].unit;
        return true;
      }
    return false;
  }

  // Whether families may have their points one after the other, unless that would end what overlaid windows
  // or products in place save.
  bool may_take_turns() const {
    return s_.planar && !s_.by_turns && s_.families.size() > 1 && !s_.overlaid && !s_.in_place;
  }

  void cut_blocks(index many) {
    // All of a quarter of the arrays is worth having where strands share their tiles, since short blocks copy
    // more of their borders, and where the weights would pass over fewer tiles than share them well.
    const bool shares_tiles = s_.families.size() < s_.axis[2].variants.size();
    // Before a block is cut, families take turns.
    bool tries_turns = may_take_turns();
    for (;;) {
      count();
      const index points = s_.point_elements + s_.product_sets * s_.product_elements;
      const bool fills_cache = fewest_tiles_ > many && points > budget_;
      const bool fills_share =
          tiles_ > kFewestTiles && s_.elements() > (shares_tiles || tiles_ < many ? most_ : share_);
      if (!fills_cache && !fills_share) return;
      if (tries_turns) {
        const index before = s_.elements();
        tries_turns = false;
        s_.by_turns = true;
        count();
        s_.by_turns = s_.elements() < before;
      } else if (!halve()) {
        return;
      }
    }
  }

  void take_images(index many) {
    const index image = std::max<index>(s_.point_elements + s_.product_sets * s_.product_elements, 1);
    const index image_tiles = std::max<index>(count(), 1);
    bool whole = true;
    for (int a = 0; a < kAxes; ++a) whole &= s_.block[a] >= s_.axis[a].extent;
    if (whole)
      s_.batch_block = std::clamp<index>(std::max(budget_ / image, ceil_div(many, image_tiles)), 1,
                                         std::max<index>(call_.src.n, 1));
    const index wished = s_.batch_block;
    const auto fit = [&] {
      s_.batch_block = wished;
      while (s_.batch_block > 1 && count() > kSharingTiles &&
             s_.elements() > (s_.sources > 1 && tiles_ - image_tiles < many ? most_ : share_))
        --s_.batch_block;
      return s_.batch_block;
    };
    const index images = fit();
    // Images that find no room may find it where families take turns.
    if (images < wished && may_take_turns()) {
      s_.by_turns = true;
      s_.by_turns = fit() > images;
      if (!s_.by_turns) s_.batch_block = images;
    }
    // All blocks are alike.
    s_.batch_block = ceil_div(call_.src.n, std::max<index>(ceil_div(call_.src.n, s_.batch_block), 1));
  }

  index blocks() {
    s_.batch_blocks = ceil_div(call_.src.n, s_.batch_block);
    index all = s_.batch_blocks * p_.shape.groups;
    for (int a = 0; a < kAxes; ++a) {
      s_.blocks[a] = ceil_div(s_.axis[a].extent, s_.block[a]);
      all *= s_.blocks[a];
    }
    return all;
  }

  // So many tasks, if there are strands for them, instead of one pass for all of a variant.
  void share_out_strands(index parts) {
    for (int a = 0; a < 2 && s_.pass_run == 1; ++a) {
      const index some = ceil_div(most_strands(a), std::min(parts, most_strands(a)));
      parts = ceil_div(parts, ceil_div(most_strands(a), some));
      std::vector<std::vector<int>> cut;
      for (const auto& members : s_.groups[a])
        for (std::size_t n = 0; n < members.size(); n += std::size_t(some))
          cut.emplace_back(members.begin() + std::ptrdiff_t(n),
                           members.begin() + std::ptrdiff_t(std::min(n + std::size_t(some), members.size())));
      s_.passes = s_.passes / index(s_.groups[a].size()) * index(cut.size());
      s_.groups[a] = std::move(cut);
    }
  }

  void share_out() {
    // Each task transforms the points that it needs, some of them anew, but those of few panels keep fewer
    // lines of families that take turns.
    const index wanted = threads_ > 1 ? (s_.by_turns ? 4 : 2) * threads_ : 1;
    s_.pass_run = std::max<index>(s_.passes, 1);  // none where an axis has no destination
    index tasks = blocks();
    const index parts = ceil_div(panels_, s_.panel_run);
    if (tasks > 0 && tasks * parts < wanted) {
      s_.pass_run = ceil_div(s_.passes, std::min(s_.passes, ceil_div(wanted, tasks * parts)));
      const index runs = ceil_div(s_.passes, s_.pass_run);
      while (tasks * runs * parts < wanted && count() >= 4 * kSharingTiles && halve()) tasks = blocks();
      if (tasks * runs * parts < wanted)
        s_.panel_run = ceil_div(panels_, std::min(panels_, ceil_div(wanted, tasks * runs)));
      share_out_strands(ceil_div(wanted, tasks * runs * ceil_div(panels_, s_.panel_run)));
    }
    // Where many tiles share them, weights are better kept.
    if (use_ != Use::once && count() >= kManyTiles) s_.adds_taps = false;
    s_.pass_runs = ceil_div(s_.passes, s_.pass_run);
    s_.panel_runs = ceil_div(panels_, s_.panel_run);
    s_.tasks = tasks * s_.pass_runs * s_.panel_runs;
    s_.own = s_.copied && !s_.apart && s_.pass_run == 1 && s_.passes > 1;
    count();
  }

  // Rows that are no whole vectors leave with the others of their plane, where a task has all of them and
  // memory that the windows of its passes leave alone.
  void join_planes() {
    const index rows = index(s_.groups[1].size());
    const bool whole_planes = s_.block[1] >= s_.axis[1].extent && s_.block[2] >= s_.axis[2].extent &&
                              rows > 1 && s_.pass_run % rows == 0 && call_.dst.size[1] >= s_.axis[1].dst_step;
    if (!s_.planar || s_.by_turns || !whole_planes || call_.dst.size[2] % lanes_ == 0 ||
        call_.dst.stride[1] != call_.dst.size[2])
      return;
    const Schedule before = s_;
    s_.joins = true;
    s_.overlaid = false;
    count();
    if (s_.elements() > burden_) s_ = before;
  }

  // Where even the fewest tiles are a burden, families take turns, then sources.
  void ease() {
    const auto tries = [&](auto change) {
      const Schedule before = s_;
      change();
      count();
      if (s_.elements() >= before.elements()) s_ = before;
    };
    if (s_.elements() > burden_ && s_.planar && s_.families.size() > 1)
      tries([&] {
        s_.by_turns = true;
        s_.overlaid = false;
      });
    for (int axes = s_.cut_axes + 1; axes <= kAxes && s_.elements() > burden_ && may_cut(axes); ++axes)
      tries([&] { cut_sums(axes); });
  }

  // Of these tasks, beside that of the products alone.
  double cost() const {
    if (s_.tasks == 0 || tiles_ == 0) return 1;
    index parts = 1;
    for (int a = 0; a < s_.cut_axes; ++a) parts *= index(s_.axis[a].sources.size());
    const double l2 = double(l2_bytes()) / sizeof(T);
    const double missed = std::clamp(double(s_.elements()) / l2 - 0.4, 0.0, 1.0);
    const double weights = (double(weights_) > l2 ? kFarWeight : kNearWeight) / double(tiles_);
    const double points = (s_.copied ? kCopiedPoint : kPoint) * double(s_.panel_runs) / double(width_) +
                          missed * (kFarWrite / double(s_.panel_run) + kFarRead) / double(2 * lanes_);
    const double sums =
        (kNearSum + missed * (kFarWrite + kFarRead)) * double(parts) / double(s_.sources * s_.rounded);
    return (1 + weights + points + sums) * double(ceil_div(s_.tasks, threads_) * threads_) / double(s_.tasks);
  }

  const Use use_;
  const ChannelPacking<T>& p_;
  const Call<T>& call_;
  const WinogradChoice& choice_;
  const int threads_;
  const index lanes_, panels_, width_, budget_, share_, most_, burden_;
  Schedule s_;
  index weights_ = 0;  // elements of a group, transformed
  index tiles_ = 0, fewest_tiles_ = 0;
};

template <class T>
typename Winograd<T>::Schedule Winograd<T>::schedule(const Call<T>& call,
                                                     const WinogradChoice& choice) const {
  Scheduler scheduler(*this, call, choice);
  return scheduler.with(scheduler.best());
}

template Winograd<float>::Schedule Winograd<float>::schedule(const Call<float>&, const WinogradChoice&) const;
template Winograd<double>::Schedule Winograd<double>::schedule(const Call<double>&,
                                                               const WinogradChoice&) const;

}  // namespace ct
