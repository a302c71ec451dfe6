#include "winograd.h"

#include <algorithm>
#include <cstring>

namespace ct {
namespace {

// A class with one tap and no shift is plain where its axis is plain; else one or two taps.
bool plain_axis(const std::vector<AxisClass>& classes) {
  for (const AxisClass& c : classes)
    if (c.taps.size() != 1 || c.taps[0].shift != 0) return false;
  return true;
}

bool split_axis(const std::vector<AxisClass>& classes) {
  for (const AxisClass& c : classes) {
    if (c.taps.empty() || c.taps.size() > 2) return false;
    for (std::size_t t = 0; t < c.taps.size(); ++t)
      if (c.taps[t].shift != index(t)) return false;
  }
  return true;
}

// Index into the output transforms: 0 plain, 1 one tap, 2 two taps.
int output_kind(bool plain, const AxisClass& c) { return plain ? 0 : int(c.taps.size()); }

constexpr int kProducts[3] = {1, 2, 3};                          // points that a class of this kind uses ...
constexpr int kPoint[3][3] = {{0, 0, 0}, {1, 3, 0}, {0, 1, 2}};  // ... and which
// Coefficients of tap 0 and tap 1 in the weight of each product.
constexpr int kTap[3][3][2] = {{{1, 0}, {0, 0}, {0, 0}}, {{1, 0}, {1, 0}, {0, 0}}, {{0, 1}, {1, 1}, {1, 0}}};

template <class T>
index tiles_of(const AxisSchedule& axis, bool plain) {
  const index extent = axis.q_end - axis.q_begin;
  return plain ? extent : ceil_div(extent, 2);
}

}  // namespace

template <class T>
bool Winograd<T>::applies(const ChannelPacking<T>& p) {
  if (p.shape.kind != Kind::forward) return false;
  bool any = false;
  for (int a = 0; a < kAxes; ++a) {
    if (plain_axis(p.classes[a])) continue;
    if (!split_axis(p.classes[a])) return false;
    any = true;
  }
  return any;
}

template <class T>
bool Winograd<T>::pays(const ChannelPacking<T>& p, const Axis (&axes)[kAxes]) {
  // Vector operations per image and source channel, transforms included. Few tiles would spend their time
  // on reading the larger weights.
  double direct = 1, tiles = 1, products = 1, points = 1, outputs = 1;
  for (int a = 0; a < kAxes; ++a) {
    const AxisSchedule axis = schedule_axis(p.shape.kind, axes[a], p.classes[a]);
    const bool plain = plain_axis(p.classes[a]);
    double taps = 0, used = 0;
    bool single = false;
    for (const Phase& phase : axis.phases) taps += double(phase.count) * double(phase.cls->taps.size());
    for (const AxisClass& c : p.classes[a]) {
      used += kProducts[output_kind(plain, c)];
      single |= !plain && c.taps.size() == 1;
    }
    direct *= taps;
    tiles *= double(tiles_of<T>(axis, plain));
    products *= used;
    points *= plain ? 1 : single ? 4 : 3;
    outputs *= plain ? 1 : 2;
  }
  double vectors = 0;
  for (const Panel& panel : p.panels) vectors += panel.vectors;
  const double lanes = p.table->lanes, channels = double(p.src_channels);
  const double winograd =
      tiles * (products * vectors * channels + 4 * points * channels / lanes + 3 * products * vectors);
  return tiles >= 64 && winograd < 0.85 * direct * vectors * channels;
}

template <class T>
Winograd<T>::Winograd(const ChannelPacking<T>& packing, const T* weights) : packing_(packing), weights_(0) {
  bool plain[kAxes];
  for (int a = 0; a < kAxes; ++a) {
    plain[a] = plain_axis(packing.classes[a]);
    bool single = false;
    for (const AxisClass& c : packing.classes[a]) single |= c.taps.size() == 1;
    input_kind_[a] = plain[a] ? 0 : single ? 2 : 1;
    points_[a] = plain[a] ? 1 : single ? 4 : 3;
  }
  const auto each_phase = [&](auto&& visit) {
    for (const AxisClass& cd : packing.classes[0])
      for (const AxisClass& ch : packing.classes[1])
        for (const AxisClass& cw : packing.classes[2]) visit(cd, ch, cw);
  };
  phase_points_ = 0;
  each_phase([&](const AxisClass& d, const AxisClass& h, const AxisClass& w) {
    phase_points_ += kProducts[output_kind(plain[0], d)] * kProducts[output_kind(plain[1], h)] *
                     kProducts[output_kind(plain[2], w)];
  });
  group_weights_ = 0;
  for (const Panel& panel : packing.panels) {
    panel_weights_.push_back(group_weights_);
    group_weights_ += phase_points_ * packing.src_channels * panel.vectors * packing.table->lanes;
  }
  weights_ = Buffer<T>(group_weights_ * packing.shape.groups);

  const index panels = index(packing.panels.size());
  for (index item = 0; item < panels * packing.shape.groups; ++item) {
    const Panel& panel = packing.panels[std::size_t(item % panels)];
    const index slice = packing.src_channels * panel.vectors * packing.table->lanes;
    const T* from = weights + item / panels * packing.group_weights + panel.weights;
    T* to = weights_.data() + item / panels * group_weights_ + panel_weights_[std::size_t(item % panels)];
    each_phase([&](const AxisClass& d, const AxisClass& h, const AxisClass& w) {
      const int kd = output_kind(plain[0], d), kh = output_kind(plain[1], h), kw = output_kind(plain[2], w);
      const index nd = index(d.taps.size()), nh = index(h.taps.size()), nw = index(w.taps.size());
      for (int pd = 0; pd < kProducts[kd]; ++pd)
        for (int ph = 0; ph < kProducts[kh]; ++ph)
          for (int pw = 0; pw < kProducts[kw]; ++pw, to += slice) {
            std::fill_n(to, slice, T(0));
            for (index td = 0; td < nd; ++td)
              for (index th = 0; th < nh; ++th)
                for (index tw = 0; tw < nw; ++tw) {
                  if (!(kTap[kd][pd][td] && kTap[kh][ph][th] && kTap[kw][pw][tw])) continue;
                  const T* tap = from + ((td * nh + th) * nw + tw) * slice;
                  for (index n = 0; n < slice; ++n) to[n] += tap[n];
                }
          }
      from += nd * nh * nw * slice;
    });
  }
}

template <class T>
struct Winograd<T>::Schedule {
  AxisSchedule axis[kAxes];
  index tiles[kAxes], block[kAxes], blocks[kAxes];
  index batch_block, batch_blocks, panel_run, panel_runs, tasks;
  index rounded;  // source channels, rounded up to whole vectors
  index padded;   // the same, spread out for the cache
  index window[kAxes], window_elements, point_elements, product_elements, line_elements;
  index block_tiles;
};

template <class T>
typename Winograd<T>::Schedule Winograd<T>::schedule(const Call<T>& call) const {
  Schedule s;
  const ChannelPacking<T>& p = packing_;
  const index lanes = p.table->lanes;
  s.rounded = ceil_div(p.src_channels, lanes) * lanes;
  s.padded = spread<T>(s.rounded);
  index points = 1, image_tiles = 1;
  for (int a = 0; a < kAxes; ++a) {
    s.axis[a] = schedule_axis(p.shape.kind, call.axes[a], p.classes[a]);
    s.tiles[a] = tiles_of<T>(s.axis[a], input_kind_[a] == 0);
    s.block[a] = std::max<index>(s.tiles[a], 1);
    points *= points_[a];
    image_tiles *= s.block[a];
  }
  // Transformed points of a block stay in the L2 cache beside the weights that pass over them.
  const index largest = p.table->max_positions[1];
  const index most =
      std::max<index>(largest, block_budget() / index(sizeof(T)) * 3 / 2 / (points * s.padded));
  s.batch_block = std::clamp<index>(most / image_tiles, 1, std::max<index>(call.src.n, 1));
  const auto block_tiles = [&] { return s.batch_block * s.block[0] * s.block[1] * s.block[2]; };
  const auto halve = [&](index smallest) {
    for (int a = 0; a < kAxes; ++a)
      if (s.block[a] > (a == 2 ? smallest : 1)) {
        s.block[a] = ceil_div(s.block[a], 2);
        return true;
      }
    return false;
  };
  while (block_tiles() > most && halve(largest)) {
  }
  const auto count = [&] {
    s.batch_blocks = ceil_div(call.src.n, s.batch_block);
    index blocks = s.batch_blocks * p.shape.groups;
    for (int a = 0; a < kAxes; ++a) {
      s.blocks[a] = ceil_div(s.tiles[a], s.block[a]);
      blocks *= s.blocks[a];
    }
    return blocks;
  };
  const int threads = call.threads < 1 ? default_threads() : call.threads;
  const index wanted = threads > 1 ? 4 * threads : 1, panels = index(p.panels.size());
  index blocks = count();
  while (blocks > 0 && blocks < wanted && block_tiles() >= 4 * largest && halve(largest)) blocks = count();
  s.panel_run = panels;
  if (blocks > 0 && blocks < wanted)
    s.panel_run = ceil_div(panels, std::min(panels, ceil_div(wanted, blocks)));
  s.panel_runs = ceil_div(panels, s.panel_run);
  s.tasks = blocks * s.panel_runs;
  s.block_tiles = block_tiles();
  s.window_elements = s.batch_block * s.padded;
  for (int a = 0; a < kAxes; ++a) {
    s.window[a] = input_kind_[a] == 0 ? s.block[a] : 2 * s.block[a] + 1;
    s.window_elements *= s.window[a];
  }
  s.point_elements = points * s.block_tiles * s.padded;
  index products = 1;
  for (int a = 0; a < kAxes; ++a) products *= input_kind_[a] == 0 ? 1 : 3;
  s.product_elements = products * s.block_tiles * 2 * lanes;
  // Destinations of a block, for planar arrays: they leave the buffer transposed.
  s.line_elements = call.dst.stride_c != 1 ? s.batch_block * 2 * lanes : 0;
  for (int a = 0; a < kAxes; ++a)
    s.line_elements *= s.block[a] * (input_kind_[a] == 0 ? 1 : 2) * s.axis[a].dst_step;
  return s;
}

template <class T>
struct Winograd<T>::Context {
  const Winograd* self;
  const Schedule* plan;
  const Call<T>* call;
};

template <class T>
void Winograd<T>::run_task(void* context, index task) {
  const Context& ctx = *static_cast<const Context*>(context);
  const Winograd& self = *ctx.self;
  const Schedule& plan = *ctx.plan;
  const Call<T>& call = *ctx.call;
  const ChannelPacking<T>& p = self.packing_;
  const KernelTable<T>& table = *p.table;

  const index panel_begin = task % plan.panel_runs * plan.panel_run;
  const index panel_end = std::min(panel_begin + plan.panel_run, index(p.panels.size()));
  task /= plan.panel_runs;
  index first[kAxes], count[kAxes], q[kAxes];
  bool plain[kAxes];
  for (int a = kAxes - 1; a >= 0; --a) {
    plain[a] = self.input_kind_[a] == 0;
    first[a] = task % plan.blocks[a] * plan.block[a];
    count[a] = std::min(plan.block[a], plan.tiles[a] - first[a]);
    q[a] = plan.axis[a].q_begin + first[a] * (plain[a] ? 1 : 2);
    task /= plan.blocks[a];
  }
  const index group = task % p.shape.groups, image = task / p.shape.groups * plan.batch_block;
  const index images = std::min(plan.batch_block, call.src.n - image);
  const index tiles = images * count[0] * count[1] * count[2];

  const index needed =
      plan.window_elements + plan.point_elements + plan.product_elements + plan.line_elements;
  T* const window = static_cast<T*>(scratch(sizeof(T) * std::size_t(needed)));
  T* const points = window + plan.window_elements;
  T* const products = points + plan.point_elements;
  T* const lines = products + plan.product_elements;  // (image, d, h, w, panel)

  // The zero-padded window, channels last and rounded up to whole vectors.
  index size[kAxes], stride[kAxes], lo[kAxes];
  for (int a = 0; a < kAxes; ++a) {
    size[a] = plain[a] ? count[a] : 2 * count[a] + 1;
    lo[a] = q[a] - (plain[a] ? 0 : 1);
  }
  stride[2] = plan.padded;
  stride[1] = size[2] * stride[2];
  stride[0] = size[1] * stride[1];
  const index stride_n = size[0] * stride[0];
  const T* src = call.src.data + image * call.src.stride_n + group * p.src_channels * call.src.stride_c;
  const index inside = std::clamp<index>(-lo[2], 0, size[2]);
  const index inside_end = std::clamp<index>(call.src.size[2] - lo[2], inside, size[2]);
  for (index n = 0; n < images; ++n)
    for (index d = 0; d < size[0]; ++d)
      for (index h = 0; h < size[1]; ++h) {
        T* row = window + n * stride_n + d * stride[0] + h * stride[1];
        const index sd = lo[0] + d, sh = lo[1] + h;
        const bool empty = sd < 0 || sd >= call.src.size[0] || sh < 0 || sh >= call.src.size[1];
        if (empty || inside > 0 || inside_end < size[2] || plan.rounded > p.src_channels ||
            call.src.stride_c != 1)
          std::memset(row, 0, sizeof(T) * std::size_t(stride[1]));
        if (empty || inside == inside_end) continue;
        const T* from = src + n * call.src.stride_n + sd * call.src.stride[0] + sh * call.src.stride[1] +
                        (lo[2] + inside) * call.src.stride[2];
        T* to = row + inside * plan.padded;
        if (call.src.stride_c == 1) {
          for (index w = 0; w < inside_end - inside; ++w)
            std::memcpy(to + w * plan.padded, from + w * call.src.stride[2],
                        sizeof(T) * std::size_t(p.src_channels));
        } else if (call.src.stride[2] == 1) {
          table.transpose(from, call.src.stride_c, p.src_channels, inside_end - inside, to, plan.padded);
        } else {
          for (index w = 0; w < inside_end - inside; ++w)
            for (index c = 0; c < p.src_channels; ++c)
              to[w * plan.padded + c] = from[w * call.src.stride[2] + c * call.src.stride_c];
        }
      }

  WinogradInput<T> in;
  in.channels = plan.rounded;
  in.point_stride = tiles * plan.padded;
  for (int a = 0; a < kAxes; ++a) in.stride[a] = stride[a];
  const auto transform = table.winograd_input[self.input_kind_[0]][self.input_kind_[1]][self.input_kind_[2]];
  index step[kAxes];
  for (int a = 0; a < kAxes; ++a) step[a] = (plain[a] ? 1 : 2) * stride[a];
  index tile = 0;
  for (index n = 0; n < images; ++n)
    for (index d = 0; d < count[0]; ++d)
      for (index h = 0; h < count[1]; ++h)
        for (index w = 0; w < count[2]; ++w, ++tile) {
          in.src = window + n * stride_n + d * step[0] + h * step[1] + w * step[2];
          in.dst = points + tile * plan.padded;
          transform(in);
        }

  const T zeros[2 * 64 / sizeof(T)] = {};
  T bias[2 * 64 / sizeof(T)];
  const index zero_offset = 0;
  ChannelTile<T> product;
  product.src_stride = plan.padded;
  product.channels = p.src_channels;
  product.taps = 1;
  product.src_offset = product.weight_offset = &zero_offset;
  product.bias = zeros;
  product.dst_stride_c = 1;
  // Destinations of the block, [o_begin, o_end) per axis: in the array, or in the buffer of a planar one.
  const bool planar = call.dst.stride_c != 1 && call.dst.stride[2] == 1;
  index o_begin[kAxes], o_count[kAxes];
  for (int a = 0; a < kAxes; ++a) {
    o_begin[a] = INT64_MAX;
    index o_end = 0;
    for (const Phase& phase : plan.axis[a].phases) {
      index begin, end;
      plan.axis[a].range(phase, q[a], q[a] + count[a] * (plain[a] ? 1 : 2), begin, end);
      if (begin >= end) continue;
      o_begin[a] = std::min(o_begin[a], phase.dst0 + begin * plan.axis[a].dst_step);
      o_end = std::max(o_end, phase.dst0 + (end - 1) * plan.axis[a].dst_step + 1);
    }
    o_count[a] = std::max<index>(o_end - o_begin[a], 0);
  }
  if (o_count[0] * o_count[1] * o_count[2] == 0) return;

  WinogradOutput<T> out;
  out.bias = bias;

  for (index pn = panel_begin; pn < panel_end; ++pn) {
    const Panel& panel = p.panels[std::size_t(pn)];
    const index width = panel.vectors * table.lanes;
    const index channel = group * p.dst_channels + panel.first;
    for (index c = 0; c < width; ++c)
      bias[c] = call.bias && c < panel.columns ? call.bias[channel + c] : T(0);
    product.columns = product.dst_stride = width;
    out.columns = planar ? width : panel.columns;
    out.stride_c = planar ? 1 : call.dst.stride_c;
    const index to_stride[kAxes] = {planar ? o_count[1] * o_count[2] * width : call.dst.stride[0],
                                    planar ? o_count[2] * width : call.dst.stride[1],
                                    planar ? width : call.dst.stride[2]};
    const index to_stride_n = planar ? o_count[0] * to_stride[0] : call.dst.stride_n;
    T* const array = call.dst.data + image * call.dst.stride_n + channel * call.dst.stride_c;
    T* const to =
        planar ? lines - o_begin[0] * to_stride[0] - o_begin[1] * to_stride[1] - o_begin[2] * to_stride[2]
               : array;
    out.vectors = panel.vectors;
    out.point_stride = tiles * width;
    const T* weights =
        self.weights_.data() + group * self.group_weights_ + self.panel_weights_[std::size_t(pn)];
    const index micro = tile_size(tiles, table.max_positions[panel.vectors - 1]);
    for (const AxisClass& cd : p.classes[0])
      for (const AxisClass& ch : p.classes[1])
        for (const AxisClass& cw : p.classes[2]) {
          const AxisClass* classes[kAxes] = {&cd, &ch, &cw};
          int kind[kAxes];
          const Phase* phase[kAxes] = {nullptr, nullptr, nullptr};
          for (int a = 0; a < kAxes; ++a) {
            kind[a] = output_kind(plain[a], *classes[a]);
            for (const Phase& candidate : plan.axis[a].phases)
              if (candidate.cls == classes[a]) phase[a] = &candidate;
          }
          const index used = kProducts[kind[0]] * kProducts[kind[1]] * kProducts[kind[2]];
          if (!phase[0] || !phase[1] || !phase[2]) {  // the crop leaves nothing of this phase
            weights += used * p.src_channels * width;
            continue;
          }
          index slot = 0;
          for (int a = 0; a < kProducts[kind[0]]; ++a)
            for (int b = 0; b < kProducts[kind[1]]; ++b)
              for (int c = 0; c < kProducts[kind[2]]; ++c, ++slot, weights += p.src_channels * width) {
                const index point =
                    (kPoint[kind[0]][a] * self.points_[1] + kPoint[kind[1]][b]) * self.points_[2] +
                    kPoint[kind[2]][c];
                product.weights = weights;
                for (index t = 0; t < tiles; t += micro) {
                  const index m = std::min(micro, tiles - t);
                  product.src = points + point * in.point_stride + t * plan.padded;
                  product.dst = products + slot * out.point_stride + t * width;
                  table.channel[panel.vectors - 1][m - 1](product);
                }
              }
          const auto restore = table.winograd_output[kind[0]][kind[1]][kind[2]];
          for (int a = 0; a < kAxes; ++a) out.stride[a] = plan.axis[a].dst_step * to_stride[a];
          // Which of the two destinations of a tile exist, per axis.
          const auto exist = [&](int a, index t, index& j) {
            j = plan.axis[a].q_begin + (first[a] + t) * (plain[a] ? 1 : 2) - phase[a]->q0;
            const unsigned here = j >= 0 && j < phase[a]->count;
            const unsigned next = !plain[a] && j + 1 >= 0 && j + 1 < phase[a]->count;
            return here | next << 1;
          };
          tile = 0;
          for (index n = 0; n < images; ++n)
            for (index d = 0; d < count[0]; ++d) {
              index jd, jh, jw;
              const unsigned vd = exist(0, d, jd);
              for (index h = 0; h < count[1]; ++h) {
                const unsigned vh = exist(1, h, jh);
                for (index w = 0; w < count[2]; ++w, ++tile) {
                  const unsigned vw = exist(2, w, jw);
                  const unsigned plane = (vh & 1 ? vw : 0) | (vh & 2 ? vw << 2 : 0);
                  out.valid = (vd & 1 ? plane : 0) | (vd & 2 ? plane << 4 : 0);
                  if (!out.valid) continue;
                  out.src = products + tile * width;
                  out.dst = to + n * to_stride_n +
                            (phase[0]->dst0 + jd * plan.axis[0].dst_step) * to_stride[0] +
                            (phase[1]->dst0 + jh * plan.axis[1].dst_step) * to_stride[1] +
                            (phase[2]->dst0 + jw * plan.axis[2].dst_step) * to_stride[2];
                  restore(out);
                }
              }
            }
        }
    if (!planar) continue;
    for (index n = 0; n < images; ++n)
      for (index d = 0; d < o_count[0]; ++d)
        for (index h = 0; h < o_count[1]; ++h)
          table.transpose(lines + n * to_stride_n + d * to_stride[0] + h * to_stride[1], width, o_count[2],
                          panel.columns,
                          array + n * call.dst.stride_n + (o_begin[0] + d) * call.dst.stride[0] +
                              (o_begin[1] + h) * call.dst.stride[1] + o_begin[2],
                          call.dst.stride_c);
  }
}

template <class T>
bool Winograd<T>::run(const Call<T>& call) const {
  const Schedule plan = schedule(call);
  Context context{this, &plan, &call};
  return parallel_for(plan.tasks, call.threads, &run_task, &context, call.should_stop);
}

template <class T>
index Winograd<T>::workspace_bytes(const Call<T>& call) const {
  const Schedule s = schedule(call);
  return workers(call.threads, s.tasks) *
         (s.window_elements + s.point_elements + s.product_elements + s.line_elements) * index(sizeof(T));
}

template <class T>
std::string Winograd<T>::explain(const Call<T>& call) const {
  const Schedule s = schedule(call);
  index products = 1, outputs = 1;
  for (int a = 0; a < kAxes; ++a) outputs *= input_kind_[a] == 0 ? 1 : 2;
  products = phase_points_;
  index taps = packing_.shape.taps() * outputs;
  return "Winograd F(2,2) phases: " + std::to_string(products) +
         " multiplications where the definition has " + std::to_string(taps) + ", " +
         std::to_string(s.tasks) + " tasks";
}

template class Winograd<float>;
template class Winograd<double>;

}  // namespace ct
