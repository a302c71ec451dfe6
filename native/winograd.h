// The channel method with fewer multiplications: the phases of a transposed convolution, or those that its
// adjoint sums up, by the minimal filters of winograd_forms.h, nested along the axes.
//
// A task takes one block of destinations. For each variant of alignments (winograd_axis.h) it transforms the
// samples to points, multiplies the points of all tiles with the transformed weights, or with sums of taps
// that are added up on the way, by the micro-kernels of the channel method, and restores the destinations.
// Phases that this would not make faster are summed from the samples. The forms depend on the kernel and the
// size of the image, never on the batch, the threads or the blocks: neither do the bits.
#pragma once
#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "method.h"
#include "remembered.h"
#include "winograd_axis.h"

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
  std::vector<AxisClass> classes[kAxes];   // of destinations
  std::vector<AxisClass> residues[kAxes];  // the taps by residues of the stride; forward, the same
  std::vector<Panel> panels;
  index src_channels, dst_channels;  // per group
  index group_weights;               // elements per group

  // Elements of a panel's weights: for one source channel, for one tap, and in all.
  index width(const Panel& panel) const { return panel.vectors * table->lanes; }
  index slice(const Panel& panel) const { return src_channels * width(panel); }
  index elements(const Panel& panel) const { return shape.taps() * slice(panel); }
  // Taps of the phases before this one, in packing order.
  index taps_before(const AxisClass& d, const AxisClass& h, const AxisClass& w) const {
    const index nd = index(d.taps.size()), nh = index(h.taps.size());
    return d.taps_before * shape.k[1] * shape.k[2] + nd * (h.taps_before * shape.k[2] + nh * w.taps_before);
  }
  index taps_before(const Phase& d, const Phase& h, const Phase& w) const {
    return taps_before(*d.cls, *h.cls, *w.cls);
  }
  // Which slice of the kernel.
  index tap(const AxisTap& d, const AxisTap& h, const AxisTap& w) const {
    return (d.kernel_index * shape.k[1] + h.kernel_index) * shape.k[2] + w.kernel_index;
  }
  // The slices in packing order.
  std::vector<index> order() const {
    std::vector<index> taps;
    for (const AxisClass& cd : classes[0])
      for (const AxisClass& ch : classes[1])
        for (const AxisClass& cw : classes[2])
          for (const AxisTap& td : cd.taps)
            for (const AxisTap& th : ch.taps)
              for (const AxisTap& tw : cw.taps) taps.push_back(tap(td, th, tw));
    return taps;
  }
};

// The axes along which forms save multiplications, as bits.
inline int formed_axes(const WinogradForm* const (&form)[kAxes]) {
  int axes = 0;
  for (int a = 0; a < kAxes; ++a) axes |= int(form[a]->input != kPlain) << a;
  return axes;
}

// So many tiles share their weights well, wherever those come from.
constexpr index kManyTiles = 28;

// The forms of all axes, and what they are expected to cost beside the direct sum.
struct WinogradChoice {
  WinogradCut cut[kAxes];
  // Whether phases are summed directly all the same, by the axes along which they have a form.
  bool summed[1 << kAxes] = {};
  bool sums = false, saves = false;          // some phases are, and some are not
  bool adds_taps = false;                    // kernels may add up the weights of those that have forms
  double cost = 0, direct = 0;               // vector operations per image
  double products = 0, direct_products = 0;  // multiplications per image and pair of channels
};

// Whether the phases of this kernel have forms at all.
template <class T>
bool winograd_applies(const ChannelPacking<T>& packing);

template <class T>
WinogradChoice choose_winograd(const ChannelPacking<T>& packing, const Axis (&axes)[kAxes], Use use);

template <class T>
class Winograd {
 public:
  // The packing must outlive this object.
  Winograd(const ChannelPacking<T>& packing, Use use) : packing_(packing), use_(use) {}

  // Whether images of these sizes are expected to be faster than by the direct sum.
  bool pays(const Call<T>& call) const;

  // packed: the weights of the channel method, always the same.
  bool run(const Call<T>& call, const T* packed) const;
  index workspace_bytes(const Call<T>& call) const;
  std::string explain(const Call<T>& call) const;

 private:
  struct Weights;
  struct Schedule;
  struct Prepared;  // choice and schedule
  class Scheduler;
  class Task;

  // How the work of a call is cut, which its bits do not depend on: sums between the sources of the first
  // axes, panels into parts, and blocks, if cache and memory allow it, not below so many tiles.
  struct Cuts {
    int axes;
    index panel_parts, tiles;
  };

  using Sizes = std::array<index, 3 * kAxes>;            // of an image
  using Arrays = std::array<index, 3 * kAxes + 2 + 11>;  // and batch, threads, strides, place in a line
  static Sizes sizes_of(const Axis (&axes)[kAxes]);
  static Arrays arrays_of(const Call<T>& call);
  WinogradChoice choice(const Axis (&axes)[kAxes]) const;
  std::shared_ptr<const Prepared> prepared(const Call<T>& call) const;
  Schedule schedule(const Call<T>& call, const WinogradChoice& choice) const;
  const Weights& weights(const WinogradChoice& choice, const T* packed) const;

  const ChannelPacking<T>& packing_;
  const Use use_;
  Remembered<Sizes, WinogradChoice> choices_;  // of the last images
  Remembered<Arrays, std::shared_ptr<const Prepared>> prepared_;
  // Few: one per set of forms, and of phases without, that the sizes of the images have asked for.
  mutable std::mutex mutex_;
  mutable std::map<std::vector<int>, std::shared_ptr<const Weights>> weights_;
};

}  // namespace ct
