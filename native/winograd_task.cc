// One task: windows and points of a block of tiles, their products, and the destinations.
#include <algorithm>
#include <cstring>

#include "winograd_run.h"

namespace ct {

template <class T>
Winograd<T>::Task::Task(const Winograd& method, const Schedule& plan, const Weights* weights, const T* packed,
                        const Call<T>& call, index task)
    : plan_(plan), weights_(weights), packed_(packed), call_(call), p_(method.packing_), table_(*p_.table) {
  panel_begin_ = task % plan_.panel_runs * plan_.panel_run;
  panel_end_ = std::min(panel_begin_ + plan_.panel_run, index(p_.panels.size()));
  task /= plan_.panel_runs;
  pass_begin_ = task % plan_.pass_runs * plan_.pass_run;
  pass_end_ = std::min(pass_begin_ + plan_.pass_run, plan_.passes);
  task /= plan_.pass_runs;
  for (int a = kAxes - 1; a >= 0; --a) {
    first_[a] = task % plan_.blocks[a] * plan_.block[a];
    task /= plan_.blocks[a];
  }
  group_ = task % p_.shape.groups;
  image_ = task / p_.shape.groups * plan_.batch_block;
  images_ = std::min(plan_.batch_block, call_.src.n - image_);
  zeros_ = static_cast<T*>(scratch(sizeof(T) * std::size_t(plan_.elements())));
  std::memset(zeros_, 0, sizeof(T) * std::size_t(plan_.padded));
  tail_ = zeros_ + plan_.padded;
  window_ = tail_ + plan_.tail_elements;
  points_ = zeros_ + plan_.front_elements();
  products_ = plan_.overlaid ? window_ : points_ + plan_.point_elements;
  lines_ = products_ + plan_.product_sets * plan_.product_elements;
  src_ = call_.src.data + image_ * call_.src.stride_n + group_ * p_.src_channels * call_.src.stride_c;
  samples_ = src_;
  sample_stride_n_ = call_.src.stride_n;
  src_end_ = call_.src.data + (call_.src.n - 1) * call_.src.stride_n + call_.src.c;
  for (int a = 0; a < kAxes; ++a) {
    sample_stride_[a] = call_.src.stride[a];
    src_end_ += (call_.src.size[a] - 1) * call_.src.stride[a];
  }
}

template <class T>
void Winograd<T>::Task::run() {
  if (plan_.copied && !plan_.apart && !plan_.own) copy_window({nullptr, nullptr, nullptr}, 0, 0);
  for (index pass = pass_begin_; pass < pass_end_; ++pass) run_pass(pass);
}

// The source window of all variants, channels last, every sample with room for whole vectors, whose rest no
// product meets; along d and h perhaps of one variant and one source only.
template <class T>
void Winograd<T>::Task::copy_window(const Variant* const (&variant)[kAxes], index offset_d, index offset_h) {
  const index offset[kAxes] = {offset_d, offset_h, 0};
  const auto& step = plan_.line_step;
  index size[kAxes];
  for (int a = 0; a < kAxes; ++a) {
    const WinogradAxis& axis = plan_.axis[a];
    index lo = axis.src_size, hi = 0;
    for (const Variant& v : axis.variants) {
      const index tiles = v.grid(first_[a], plan_.block[a]);
      if (!tiles || ((plan_.apart || plan_.own) && a < 2 && &v != variant[a])) continue;
      const index from = v.base + axis.sample_step * first_[a] + offset[a];
      lo = std::min(lo, from);
      hi = std::max(hi, from + (plan_.apart && a < 2 ? 0 : axis.reach) +
                            axis.sample_step * ((tiles - 1) * v.shape().outputs + v.shape().points - 1) + 1);
    }
    window_lo_[a] = lo < 0 ? lo + ceil_div(-lo, step[a]) * step[a] : lo;
    size[a] = ceil_div(std::max<index>(std::min(hi, axis.src_size) - window_lo_[a], 0), step[a]);
  }
  sample_stride_[2] = plan_.padded;
  sample_stride_[1] = size[2] * sample_stride_[2];
  sample_stride_[0] = size[1] * sample_stride_[1];
  sample_stride_n_ = size[0] * sample_stride_[0];
  samples_ = window_;
  const View<const T>& src = call_.src;
  T* to = window_;
  // Lines without gaps between them are one.
  if (src.stride[2] == 1 && src.stride[1] == size[2] && step[1] == 1) {
    size[2] *= size[1];
    size[1] = 1;
  }
  for (index n = 0; n < images_; ++n)
    for (index d = 0; d < size[0]; ++d)
      for (index h = 0; h < size[1]; ++h, to += size[2] * plan_.padded) {
        const T* from = src_ + n * src.stride_n + (window_lo_[0] + d * step[0]) * src.stride[0] +
                        (window_lo_[1] + h * step[1]) * src.stride[1] + window_lo_[2] * src.stride[2];
        if (src.stride_c == 1) {
          for (index w = 0; w < size[2]; ++w)
            std::memcpy(to + w * plan_.padded, from + w * src.stride[2],
                        sizeof(T) * std::size_t(p_.src_channels));
        } else if (src.stride[2] == 1) {
          table_.transpose(from, src.stride_c, p_.src_channels, size[2], to, plan_.padded);
        } else {
          for (index w = 0; w < size[2]; ++w)
            for (index c = 0; c < p_.src_channels; ++c)
              to[w * plan_.padded + c] = from[w * src.stride[2] + c * src.stride_c];
        }
      }
}

template <class T>
void Winograd<T>::Task::transform(const std::vector<Family>& families, const Sources& sources) {
  index channel = 0;
  const index *const begin = sources.begin, *const end = sources.end;
  for (index d = begin[0]; d < end[0]; ++d)
    for (index h = begin[1]; h < end[1]; ++h) {
      const TileSource* source[kAxes] = {&plan_.axis[0].sources[std::size_t(d)],
                                         &plan_.axis[1].sources[std::size_t(h)], nullptr};
      // What is cut between the sources of w keeps its window.
      if (plan_.copied && plan_.apart && !families.empty() && begin[2] == 0)
        copy_window(families[0].tiles[0].variant, source[0]->offset, source[1]->offset);
      for (index w = begin[2]; w < end[2]; ++w) {
        source[2] = &plan_.axis[2].sources[std::size_t(w)];
        for (const Family& family : families)
          for (const Tiles& tiles : family.tiles)
            if (!summed(tiles.variant))
              transform(family, tiles, source, family.points + tiles.before * plan_.pitch + channel);
        channel += plan_.rounded;
      }
    }
}

// The last samples of the array are read from copies, if vectors would read beyond them, tile by tile.
template <class T>
void Winograd<T>::Task::stay_inside(WinogradInput<T>& in, const T** samples, index count) const {
  const T* const last = src_end_ - plan_.rounded;
  const T* farthest = src_;
  for (index n = 0; n < count; ++n)
    if (samples[n] != zeros_) farthest = std::max(farthest, samples[n]);
  if (in.tiles > 1 && in.sample_step > 0)
    in.tiles = std::clamp<index>((last - farthest) / in.sample_step + 1, 1, in.tiles);
  if (farthest <= last) return;
  for (index n = 0; n < count; ++n) {
    if (samples[n] == zeros_ || samples[n] <= last) continue;
    T* const copy = tail_ + (src_end_ - samples[n]) / p_.src_channels * plan_.rounded;
    std::copy_n(samples[n], p_.src_channels, copy);
    samples[n] = copy;
  }
}

template <class T>
void Winograd<T>::Task::transform(const Family& family, const Tiles& tiles,
                                  const TileSource* const (&source)[kAxes], T* points) {
  WinogradInput<T> in;
  int input[kAxes];
  index samples[kAxes], step[kAxes];
  for (int a = 0; a < kAxes; ++a) {
    input[a] = tiles.variant[a]->shape().input;
    samples[a] = winograd_samples(input[a]);
    step[a] = plan_.axis[a].sample_step;
  }
  in.depth = input[0];
  in.channels = plan_.rounded;
  in.point_stride = family.all * plan_.pitch;
  in.dst = points;
  const T* sample[kWinogradMostPoints * kWinogradMostPoints * kWinogradMostPoints];
  in.samples = sample;
  const auto kernel = table_.winograd_input[input[1]][input[2]];
  // Where the samples of tile t are, along one axis.
  constexpr index kOutside = INT64_MIN / 2;  // two of them may be added
  index offset[kAxes][kWinogradMostPoints];
  const auto place = [&](int a, index t) {
    const Variant& v = *tiles.variant[a];
    index at = v.base + source[a]->offset + step[a] * (first_[a] + t * v.shape().outputs);
    for (index n = 0; n < samples[a]; ++n, at += step[a]) {
      const index line =
          plan_.copied && a < 2 ? (at - window_lo_[a]) / plan_.line_step[a] : at - window_lo_[a];
      offset[a][n] = at < 0 || at >= plan_.axis[a].src_size ? kOutside : line * sample_stride_[a];
    }
  };
  // Tiles of a line up to `whole` have all samples but those before the line.
  const Variant& along = *tiles.variant[2];
  const index tile_step = step[2] * along.shape().outputs;
  const index last = along.base + source[2]->offset + step[2] * (first_[2] + samples[2] - 1);
  const index whole = ceil_div(plan_.axis[2].src_size - last, tile_step);
  in.sample_step = tile_step * sample_stride_[2];
  in.dst_step = plan_.pitch;
  for (index n = 0; n < images_; ++n) {
    const T* image = samples_ + n * sample_stride_n_;
    for (index d = 0; d < tiles.grid[0]; ++d) {
      place(0, d);
      for (index h = 0; h < tiles.grid[1]; ++h) {
        place(1, h);
        for (index w = 0; w < tiles.grid[2]; w += in.tiles, in.dst += in.tiles * plan_.pitch) {
          place(2, w);
          const T** next = sample;
          bool all = offset[2][0] != kOutside;
          for (index sd = 0; sd < samples[0]; ++sd)
            for (index sh = 0; sh < samples[1]; ++sh) {
              const index row = offset[0][sd] + offset[1][sh];
              const bool there = offset[0][sd] != kOutside && offset[1][sh] != kOutside;
              all &= there;
              for (index sw = 0; sw < samples[2]; ++sw)
                *next++ = there && offset[2][sw] != kOutside ? image + row + offset[2][sw] : zeros_;
            }
          in.tiles = all ? std::clamp<index>(whole - w, 1, tiles.grid[2] - w) : 1;
          if (plan_.tail_elements > 0) stay_inside(in, sample, next - sample);
          kernel(in);
        }
      }
    }
  }
}

// Tiles of the grid that have no destinations break it up into runs, unless there are few: between short rows
// they are computed with the others.
template <class T>
typename Winograd<T>::Task::Runs Winograd<T>::Task::runs_of(const Family& family, index largest) const {
  const Tiles& tiles = family.tiles[0];  // the others have grids without gaps as well
  const index *const count = tiles.count, *const grid = tiles.grid;
  const bool rows = grid[2] != count[2] && count[2] >= largest;
  const bool planes = grid[1] != count[1] || grid[0] != count[0];
  if (!rows && !planes) return {tiles, false, 1, family.all - (grid[2] - count[2])};
  return {tiles, rows, images_ * count[0] * (rows ? count[1] : 1),
          rows ? count[2] : count[1] * grid[2] - (grid[2] - count[2])};
}

// What all products of a panel have in common.
template <class T>
ChannelTile<T> Winograd<T>::Task::product_of(const Panel& panel) const {
  static constexpr T zeros[2 * 64 / sizeof(T)] = {};
  const index width = p_.width(panel);
  ChannelTile<T> product;
  product.src_stride = plan_.pitch;
  product.channels = p_.src_channels;
  product.bias = zeros;
  product.dst_stride_c = 1;
  product.columns = width;
  product.dst_stride = plan_.in_place ? plan_.pitch : width;
  return product;
}

// The products of all points with weights that the kernels add up of the taps, of which less comes from afar
// than of their sums. The taps of some channels serve all points before the next ones, and the sums go on in
// the products, which therefore have a place of their own.
template <class T>
void Winograd<T>::Task::multiply_adding(const Family& family, const Strand* const (&strand)[kAxes],
                                        const Panel& panel, T* products) {
  const index width = p_.width(panel), slice = p_.slice(panel);
  const index largest = table_.max_positions[panel.vectors - 1];
  const Runs runs = runs_of(family, largest);
  const index micro = tile_size(runs.run, largest);
  const AxisClass* cls[kAxes];
  for (int a = 0; a < kAxes; ++a) cls[a] = &p_.classes[a][std::size_t(strand[a]->cls)];
  const PairTaps<T> taps(p_, cls, packed_ + group_ * p_.group_weights + panel.weights, slice);
  const T* const packed_end = packed_ + p_.shape.groups * p_.group_weights;
  const int lines = taps.points(taps.lines), line = taps.points(taps.line);
  ChannelTile<T> product = product_of(panel);
  index src_offset = 0, weight_offset[product.kMostTerms];
  product.taps = 1;
  product.src_offset = &src_offset;
  product.weight_offset = weight_offset;
  for (index c = 0, piece; c < p_.src_channels; c += piece) {
    piece = std::min(kAddedChannels, p_.src_channels - c);
    product.channels = piece;
    product.bias_stride = c ? product.dst_stride : 0;
    // The next piece, or the first one of the phase that comes next.
    const bool last = c + piece == p_.src_channels;
    const index following = last ? taps.count() * slice : (c + piece) * width;  // from a tap on
    const index some = std::min(last ? p_.src_channels : p_.src_channels - c - piece, kAddedChannels) * width;
    ahead_.clear();
    for (int t = 0; t < taps.count(); ++t) {
      if (packed_end - taps.tap[t] < following + some) continue;
      const T* const next = taps.tap[t] + following;
      ahead_.add(next, next + some);
    }
    ahead_.share_out(lines * line * runs.count * ceil_div(runs.run, micro) *
                     ceil_div(piece, product.kAheadChannels));
    src_offset = c;
    index first = 0;  // tile of the current point
    for (int h = 0; h < lines; ++h)
      for (int w = 0; w < line; ++w, first += family.all) {
        const T* term[product.kMostTerms];
        product.terms = taps.terms(h, w, term);
        product.weights = term[0] + c * width;
        for (int t = 0; t < product.terms; ++t) weight_offset[t] = term[t] - term[0];
        for (index r = 0; r < runs.count; ++r) {
          const index begin = first + runs.start(r);
          for (index t = 0; t < runs.run; t += micro) {
            product.src = family.points + (begin + t) * plan_.pitch;
            product.dst = products + (begin + t) * product.dst_stride;
            if (c) product.bias = product.dst;
            ahead_.call(table_.summed_channel[panel.vectors - 1][std::min(micro, runs.run - t) - 1], product);
          }
        }
      }
  }
}

template <class T>
void Winograd<T>::Task::multiply(const Family& family, const Strand* const (&strand)[kAxes],
                                 const Panel& panel, const Sources& sources, const T* weights, T* products) {
  const index width = p_.width(panel), slice = p_.slice(panel);
  const index largest = table_.max_positions[panel.vectors - 1];
  const Runs runs = runs_of(family, largest);
  const Tiles& tiles = runs.tiles;
  const WinogradForm* form[kAxes];
  // Where the parts that meet a point of an axis are, or that their source is not here.
  constexpr index kElsewhere = INT64_MIN;
  std::size_t offsets[kAxes][kWinogradMostPoints + 1];
  index source_step = plan_.rounded, tile_step = plan_.pitch;
  part_offset_.clear();
  for (int a = kAxes - 1; a >= 0; --a) {
    form[a] = &tiles.variant[a]->shape();
    for (int point = 0; point < form[a]->points; ++point) {
      offsets[a][point] = part_offset_.size();
      each_part_along(p_, a, *form[a], strand[a]->cls, [&](const Part& part) {
        if (!form[a]->meets(part.taps(), part.number, point)) return;
        const bool here = part.source >= sources.begin[a] && part.source < sources.end[a];
        part_offset_.push_back(here ? (part.source - sources.begin[a]) * source_step +
                                          part.number * form[a]->shift() * tile_step
                                    : kElsewhere);
      });
    }
    offsets[a][form[a]->points] = part_offset_.size();
    tile_step *= tiles.grid[a];
    source_step *= sources.end[a] - sources.begin[a];
  }
  struct Range {
    const index *first, *last;
    const index* begin() const { return first; }
    const index* end() const { return last; }
  };
  const auto offsets_of = [&](int a, int point) -> Range {
    return {part_offset_.data() + offsets[a][point], part_offset_.data() + offsets[a][point + 1]};
  };
  ChannelTile<T> product = product_of(panel);
  product.bias_stride = sources.first ? 0 : product.dst_stride;
  const index micro = tile_size(runs.run, largest);
  // Small tiles use the weights faster than the processor looks ahead along one stream of single cache lines:
  // the kernels fetch those of the next point. Where a panel is two lines wide that was slower, unless the
  // weights are far or the sum is cut and hops through those behind the second cache.
  const index weight_bytes = weights_->group * p_.shape.groups * index(sizeof(T));
  const bool fetches = width * index(sizeof(T)) <= Ahead::kLine || is_far(weight_bytes) ||
                       (plan_.cut_axes > 0 && weight_bytes > l2_bytes());
  const index steps =
      runs.count * ceil_div(runs.run, micro) * ceil_div(p_.src_channels, product.kAheadChannels);
  index first = 0;  // tile of the current point
  each_point(form, [&](auto& point) {
    src_offset_.clear();
    weight_offset_.clear();
    index part = 0;
    for (const index d : offsets_of(0, point[0]))
      for (const index h : offsets_of(1, point[1]))
        for (const index w : offsets_of(2, point[2])) {
          if (d != kElsewhere && h != kElsewhere && w != kElsewhere) {
            src_offset_.push_back(d + h + w);
            weight_offset_.push_back(part * slice);
          }
          ++part;
        }
    product.taps = index(src_offset_.size());
    product.src_offset = src_offset_.data();
    product.weight_offset = weight_offset_.data();
    product.weights = weights;
    weights += part * slice;
    ahead_.clear();
    if (fetches && product.taps > 0) {
      const T* const next = weights + weight_offset_[0];
      ahead_.add(next, next + product.taps * slice);
    }
    ahead_.share_out(steps * product.taps);
    for (index r = 0; r < runs.count && (sources.first || product.taps > 0); ++r) {
      const index begin = first + runs.start(r);
      for (index t = 0; t < runs.run; t += micro) {
        product.src = family.points + (begin + t) * plan_.pitch;
        product.dst = products + (begin + t) * product.dst_stride;
        if (!sources.first) product.bias = product.dst;
        ahead_.call(table_.channel[panel.vectors - 1][std::min(micro, runs.run - t) - 1], product);
      }
    }
    first += family.all;
  });
}

template <class T>
void Winograd<T>::Task::restore(const Family& family, const Tiles& tiles, const Panel& panel,
                                const Strand* const (&strand)[kAxes], const T* products) {
  const index width = p_.width(panel), pitch = plan_.in_place ? plan_.pitch : width;
  WinogradOutput<T> out;
  out.point_stride = family.all * pitch;
  out.depth = tiles.variant[0]->shape().input;
  out.vectors = panel.vectors;
  out.bias = bias_;
  out.stride_c = to_stride_c_;
  out.dst_strip = to_strip_;
  out.streams = plan_.streams && !plan_.planar;
  out.columns = plan_.planar ? width : panel.columns;
  for (int a = 0; a < kAxes; ++a) {
    out.stride[a] = to_step_[a];
    out.last[a] = tiles.variant[a]->shape().outputs - 1;
  }
  const auto kernel =
      table_.winograd_output[tiles.variant[1]->shape().input][tiles.variant[2]->shape().input];
  // Destination of output 0 of tile t, and which outputs exist.
  const auto place = [&](int a, index t) {
    const index m = tiles.variant[a]->shape().outputs, j = first_[a] + t * m - strand[a]->lead;
    out.begin[a] = std::max<index>(-j, 0);
    out.end[a] = std::min(m, strand[a]->count - j);
    return j * to_step_[a];
  };
  const index outputs = tiles.variant[2]->shape().outputs;
  // Tiles of a line up to this one have all destinations but those before the line.
  const index whole = std::min((strand[2]->count + strand[2]->lead - first_[2]) / outputs, tiles.count[2]);
  out.src_step = pitch;
  out.dst_step = outputs * to_step_[2];
  for (index n = 0; n < images_; ++n)
    for (index d = 0; d < tiles.count[0]; ++d) {
      const index at_d = place(0, d);
      if (out.begin[0] >= out.end[0]) continue;
      for (index h = 0; h < tiles.count[1]; ++h) {
        const index at_h = place(1, h);
        const index row = tiles.before + ((n * tiles.grid[0] + d) * tiles.grid[1] + h) * tiles.grid[2];
        for (index w = 0; w < tiles.count[2]; w += out.tiles) {
          out.src = products + (row + w) * pitch;
          out.dst = to_ + n * to_stride_n_ + at_d + at_h + place(2, w);
          out.tiles = out.begin[2] == 0 && out.end[2] == outputs ? whole - w : 1;
          if (out.begin[2] < out.end[2]) kernel(out);
        }
      }
    }
}

// Phases without points: direct sums of samples, where transforms would cost what they save. Destinations
// whose taps meet the source alike are summed together.
template <class T>
void Winograd<T>::Task::sum(const Variant* const (&variant)[kAxes], const Panel& panel,
                            const Strand* const (&strand)[kAxes]) {
  const AxisClass* cls[kAxes];
  index taps[kAxes], step[kAxes], base[kAxes];  // base: the sample of tap 0 and destination 0
  for (int a = 0; a < kAxes; ++a) {
    cls[a] = &p_.classes[a][std::size_t(strand[a]->cls)];
    taps[a] = index(cls[a]->taps.size());
    step[a] = plan_.axis[a].sample_step;
    base[a] = variant[a]->base + step[a] * strand[a]->lead;
    std::vector<Stretch>& some = stretches_[a];
    some.clear();
    index begin, end;
    range(a, *strand[a], begin, end);
    for (index j = begin; j < end; ++j) {
      const index at = base[a] + step[a] * j;
      const index first = std::clamp<index>(-floor_div(at, step[a]), 0, taps[a]);
      const index last = std::clamp(-floor_div(at - plan_.axis[a].src_size, step[a]), first, taps[a]);
      if (some.empty() || some.back().first != first || some.back().last != last)
        some.push_back({j, j, first, last});
      ++some.back().end;
    }
  }

  const index width = p_.width(panel), slice = p_.slice(panel);
  const index largest = table_.max_positions[panel.vectors - 1];
  ChannelTile<T> tile;
  tile.channels = p_.src_channels;
  tile.weights =
      packed_ + group_ * p_.group_weights + panel.weights + p_.taps_before(*cls[0], *cls[1], *cls[2]) * slice;
  tile.bias = bias_;
  tile.dst_stride_c = to_stride_c_;
  tile.dst_strip = to_strip_;
  tile.columns = plan_.planar ? width : panel.columns;
  tile.streams = plan_.streams && !plan_.planar && panel.columns == width;
  // Elements from sample 0 of the memory at hand to one of the source's.
  const auto place = [&](int a, index sample) {
    return (plan_.copied && a < 2 ? sample / plan_.line_step[a] : sample) * sample_stride_[a];
  };
  // Neighbours along an axis, or images: how many, where the first one is read and goes, and the next.
  struct Line {
    index count, from, to, from_step, to_step;
  };
  const auto line_of = [&](int a, const Stretch& s) -> Line {
    return {s.end - s.begin, place(a, base[a] + step[a] * s.begin - window_lo_[a]), s.begin * to_step_[a],
            place(a, step[a]), to_step_[a]};
  };
  for (const Stretch& d : stretches_[0])
    for (const Stretch& h : stretches_[1])
      for (const Stretch& w : stretches_[2]) {
        src_offset_.clear();
        weight_offset_.clear();
        for (index td = d.first; td < d.last; ++td)
          for (index th = h.first; th < h.last; ++th)
            for (index tw = w.first; tw < w.last; ++tw) {
              src_offset_.push_back(place(0, step[0] * td) + place(1, step[1] * th) + place(2, step[2] * tw));
              // Samples rise where the shifts of the taps fall.
              const index back[kAxes] = {taps[0] - 1 - td, taps[1] - 1 - th, taps[2] - 1 - tw};
              weight_offset_.push_back(((back[0] * taps[1] + back[1]) * taps[2] + back[2]) * slice);
            }
        tile.taps = index(src_offset_.size());
        tile.src_offset = src_offset_.data();
        tile.weight_offset = weight_offset_.data();
        // Tiles run along w, unless so few positions would not fill them: those of a border, or of a small
        // image.
        Line line[] = {
            {images_, 0, 0, sample_stride_n_, to_stride_n_}, line_of(0, d), line_of(1, h), line_of(2, w)};
        Line& along = line[3];
        for (Line* other : {&line[2], &line[0]})
          if (2 * along.count < largest && other->count > along.count) std::swap(along, *other);
        const index micro = tile_size(along.count, largest);
        tile.src_stride = along.from_step;
        tile.dst_stride = along.to_step;
        index at[3];
        for (at[0] = 0; at[0] < line[0].count; ++at[0])
          for (at[1] = 0; at[1] < line[1].count; ++at[1])
            for (at[2] = 0; at[2] < line[2].count; ++at[2]) {
              const T* from = samples_ + along.from;
              T* to = to_ + along.to;
              for (int n = 0; n < 3; ++n) {
                from += line[n].from + at[n] * line[n].from_step;
                to += line[n].to + at[n] * line[n].to_step;
              }
              for (index i = 0; i < along.count; i += micro) {
                tile.src = from + i * along.from_step;
                tile.dst = to + i * along.to_step;
                table_.channel[panel.vectors - 1][std::min(micro, along.count - i) - 1](tile);
              }
            }
      }
}

// Destinations that no tap reaches.
template <class T>
void Winograd<T>::Task::fill(const Panel& panel, const Strand* const (&strand)[kAxes]) {
  index begin[kAxes], end[kAxes];
  for (int a = 0; a < kAxes; ++a) range(a, *strand[a], begin[a], end[a]);
  for (index n = 0; n < images_; ++n)
    for (index d = begin[0]; d < end[0]; ++d)
      for (index h = begin[1]; h < end[1]; ++h)
        for (index w = begin[2]; w < end[2]; ++w)
          put_bias(to_ + n * to_stride_n_ + d * to_step_[0] + h * to_step_[1] + w * to_step_[2],
                   panel.columns);
}

// Where a panel of some strands goes, and its bias; false where it has no destination in this block.
template <class T>
bool Winograd<T>::Task::aim(index number, index set, const std::vector<int>& along_w,
                            const Strand* const (&strand)[kAxes]) {
  const Panel& panel = p_.panels[std::size_t(number)];
  const index width = p_.width(panel);
  const index channel = group_ * p_.dst_channels + panel.first;
  const index bias = channel + strand[0]->dst0 * call_.bias_step;
  for (index c = 0; c < width; ++c) bias_[c] = call_.bias && c < panel.columns ? call_.bias[bias + c] : T(0);
  const View<T>& dst = call_.dst;
  const auto& axis = plan_.axis;
  o_begin_ = INT64_MAX;
  o_end_ = INT64_MIN;
  for (int a = 0; a < 2; ++a) range(a, *strand[a], begin_[a], end_[a]);
  for (int nw : along_w) {
    const Strand& s = axis[2].strands[std::size_t(nw)];
    range(2, s, begin_[2], end_[2]);
    if (begin_[2] >= end_[2]) continue;
    o_begin_ = std::min(o_begin_, s.dst0 + begin_[2] * axis[2].dst_step);
    o_end_ = std::max(o_end_, s.dst0 + (end_[2] - 1) * axis[2].dst_step + 1);
  }
  if (begin_[0] >= end_[0] || begin_[1] >= end_[1] || o_begin_ >= o_end_) return false;

  array_ = dst.data + image_ * dst.stride_n + channel * dst.stride_c + strand[0]->dst0 * dst.stride[0] +
           strand[1]->dst0 * dst.stride[1];
  row_ = array_;
  for (int a = 0; a < kAxes; ++a) to_step_[a] = axis[a].dst_step * dst.stride[a];
  to_stride_n_ = dst.stride_n;
  to_stride_c_ = dst.stride_c;
  to_stride_w_ = dst.stride[2];
  to_strip_ = 0;
  if (plan_.planar) {
    const index row = o_end_ - o_begin_, rows = plan_.joins ? dst.size[1] : end_[1] - begin_[1];
    together_ = plan_.joins ? rows * row : row;
    strip_ = strip_of(table_, together_, width);
    if (strip_ < width) to_strip_ = together_ * strip_;
    to_stride_w_ = strip_;
    to_step_[2] = axis[2].dst_step * strip_;
    to_step_[1] = plan_.joins ? axis[1].dst_step * row * strip_ : row * width;
    to_step_[0] = rows * row * width;
    saved_ = lines_ + set * plan_.line_elements;
    row_ = saved_ - begin_[0] * to_step_[0] - o_begin_ * strip_;
    if (plan_.joins) {
      row_ += strand[1]->dst0 * row * strip_;
      array_ -= strand[1]->dst0 * dst.stride[1];
    } else {
      row_ -= begin_[1] * to_step_[1];
    }
    to_stride_n_ = (end_[0] - begin_[0]) * to_step_[0];
    to_stride_c_ = 1;
  }
  return true;
}

template <class T>
void Winograd<T>::Task::compute(const std::vector<Family>& families, index number,
                                const std::vector<int>& along_w, const Strand* (&strand)[kAxes],
                                const Sources& sources) {
  const Panel& panel = p_.panels[std::size_t(number)];
  const index slice = p_.slice(panel);
  const WinogradAxis& axis = plan_.axis[2];
  const auto to = [&](const Strand& s) {
    strand[2] = &s;
    to_ = row_ + s.dst0 * to_stride_w_;
  };
  const auto computes = [&](const Tiles& t, const Strand& s) {
    return t.variant[2] - axis.variants.data() == s.variant;
  };
  for (const int nw : along_w) {
    const Strand& s = axis.strands[std::size_t(nw)];
    to(s);
    if (families.empty() || s.variant < 0) {
      if (sources.last) fill(panel, strand);
      continue;
    }
    for (const Family& family : families) {
      const auto known = std::find_if(family.tiles.begin(), family.tiles.end(),
                                      [&](const Tiles& t) { return computes(t, s); });
      if (known == family.tiles.end() || !family.all) continue;
      if (summed(known->variant)) {
        if (known->all) sum(known->variant, panel, strand);
        continue;
      }
      // The first variant of a family brings all strands of its class.
      if (known != family.tiles.begin()) continue;
      T* const products = products_of(family, number);
      if (plan_.adds_taps) {
        multiply_adding(family, strand, panel, products);
      } else {
        const index along_h = index(p_.classes[1].size()), along_w = index(p_.classes[2].size());
        const index cls = (strand[0]->cls * along_h + strand[1]->cls) * along_w + s.cls;
        const T* const weights = weights_->data.data() + group_ * weights_->group +
                                 weights_->panel[std::size_t(number)] +
                                 weights_->classes[std::size_t(cls)] * slice;
        multiply(family, strand, panel, sources, weights, products);
      }
      if (!sources.last) continue;
      for (const int other : along_w) {
        const Strand& alike = axis.strands[std::size_t(other)];
        if (alike.cls != s.cls) continue;
        for (const Tiles& tiles : family.tiles)
          if (tiles.all && computes(tiles, alike)) {
            to(alike);
            restore(family, tiles, panel, strand, products);
          }
      }
      to(s);
    }
  }
}

// The lines of a planar array leave the block, or the planes.
template <class T>
void Winograd<T>::Task::store_lines(index number) {
  const Panel& panel = p_.panels[std::size_t(number)];
  const View<T>& dst = call_.dst;
  const index rows = plan_.joins ? 1 : end_[1] - begin_[1];
  index step[2], first = o_begin_;  // in the array
  for (int a = 0; a < 2; ++a) step[a] = plan_.axis[a].dst_step * dst.stride[a];
  first += begin_[0] * step[0] + (plan_.joins ? 0 : begin_[1] * step[1]);
  const bool lines = plan_.streams && o_begin_ % 16 == 0 && o_end_ % 16 == 0 && table_.transpose_streaming;
  const auto transpose = lines ? table_.transpose_streaming : table_.transpose;
  for (index n = 0; n < images_; ++n)
    for (index d = 0; d < end_[0] - begin_[0]; ++d)
      for (index h = 0; h < rows; ++h) {
        const T* from = saved_ + n * to_stride_n_ + d * to_step_[0] + h * to_step_[1];
        T* to = array_ + first + n * dst.stride_n + d * step[0] + h * step[1];
        for (index c = 0; c < panel.columns;
             c += strip_, from += together_ * strip_, to += strip_ * dst.stride_c)
          transpose(from, strip_, together_, std::min(strip_, panel.columns - c), to, dst.stride_c);
      }
}

// What a pass computes along w, and which of its tiles are multiplied together.
template <class T>
std::vector<typename Winograd<T>::Task::Family> Winograd<T>::Task::list_families(
    const std::vector<int>* const (&groups)[kAxes]) const {
  std::vector<Family> families;
  Tiles tiles;
  for (int a = 0; a < 2; ++a) {
    const int v = plan_.axis[a].strands[std::size_t(groups[a]->front())].variant;
    if (v < 0) return families;
    tiles.variant[a] = &plan_.axis[a].variants[std::size_t(v)];
  }
  T* points = points_;
  for (std::size_t n = 0; n < plan_.families.size(); ++n) {
    Family family{{}, 0, points, index(n)};
    for (const int v : plan_.families[n]) {
      if (!plan_.planar && plan_.axis[2].strands[std::size_t(groups[2]->front())].variant != v) continue;
      tiles.variant[2] = &plan_.axis[2].variants[std::size_t(v)];
      tiles.before = family.all;
      tiles.all = images_;
      for (int a = 0; a < kAxes; ++a) {
        tiles.count[a] = tiles.variant[a]->tiles(first_[a], plan_.block[a]);
        tiles.grid[a] = tiles.variant[a]->grid(first_[a], plan_.block[a]);
        tiles.all *= tiles.grid[a];
      }
      family.all += tiles.all;
      family.tiles.push_back(tiles);
    }
    if (family.tiles.empty()) continue;
    index elements = summed(tiles.variant) ? 0 : family.all * plan_.pitch;
    for (const Variant* v : tiles.variant) elements *= v->shape().points;
    if (!plan_.by_turns) points += elements;
    families.push_back(std::move(family));
  }
  return families;
}

template <class T>
void Winograd<T>::Task::run_pass(index number) {
  const std::vector<int>* groups[kAxes];
  for (int a = kAxes - 1; a >= 0; --a) {
    const index count = index(plan_.groups[a].size());
    groups[a] = &plan_.groups[a][std::size_t(number % count)];
    number /= count;
  }
  const std::vector<Family> families = list_families(groups);
  if (plan_.own && !families.empty()) copy_window(families[0].tiles[0].variant, 0, 0);
  const Strand* strand[kAxes];
  // Lines are kept until families have taken their turns, planes until all of their rows are there.
  const index of_plane = index(groups[1]->size());
  const auto each_target = [&](auto visit) {
    index target = 0;
    for (index panel = panel_begin_; panel < panel_end_; ++panel)
      for (const int nd : *groups[0])
        for (const int nh : *groups[1]) {
          strand[0] = &plan_.axis[0].strands[std::size_t(nd)];
          strand[1] = &plan_.axis[1].strands[std::size_t(nh)];
          const index set = plan_.by_turns ? target : plan_.joins ? target / of_plane : 0;
          if (aim(panel, set, *groups[2], strand)) visit(panel);
          ++target;
        }
  };
  const auto run = [&](const std::vector<Family>& some, const Sources& sources) {
    transform(some, sources);
    each_target([&](index panel) {
      compute(some, panel, *groups[2], strand, sources);
      if (plan_.planar && !plan_.by_turns && !plan_.joins && sources.last) store_lines(panel);
    });
  };
  if (!plan_.by_turns || families.empty()) {
    each_cut([&](const Sources& sources) { run(families, sources); });
  } else {
    for (const Family& family : families) each_cut([&](const Sources& sources) { run({family}, sources); });
  }
  const bool last_rows = groups[1] == &plan_.groups[1].back();
  const Strand* const first = &plan_.axis[1].strands[std::size_t(groups[1]->front())];
  if (plan_.by_turns || (plan_.joins && last_rows))
    each_target([&](index panel) {
      if (plan_.by_turns || strand[1] == first) store_lines(panel);  // a plane once
    });
}

template class Winograd<float>::Task;
template class Winograd<double>::Task;

}  // namespace ct
