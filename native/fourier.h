// Convolutions as products of spectra: the sizes of tiles, what they cost, and the transform of one tile.
//
// Every phase of a kernel is an ordinary convolution: destination q of a phase is the sum over its taps v of
// source q - v, times the tap. (An adjoint's taps are turned around, and its destinations start later.) A
// tile of N samples per axis gives the destinations whose taps all meet it; a source that ends inside of the
// tile leaves zeros behind, so that more destinations may wrap around without meeting anything.
#pragma once
#include <algorithm>
#include <memory>
#include <vector>

#include "method.h"

namespace ct {

// One axis of an image, in terms of q; sources outside of [src_lo, src_hi) are zeros.
struct FourierExtent {
  index q_begin, q_end, src_lo, src_hi;
  index reach;  // taps of a phase, from the first to the last

  index destinations() const { return std::max<index>(q_end - q_begin, 0); }
  // The first source of a tile whose destinations begin with q, and how many sources it has.
  index first_source(index q) const { return q < src_lo ? q : std::max(src_lo, q - reach + 1); }
  index sources(index q, index q_stop) const {
    return std::max<index>(std::min(q_stop, src_hi) - first_source(q), 0);
  }
};

// Lines of w become spectra of rows[2] numbers, those of h of rows[1], and those of the first axis, of twice
// as many real numbers, of rows[0]. A line without other axes is cut into 2 * rows[0] runs of rows[2].
struct FourierTiling {
  bool line = false;
  index rows[kAxes] = {1, 1, 1};
  index size[kAxes] = {1, 1, 1};  // samples along the axes of the image
  index step[kAxes], tiles[kAxes];
  double cost = 0;  // vector operations per image

  index samples() const { return size[0] * size[1] * size[2]; }
  index tile_count() const { return tiles[0] * tiles[1] * tiles[2]; }
  // Rows of a strip along w, up to whole vectors.
  index lines(index lanes) const { return ceil_div(rows[0] * rows[1], lanes) * lanes; }
  index spectrum(index lanes) const { return 2 * rows[2] * lines(lanes); }  // elements
};

FourierExtent fourier_extent(const Shape& shape, const Axis& axis, int number, index reach);

// What all images have in common.
struct FourierWork {
  Kind kind;
  index src_channels, dst_channels;  // of a group
  index sources, destinations;       // the same by phases: planes
  index groups, images;
  index reach[kAxes];
  index lanes, element_bytes;
  bool once;
};

// Whether there are many taps at all; a question that costs next to nothing.
bool fourier_worth_a_thought(const Shape& shape);

template <class T>
FourierWork fourier_work(const Shape& shape, const Path& path, Use use);

// Whether that cost is less than that of direct sums of so many products, and of gradients to the kernel.
bool fourier_less(double cost, double products, const FourierWork& work);
bool fourier_gradient_less(double cost, double products, const FourierWork& work);

// The tiles that cost least for an image whose arrays have so many elements. Cost 0: none fit.
FourierTiling choose_tiling(const FourierWork& work, const FourierExtent (&extents)[kAxes], index elements);

// The transforms of tiles of one shape.
template <class T>
class FourierTransform {
 public:
  FourierTransform(const FourierTiling& tiling, const KernelTable<T>& table);
  // Elements of memory between the two.
  static index scratch_elements(const FourierTiling& tiling, index lanes);
  // Samples are contiguous; those of columns from `columns` on are zeros.
  void forward(const T* samples, index columns, T* spectrum, T* memory) const;
  // Only samples of columns [begin, end) are needed. The spectrum is lost.
  void inverse(T* spectrum, index begin, index end, T* samples, T* memory) const;

 private:
  enum { kRealPairs, kMiddle, kLast };
  void add_axis(int axis, double turns, std::vector<double>& leaves);
  void twist(const Buffer<T>& by, T* spectrum) const;
  void lines(bool back, int axis, FourierLines<T> a, T* memory) const;

  FourierTiling tiling_;
  const KernelTable<T>& table_;
  FourierAxis<T> axis_[kAxes];
  std::vector<T> factors_[kAxes];
  Buffer<T> twist_, untwist_;  // of a line's columns
};

// One for all who need tiles of this shape.
template <class T>
std::shared_ptr<const FourierTransform<T>> fourier_transform(const FourierTiling& tiling,
                                                             const KernelTable<T>& table);

// Tap `at` of a phase along one axis, and which slice of the kernel it is.
struct FourierTap {
  index at, kernel_index;
};
// Per phase of the axis; an adjoint's stride belongs to the source, and its taps lie ahead.
std::vector<std::vector<FourierTap>> fourier_taps(const Shape& shape, int axis, index reach);

// Samples `first + n * step` of an array, n < count, are samples `at + n` of a tile.
struct FourierBox {
  index first[kAxes], step[kAxes], count[kAxes], at[kAxes];
};
// Tiles of some channels of an image, zeros where there are no samples.
template <class T>
void fourier_gather(const KernelTable<T>& table, const FourierTiling& tiling, const View<const T>& src,
                    index image, index channel, index channels, const FourierBox& box, T* to,
                    index to_stride);

// The numbers n of [0, count) for which first + n * step is one of [0, size).
inline void clip(index first, index step, index size, index count, index& begin, index& end) {
  begin = std::clamp<index>(-floor_div(first, step), 0, count);
  end = std::clamp<index>(-floor_div(first - size, step), begin, count);
}

// Inputs that a tap brings to an output, along one axis.
inline index meetings(const Axis& axis) {
  index all = 0, begin, end;
  for (index t = 0; t < axis.k; ++t) {
    clip(t * axis.d - axis.lo, axis.s, axis.o, axis.i, begin, end);
    all += end - begin;
  }
  return all;
}

}  // namespace ct
