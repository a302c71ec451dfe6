// Winograd's minimal filtering for the phases of a transposed convolution: two outputs of a phase with two
// taps cost three multiplications instead of four, per axis. Only additions beside, so the error stays at
// the level of the direct method.
//
//   d0, d1, d2 = x[q - 1], x[q], x[q + 1]       points: d0 - d1, d1, d2 - d1, and d2 itself
//   two taps   y[q] = P0 + P1, y[q + 1] = P1 + P2   with P0 = (d0 - d1) g1, P1 = d1 (g0 + g1), P2 = (d2 - d1)
//   g0 one tap    y[q] = d1 g0,   y[q + 1] = d2 g0
//
// All phases read the same points, so the input is transformed once. Source: S. Winograd, Arithmetic
// Complexity of Computations (1980); A. Lavin and S. Gray, arXiv:1509.09308.
#pragma once
#include <memory>
#include <vector>

#include "method.h"
#include "schedule.h"

namespace ct {

// A panel of destination channels that one micro-kernel call computes.
struct Panel {
  index first, columns;  // destination channels, within a group
  int vectors;
  index weights;  // where its packed weights start, within a group
};

// Weights in the order of the channel method: group, panel, phase, tap, source channel, lane.
template <class T>
struct ChannelPacking {
  Shape shape;
  const KernelTable<T>* table;
  std::vector<AxisClass> classes[kAxes];
  std::vector<Panel> panels;
  index src_channels, dst_channels;  // per group
  index group_weights;               // elements per group

  // Taps of the phases before this one, in packing order.
  index taps_before(const Phase& d, const Phase& h, const Phase& w) const {
    const index nd = index(d.cls->taps.size()), nh = index(h.cls->taps.size());
    return d.cls->taps_before * shape.k[1] * shape.k[2] +
           nd * (h.cls->taps_before * shape.k[2] + nh * w.cls->taps_before);
  }
  // Which slice of the kernel.
  index tap(const AxisTap& d, const AxisTap& h, const AxisTap& w) const {
    return (d.kernel_index * shape.k[1] + h.kernel_index) * shape.k[2] + w.kernel_index;
  }
};

template <class T>
class Winograd {
 public:
  Winograd(const ChannelPacking<T>& packing, const T* weights);

  // Whether the phases of this kernel have a Winograd form at all.
  static bool applies(const ChannelPacking<T>& packing);
  // Whether it is expected to be faster for images of these sizes.
  static bool pays(const ChannelPacking<T>& packing, const Axis (&axes)[kAxes]);

  bool run(const Call<T>& call) const;
  index workspace_bytes(const Call<T>& call) const;
  std::string explain(const Call<T>& call) const;

 private:
  struct Schedule;
  struct Context;
  Schedule schedule(const Call<T>& call) const;
  static void run_task(void* context, index task);

  const ChannelPacking<T>& packing_;
  int input_kind_[kAxes];  // of the transform tables: 0, 1, 2
  int points_[kAxes];      // 1, 3, 4
  index phase_points_;     // products of all phases of a tile
  std::vector<index> panel_weights_;
  index group_weights_;
  Buffer<T> weights_;  // group, panel, phase, point, source channel, lane
};

}  // namespace ct
