#include "winograd.h"

#include <algorithm>

#include "winograd_run.h"

namespace ct {

// Tiles that share the weights on their way through the caches, where there are as many, and the fewest that
// blocks are cut down to. Kernels may take them in several steps, which find the weights close by. Points
// that fill the second cache are worth having for kManyTiles: weights from behind it cost more.
constexpr index kSharingTiles = 14, kFewestTiles = 8;

// Products of a piece of a cut sum, which pay for storing and loading the sums.
constexpr index kFewestTerms = 128;

template <class T>
WinogradChoice Winograd<T>::choice(const Axis (&axes)[kAxes]) const {
  std::vector<index> sizes;
  for (const Axis& a : axes) sizes.insert(sizes.end(), {a.i, a.lo, a.o});
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto known = choices_.find(sizes);
  if (known != choices_.end()) return known->second;
  if (choices_.size() >= 64) choices_.clear();  // sizes that change at every call must not pile up
  return choices_[sizes] = choose_winograd(packing_, axes, use_);
}

template <class T>
bool Winograd<T>::pays(const Call<T>& call) const {
  const WinogradChoice c = choice(call.axes);
  return c.saves && c.cost < 0.95 * c.direct;
}

namespace {

// Whether no sum needs several parts, which read the tiles behind their own.
bool whole_tiles(const WinogradAxis& axis) {
  return std::all_of(axis.variants.begin(), axis.variants.end(), [](const Variant& v) { return !v.extra; });
}

}  // namespace

// In a pass that has all strands along w: those of one class differ in their samples alone.
template <class T>
std::vector<std::vector<int>> Winograd<T>::find_families(const Schedule& s) {
  const WinogradAxis& w = s.axis[2];
  std::vector<std::vector<int>> classes(w.variants.size());
  for (const Strand& strand : w.strands)
    if (strand.variant >= 0) classes[std::size_t(strand.variant)].push_back(strand.cls);
  const bool join = s.planar && whole_tiles(s.axis[0]) && whole_tiles(s.axis[1]) && whole_tiles(w);
  std::vector<std::vector<int>> families;
  for (int v = 0; v < int(w.variants.size()); ++v) {
    const auto known = std::find_if(families.begin(), families.end(), [&](const std::vector<int>& family) {
      const std::size_t first = std::size_t(family[0]), here = std::size_t(v);
      return join && w.variants[first].form == w.variants[here].form && classes[first] == classes[here];
    });
    if (known != families.end())
      known->push_back(v);
    else
      families.push_back({v});
  }
  return families;
}

// Whether the sums of a point may be cut between the sources of the first axes and still add in one order:
// the parts of an axis that comes before another would have to come after it.
template <class T>
bool Winograd<T>::may_cut(const Schedule& s, int axes) {
  bool parts = true;
  for (int a = 0; a + 1 < axes; ++a) parts = parts && whole_tiles(s.axis[a]);
  index terms = s.rounded;
  for (int a = axes; a < kAxes; ++a) terms *= index(s.axis[a].sources.size());
  return parts && s.sources > 1 && terms >= kFewestTerms;
}

template <class T>
typename Winograd<T>::Schedule Winograd<T>::schedule(const Call<T>& call,
                                                     const WinogradChoice& choice) const {
  Schedule s;
  const ChannelPacking<T>& p = packing_;
  const index lanes = p.table->lanes;
  s.rounded = ceil_div(p.src_channels, lanes) * lanes;
  s.padded = spread<T>(s.rounded);
  s.planar = p.shape.channels_first && call.dst.stride_c != 1 && call.dst.stride[2] == 1;
  s.copied = call.src.stride_c != 1 || s.rounded != p.src_channels;
  s.passes = s.sources = 1;
  for (int a = 0; a < kAxes; ++a) {
    WinogradAxis& axis = s.axis[a] = winograd_axis(p.shape.kind, call.axes[a], p.residues[a], choice.cut[a]);
    s.sources *= index(axis.sources.size());
    auto& groups = s.groups[a];
    if (a == 2 && s.planar) groups.resize(1);
    for (int variant = -1; variant < int(axis.variants.size()); ++variant) {
      std::vector<int> members;
      for (int n = 0; n < int(axis.strands.size()); ++n)
        if (axis.strands[std::size_t(n)].variant == variant) members.push_back(n);
      if (members.empty()) continue;
      if (a == 2 && s.planar)
        groups[0].insert(groups[0].end(), members.begin(), members.end());
      else
        groups.push_back(std::move(members));
    }
    s.passes *= index(groups.size());
    s.block[a] = std::max(ceil_div(axis.extent, axis.unit), index(1)) * axis.unit;
  }

  // Neighbours of a phase that lie pages apart are no stream that the processor would see.
  const bool far = s.axis[2].dst_step * call.dst.stride[2] * index(sizeof(T)) >= 4096;
  s.streams = worth_streaming(call.dst, p.dst_channels, far ? 2 : 4);
  s.pitch = spread<T>(s.sources * s.rounded);

  // Where the taps are several samples apart, or an adjoint sums up the phases of a stride, every line of the
  // source belongs to one variant and one source: each pass copies its own, and the window has no others.
  s.apart = s.groups[2].size() == 1;
  for (int a = 0; a < 2; ++a)
    s.apart = s.apart && index(s.axis[a].variants.size()) <= tap_distance(p.residues[a]);
  for (int a = 0; a < kAxes; ++a) s.line_step[a] = s.apart && a < 2 ? s.axis[a].sample_step : 1;

  // A pass copies its own window then, which only direct sums read again.
  std::copy(std::begin(choice.summed), std::end(choice.summed), s.summed);
  s.overlaid = s.copied && s.apart && !choice.sums;

  s.families = find_families(s);
  const index panels = index(p.panels.size());
  // Strands of one variant along an axis, at most.
  const auto most_strands = [&](int a) {
    std::size_t most = 0;
    for (const auto& members : s.groups[a]) most = std::max(most, members.size());
    return index(most);
  };
  s.adds_taps = choice.adds_taps;
  s.own = s.by_turns = s.joins = false;
  s.cut_axes = 0;
  s.panel_run = panels;
  s.in_place = panels == 1 && s.pitch >= 2 * lanes && !s.adds_taps;
  for (const WinogradAxis& axis : s.axis)
    s.in_place = s.in_place && whole_tiles(axis) && axis.strands.size() == axis.variants.size();

  // Tiles and points of the largest pass of a block, and the tiles of the smallest.
  index fewest_tiles = 0;
  const auto count = [&] {
    fewest_tiles = s.batch_block;
    index tiles = s.batch_block, points = s.batch_block, products = s.batch_block;
    index window = s.batch_block * s.padded, lines = s.batch_block * 2 * lanes;
    for (int a = 0; a < kAxes; ++a) {
      index most_tiles = 0, fewest = INT64_MAX, most = 0, all = 0, samples = 0, lo = INT64_MAX,
            hi = INT64_MIN;
      const bool apart = s.apart && a < 2, own = apart || (s.own && a < 2);
      const auto add = [&](index here, int shape) {
        most_tiles = std::max(most_tiles, here);
        fewest = std::min(fewest, here);
        most = std::max(most, here * shape);
        all += here * shape;
      };
      if (a == 2)
        for (const std::vector<int>& family : s.families) {
          index here = 0;
          for (const int v : family) here += s.axis[a].variants[std::size_t(v)].grid(0, s.block[a]);
          add(here, s.axis[a].variants[std::size_t(family[0])].shape().points);
        }
      for (const Variant& v : s.axis[a].variants) {
        const index here = v.grid(0, s.block[a]);
        if (a < 2) add(here, v.shape().points);
        const index stop = v.base + (apart ? 0 : s.axis[a].reach) +
                           s.axis[a].sample_step * ((here - 1) * v.shape().outputs + v.shape().points);
        lo = own ? v.base : std::min(lo, v.base);
        hi = own ? stop : std::max(hi, stop);
        samples = std::max(samples, std::min(hi - lo, s.axis[a].src_size));
      }
      tiles *= most_tiles;
      fewest_tiles *= std::min(fewest, most_tiles);  // none where there is nothing to compute
      products *= most;
      points *= a == 2 && s.planar && !s.by_turns ? all : most;
      window *= ceil_div(samples, s.line_step[a]);
      lines *= s.block[a] * (a == 2 || (a == 1 && s.joins) ? s.axis[a].dst_step : 1);
    }
    s.window_elements = s.copied ? window : 0;
    s.point_elements = points * s.pitch;
    s.product_elements = s.in_place ? 0 : products * 2 * lanes;
    s.product_sets = s.cut_axes > 0 ? s.panel_run * index(s.families.size()) : 1;
    s.line_elements = s.planar ? lines : 0;
    s.line_sets = s.by_turns ? s.panel_run * most_strands(0) * most_strands(1)
                  : s.joins  ? s.panel_run * most_strands(0)
                             : 1;
    return tiles;
  };
  const auto halve = [&] {
    for (int a = 0; a < kAxes; ++a)
      if (s.block[a] > s.axis[a].unit) {
        s.block[a] = ceil_div(ceil_div(s.block[a], 2), s.axis[a].unit) * s.axis[a].unit;
        return true;
      }
    return false;
  };
  // Transformed points and products of a block stay in the L2 cache beside the weights that pass over them,
  // and all scratch memory stays below a quarter of the arrays.
  const index budget = block_budget() / index(sizeof(T)) * 3 / 2;
  const int threads = thread_count(call.threads);
  const index share = scratch_share(p.shape, call), most = share + share / 4 - 1;
  // All of that quarter is worth having where strands share their tiles, since short blocks copy more of
  // their borders, and where the weights would pass over fewer tiles than share them well.
  const bool shares_tiles = s.families.size() < s.axis[2].variants.size();
  s.batch_block = 1;
  // Before a block is cut, families take turns, unless that would end what overlaid windows or products in
  // place save.
  bool may_take_turns = s.planar && s.families.size() > 1 && !s.overlaid && !s.in_place;
  for (;;) {
    const index tiles = count();
    const bool fills_cache = fewest_tiles > kManyTiles && s.point_elements + s.product_elements > budget;
    const bool fills_share =
        tiles > kFewestTiles && s.elements() > (shares_tiles || tiles < kManyTiles ? most : share);
    if (!fills_cache && !fills_share) break;
    if (may_take_turns) {
      const index before = s.elements();
      may_take_turns = false;
      s.by_turns = true;
      count();
      s.by_turns = s.elements() < before;
    } else if (!halve()) {
      break;
    }
  }
  const index image = std::max<index>(s.point_elements + s.product_elements, 1);
  const index image_tiles = std::max<index>(count(), 1);
  bool whole = true;
  for (int a = 0; a < kAxes; ++a) whole &= s.block[a] >= s.axis[a].extent;
  if (whole)
    s.batch_block = std::clamp<index>(std::max(budget / image, ceil_div(kManyTiles, image_tiles)), 1,
                                      std::max<index>(call.src.n, 1));
  while (s.batch_block > 1 && count() > kSharingTiles && s.elements() > share) --s.batch_block;

  // Each task transforms the points that it needs, some of them anew, but those of few panels keep fewer
  // lines of families that take turns.
  const index wanted = threads > 1 ? (s.by_turns ? 4 : 2) * threads : 1;
  // So many tasks, if there are strands for them, instead of one pass for all of a variant.
  const auto tasks_of_strands = [&](index parts) {
    for (int a = 0; a < 2 && s.pass_run == 1; ++a) {
      const index some = ceil_div(most_strands(a), std::min(parts, most_strands(a)));
      parts = ceil_div(parts, ceil_div(most_strands(a), some));
      std::vector<std::vector<int>> cut;
      for (const auto& members : s.groups[a])
        for (std::size_t n = 0; n < members.size(); n += std::size_t(some))
          cut.emplace_back(members.begin() + std::ptrdiff_t(n),
                           members.begin() + std::ptrdiff_t(std::min(n + std::size_t(some), members.size())));
      s.passes = s.passes / index(s.groups[a].size()) * index(cut.size());
      s.groups[a] = std::move(cut);
    }
  };
  const auto blocks = [&] {
    s.batch_blocks = ceil_div(call.src.n, s.batch_block);
    index all = s.batch_blocks * p.shape.groups;
    for (int a = 0; a < kAxes; ++a) {
      s.blocks[a] = ceil_div(s.axis[a].extent, s.block[a]);
      all *= s.blocks[a];
    }
    return all;
  };
  s.pass_run = std::max<index>(s.passes, 1);  // none where an axis has no destination
  index tasks = blocks();
  if (tasks > 0 && tasks < wanted) {
    s.pass_run = ceil_div(s.passes, std::min(s.passes, ceil_div(wanted, tasks)));
    const index runs = ceil_div(s.passes, s.pass_run);
    while (tasks * runs < wanted && count() >= 4 * kSharingTiles && halve()) tasks = blocks();
    if (tasks * runs < wanted)
      s.panel_run = ceil_div(panels, std::min(panels, ceil_div(wanted, tasks * runs)));
    tasks_of_strands(ceil_div(wanted, tasks * runs * ceil_div(panels, s.panel_run)));
  }
  // Where many tiles share them, weights are better kept.
  if (use_ != Use::once && count() >= kManyTiles) s.adds_taps = false;
  s.pass_runs = ceil_div(s.passes, s.pass_run);
  s.panel_runs = ceil_div(panels, s.panel_run);
  s.tasks = tasks * s.pass_runs * s.panel_runs;
  s.own = s.copied && !s.apart && s.pass_run == 1 && s.passes > 1;
  count();
  const index burden = std::max(most, (64 << 10) / index(sizeof(T)));
  // Rows that are no whole vectors leave with the others of their plane, where a task has all of them and
  // memory that the windows of its passes leave alone.
  const bool whole_planes = s.block[1] >= s.axis[1].extent && s.block[2] >= s.axis[2].extent &&
                            s.groups[1].size() > 1 && s.pass_run % index(s.groups[1].size()) == 0 &&
                            call.dst.size[1] >= s.axis[1].dst_step;
  if (s.planar && !s.by_turns && whole_planes && call.dst.size[2] % lanes != 0 &&
      call.dst.stride[1] == call.dst.size[2]) {
    const Schedule before = s;
    s.joins = true;
    s.overlaid = false;
    count();
    if (s.elements() > burden) s = before;
  }
  // Where even the fewest tiles are a burden, families take turns, then sources.
  const auto tries = [&](auto change) {
    const Schedule before = s;
    change();
    count();
    if (s.elements() >= before.elements()) s = before;
  };
  if (s.elements() > burden && s.planar && s.families.size() > 1)
    tries([&] {
      s.by_turns = true;
      s.overlaid = false;
    });
  for (int axes = 1; axes <= kAxes && s.elements() > burden && may_cut(s, axes); ++axes)
    tries([&] {
      s.cut_axes = axes;
      s.in_place = s.overlaid = false;
      index sources = 1;
      for (int a = axes; a < kAxes; ++a) sources *= index(s.axis[a].sources.size());
      s.pitch = spread<T>(sources * s.rounded);
    });
  return s;
}

template <class T>
bool Winograd<T>::run(const Call<T>& call, const T* packed) const {
  const WinogradChoice chosen = choice(call.axes);
  const Schedule plan = schedule(call, chosen);
  const Weights* const transformed = plan.adds_taps ? nullptr : &weights(chosen, packed);
  const auto body = [&](index task) { Task(*this, plan, transformed, packed, call, task).run(); };
  return parallel_for(plan.tasks, call.threads, body, call.should_stop);
}

template <class T>
index Winograd<T>::workspace_bytes(const Call<T>& call) const {
  const Schedule s = schedule(call, choice(call.axes));
  return workers(call.threads, s.tasks) * s.elements() * index(sizeof(T));
}

template <class T>
std::string Winograd<T>::explain(const Call<T>& call) const {
  const WinogradChoice chosen = choice(call.axes);
  const Schedule s = schedule(call, chosen);
  std::string forms;
  for (int a = 0; a < kAxes; ++a) {
    std::vector<std::string> names;
    const WinogradAxis axis =
        winograd_axis(packing_.shape.kind, call.axes[a], packing_.residues[a], chosen.cut[a]);
    for (const Strand& s : axis.strands) {
      if (s.variant < 0) continue;
      const WinogradForm& form = axis.variants[std::size_t(s.variant)].shape();
      int parts = 1;
      for (const Part& p : list_parts(packing_, a, form, s.cls)) parts = std::max(parts, p.number + 1);
      if (form.input == kPlain) continue;
      const std::string name = (parts > 1 ? std::to_string(parts) + " parts of " : "") + form.name;
      if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
    for (const std::string& name : names)
      forms += (forms.empty() ? "" : &name == names.data() ? " by " : " and ") + name;
  }
  const auto percent = index(100 * chosen.products / std::max(chosen.direct_products, 1.0));
  return "Winograd " + forms + " phases: " + std::to_string(percent) + " % of the multiplications, " +
         std::to_string(s.tasks) + " tasks" +
         (s.adds_taps ? ", weights added up from the taps as they are used" : "");
}

template class Winograd<float>;
template class Winograd<double>;

}  // namespace ct
