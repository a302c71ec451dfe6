// Plain structs that the native parts share. No Python here, no threads, no containers.
//
// Forward and adjoint are one operation to the engine: every destination sample is a sum over taps of
// source samples times a matrix of channels. Per axis, destination j of a phase is dst0 + j * dst_step,
// and tap t reads source offset[t] + j * src_step:
//
//   forward  one phase per residue of the stride, dst_step = s, src_step = 1
//   adjoint  one phase,                           dst_step = 1, src_step = s
#pragma once
#include <cstddef>
#include <cstdint>

#include "winograd_forms.h"

namespace ct {

using index = std::int64_t;

constexpr int kAxes = 3;  // d, h, w; missing leading axes have length one

enum class Kind { forward, adjoint };

// Arithmetic of one axis, as convtranspose.geometry.Axis has it.
struct Axis {
  index i = 1, k = 1, s = 1, d = 1, lo = 0, o = 1;
};

// An array of five axes n, d, h, w, c in elements, in any memory order.
template <class T>
struct View {
  T* data = nullptr;
  index n = 1, c = 1;
  index size[kAxes] = {1, 1, 1};
  index stride_n = 0, stride_c = 1;
  index stride[kAxes] = {0, 0, 0};
};

// What a micro-kernel of the channel method gets: one tile of positions by one panel of channels.
//   dst[m, :] = bias + sum over taps t, channels c of src[offset[t] + m * src_stride + c] * weights[t, c, :]
template <class T>
struct ChannelTile {
  const T* src;
  index src_stride;  // between neighbouring positions of the tile
  index channels;    // source channels
  index taps;
  const index* src_offset;     // per tap, in elements
  const index* weight_offset;  // per tap, in elements
  const T* weights;            // packed: (tap, channel, panel)
  const T* bias;               // one panel, never null
  T* dst;
  index dst_stride;       // between neighbouring positions
  index dst_stride_c;     // between neighbouring channels
  index columns;          // channels to store, at most one panel
  index bias_stride = 0;  // between neighbouring positions, where dst has sums that go on
  // Results on their way to planes: whole panels, in strips of KernelTable::strip channels, which lie so far
  // apart; 0: channels are neighbours.
  index dst_strip = 0;
  // Whole panels, aligned, go around the caches: for destinations that no cache would hold.
  bool streams = false;
  // Memory that another tile will read is fetched meanwhile: so much before every few channels of a tap.
  static constexpr index kAheadChannels = 16;
  const char* ahead = nullptr;
  index ahead_bytes = 0;
  // Summed kernels, of a single tap whose weights are the sum of so many: one weight_offset for each.
  static constexpr int kMostTerms = 4;
  int terms = 1;
};

// What a micro-kernel of the group method gets: a tile of positions by one vector of channels of several
// groups. A sample of the source is `parts` vectors with a few channels of every group each; `order` says per
// channel where a lane finds its group's, as numbers of 32 bits. The last tap of a pair reads one position
// further than the first.
//   dst[m, :] = bias + sum over taps t, parts p, channels c of
//               (src[offset[t] + m * src_stride + p * part_step + :] in order[c]) * weights[t, p, c, :]
struct GroupTap {
  index src, weights, second;  // in elements; second: weights of the other tap of a pair
};

template <class T>
struct GroupTile {
  const T* src;
  index src_stride;  // between neighbouring positions of the tile
  index parts, part_step;
  index channels, last;  // of a part, and of the last one
  const std::int32_t* order;
  index pairs, singles;  // how many taps of each sort
  const GroupTap* pair;
  const GroupTap* single;
  const T* weights;  // packed: (tap, channel, lane)
  const T* bias;     // one vector
  T* dst;
  index dst_stride;
  index columns;  // channels to store, at most one vector
  bool streams;   // as in ChannelTile
};

// What a micro-kernel of the kernel gradient gets: a tile of the sums a^T b over rows of positions.
//   dst[m, v] = or += sum over rows r, positions j of a[r, j, m] * b[r, j, v]
template <class T>
struct GradientTile {
  static constexpr int kMaxVectors = 8;
  index rows;
  const T* const* a;            // per row: broadcast side
  const T* const* b;            // per row: vector side
  const index* count;           // positions per row
  index a_offset;               // of the tile's first element, which has its neighbours behind it
  index b_offset[kMaxVectors];  // of its vectors
  index a_step, b_step;         // between neighbouring positions
  T* dst;
  const index* dst_element;  // places of the tile's elements, in elements of the result
  index dst_stride_c;        // between neighbours of a vector
  index dst_offset[kMaxVectors];
  index columns[kMaxVectors];  // elements of a vector to store
  bool add;
};

// The same for groups of few channels side by side in one vector of the outputs; the inputs are permuted as
// in the group method.
//   sums[t, c, :] += sum over rows r, positions j of (x[r, j, :] in order[c]) * y[r, j + y_offset[t], :]
template <class T>
struct GroupGradientTile {
  static constexpr int kMaxChannels = 8, kMaxTaps = 4;
  index rows;
  const T* const* x;
  const T* const* y;
  const index* count;  // positions per row
  index x_offset, y_offset[kMaxTaps];
  index x_step, y_step;  // between neighbouring positions
  const std::int32_t* order;
  T* sums;
};

// The same for one channel per group, vectors along the channels.
//   sums[l, m, :] += sum over rows r, positions j of x[r, j, :] * y[r, l * y_line + j + m * y_tap, :]
template <class T>
struct DepthwiseGradientTile {
  index rows, count;
  const T* const* x;
  const T* const* y;
  index offset;  // of the first channel
  index x_step, y_step, y_tap;
  T* sums;
  index sums_stride;                  // between taps
  index y_line = 0, line_stride = 0;  // between lines of taps
};

// The same on planes, for a few channels of the inputs at a time.
//   dst[offset[m] + c] = or += sum over rows r, positions j of x[r, x_offset[c] + j] * y[r, y_offset[m] + j]
template <class T>
struct DotGradientTile {
  static constexpr int kChannels = 4, kMaxTaps = 6;
  index rows;
  const T* const* x;
  const T* const* y;
  const index* count;  // positions per row
  index x_offset[kChannels], y_offset[kMaxTaps];
  index channels;  // to store
  index x_ahead;   // from an input to one that will be wanted soon
  T* dst;
  index dst_offset[kMaxTaps];
  bool add;
};

// What a micro-kernel of the row method gets: vectors of neighbouring positions in planar memory.
//   dst[m, p] = bias[m] + sum over taps t, channels c of
//               src[offset[t] + c * src_stride_c + p] * weights[t, c, m]
template <class T>
struct RowTile {
  const T* src;
  index src_stride_c;
  index channels;
  index taps;
  const index* src_offset;
  const T* weights;  // packed: (channel, tap, m)
  const T* bias;     // m numbers
  T* dst;            // (m, positions), contiguous rows of dst_stride
  index dst_stride;
  index rest = 0;        // positions of the last vector to store, 0: all
  bool streams = false;  // whole vectors, aligned, around the caches
  // What will be wanted soon: as many vectors as this tile has, per channel. So many channels in turn fetch
  // neighbours from a plane, of which `ahead_done` have, and the following ones from the next plane.
  const T* ahead = nullptr;
  index ahead_stride = 0;  // between planes
  index ahead_run = 1, ahead_done = 0;
  // Or rows 2m and 2m + 1, interleaved, go to lines[m] from `at` on, if there is such a line: only elements
  // [begin, end), counted from there, with begin <= end.
  T* const* lines = nullptr;
  index at = 0, begin = 0, end = 0;
};

// One tap of one axis: which slice of the kernel, and where it reads relative to q.
struct AxisTap {
  index kernel_index;
  index shift;  // forward: source = q - shift; adjoint: source = i * s - lo + shift
};

// A tap of a row of products: where its products are, relative to a line of them, and which of them count.
template <class T>
struct SumTap {
  index src;
  const T* mask;
};

// What the projection method adds up: shifted rows of products, each masked where it leaves its line.
//   dst[c, j] = bias[c] + sum over lines l and taps t of (lines[l][src(t) + c * src_step + j] where
//   mask(t)[j] has its bits set, else 0)
// Whole vectors are read and written.
template <class T>
struct SumTile {
  const T* const* lines;
  const SumTap<T>* taps;
  index line_count, tap_count, channels, count;
  index src_step, dst_step;  // between channels of products, and of sums
  const T* bias;
  T* dst;
};

// The depthwise method works on lines of destinations: one row of an image, with the source rows that meet
// it. Lines and rows are offsets in elements, so one table serves every image and every plane.
struct DepthwiseRow {
  index src, weights;
  index tap;  // along h
};

// The rows may be shared: a line has those that enter with it, which are read once for it and for the lines
// before it that they belong to as well, by later taps.
struct DepthwiseLine {
  index dst, first, count;  // which rows
  index number;             // along h
};

// One tap along w: source column of q = 0, and which of a row's weights.
struct DepthwiseTap {
  index column, weight;
};

// One axis in terms of q, of which every phase has a destination:
//   dst[q * phases + r + dst_first] is a sum of src[q * src_step + src_first + column]
// for the taps' columns. Sources outside of [0, src_size) are zeros, destinations outside of [0, dst_size)
// are not written; in [inner_begin, inner_end) there are neither.
struct DepthwiseAxis {
  index phases, src_step, src_first, dst_first, src_size, dst_size;
  index begin, end;
  index inner_begin, inner_end;
  index src_stride, dst_stride;  // between neighbouring positions
};

// A run of lines along w:
//   dst[line + w of (q, r)] = bias + sum over the line's rows, taps t of phase r of
//       src[row + w of (q, column[t])] * weights[row + weight[t]]
template <class T>
struct DepthwiseRun {
  const DepthwiseLine* lines;
  index line_count;
  const DepthwiseRow* rows;
  const DepthwiseTap* taps;
  const index* phase_taps;  // first tap per phase, and the end
  index kernel_size, dilation;
  const T* src;
  T* dst;
  const T* weights;
  const T* bias;
  DepthwiseAxis w;
  DepthwiseAxis h;  // for kernels of whole planes, whose lines and rows are planes, and for shared rows
  index channel_begin, channel_end, channels;
  bool streams;                // destinations go around the caches
  bool fetches;                // an adjoint's tile asks for what the next one reads
  index line_begin, line_end;  // numbers of those that are written, where rows are shared
};

// A plane of the inputs and one of the outputs, whose products are summed by tap; axes as of the adjoint,
// which goes from y to x.
//   sums[th, tw, :] adds up to sum over h, w of x[h, w] * y[h * s + src_first + th, w * s + src_first + tw]
template <class T>
struct DepthwisePlane {
  const T* x;
  const T* y;
  T* sums;
  DepthwiseAxis w, h;
};

// Kernels made for one size and stride: of lines along w, or of planes along h and w.
template <class T>
struct DepthwiseKernel {
  index kernel_size, stride;
  void (*last[2])(const DepthwiseRun<T>&);  // forward, adjoint
  // The same for a square kernel, whose lines and rows are planes and whose weights are packed: by vectors of
  // channels within a plane. Or null.
  void (*last_block[2])(const DepthwiseRun<T>&);
  index block_rows;  // of q, that these take at once
  // Adjoint with shared rows, if h has the same size and stride, and how many lines share them; or null
  // and 1.
  int shared;
  void (*last_shared)(const DepthwiseRun<T>&);
  // Or null. Forward the second is for crops that are no multiple of the stride; both count their crop from
  // the next multiple on.
  void (*plane[2][2])(const DepthwiseRun<T>&);
  void (*plane_gradient)(const DepthwisePlane<T>&);
};

// What the kernel of the dot method gets: a line of destinations, each a sum of runs of the source.
//   dst[p, n] = bias[n] + sum over runs r, elements e of src[offset[r] + p * src_step + e] * weights[r, e, n]
template <class T>
struct DotTile {
  const T* src;
  index src_step, positions;
  index runs, vectors;  // whole vectors of a run
  index last;           // elements of a run behind them
  index next;           // vectors from one position to the next, if those are shared and whole; else 0
  const index* src_offset;
  const T* weights;  // packed: (run, vector, n, lane), zeros behind the last element
  const T* bias;
  T* dst;
  index dst_step, dst_stride_c;
};

// Winograd transforms of one tile; see kernels/winograd.h.
template <class T>
struct WinogradInput {
  const T* const* samples;  // (d, h, w): channels of one sample each
  int depth;                // input transform of the first axis
  index channels;           // a multiple of the lanes
  T* dst;                   // (point, channel)
  index point_stride;
  index tiles = 1;                      // of a line, alike
  index sample_step = 0, dst_step = 0;  // from one to the next
};

template <class T>
struct WinogradOutput {
  const T* src;  // (point, panel)
  index point_stride;
  int depth;        // input transform of the first axis
  int last[kAxes];  // last output of the forms, the one that the point at infinity belongs to
  int vectors;
  const T* bias;                   // one panel
  T* dst;                          // destination 0, 0, 0 of the tile, which need not exist
  index stride[kAxes];             // between its destinations
  index begin[kAxes], end[kAxes];  // those that exist
  index tiles;                     // of a line, alike
  index src_step, dst_step;        // from one to the next
  index stride_c;
  index columns;
  bool streams;         // as in ChannelTile
  index dst_strip = 0;  // as well
};

// The same along one axis, by vectors of a line. Sample n of tile r is the line src[r * outputs + n], its
// point n the line dst + r * dst_pitch + n * dst_step, with zeros before and after.
template <class T>
struct WinogradLines {
  const T* const* src;
  T* dst;
  index rows, outputs;  // tiles, outputs of the form
  index before, count, after;
  index dst_pitch, dst_step;
};

// Sums n of tile r, lines + r * count + n * step of whole vectors, become its outputs, in place.
template <class T>
struct RestoredLines {
  T* lines;
  index rows, count, step;
  const T* bias;  // per tile
  int last;       // last output of the form
};

// Fourier transforms of the lines of an axis, in passes; see kernels/fourier.h.
template <class T>
struct FourierAxis {
  static constexpr int kMaxPasses = 5;
  index rows = 0;
  int passes = 0;
  bool plain = false;  // the first pass has no factors but 1
  int radix[kMaxPasses] = {};
  index blocks[kMaxPasses] = {};
  const T* factors[kMaxPasses] = {};  // per block: powers 1, 2, ... of its c, real and imaginary part
};

template <class T>
struct FourierLines {
  const FourierAxis<T>* axis;
  index strips;  // vectors of lines
  const T* src;
  index src_row, src_im, src_strip;  // to the next row, the imaginary part, the next strip
  T* dst;
  index dst_row, dst_im, dst_strip;
  T* work;  // rows of two vectors
};

// Spectra, kPairs complex vectors at a time.
//   dst[b] = sum over terms t of x[t, b] * k[b, t]
// and, for the gradient to the kernel,
//   dst[b] = or += sum over terms t of the conjugate of x[t, b] * k[t, b]
template <class T>
struct FourierProducts {
  static constexpr int kPairs = 4;
  index blocks, terms;
  const T* x;
  index x_term;
  const T* k;
  T* dst;
  index k_term = 0;  // of the gradient
  bool add = false;
};

// Those of the kernel gradient; see kernels/winograd_gradient.h.
template <class T>
struct WinogradGradientInput {
  const T* const* samples;  // (d, h, w): as many as the most outputs of the input transforms
  int depth;                // input transform of the first axis
  int last[kAxes];          // last sample of the forms; those behind it are zeros
  index channels;           // a multiple of the lanes
  T* dst;                   // (point, channel)
  index point_stride;
};

template <class T>
struct WinogradGradientOutput {
  const T* src;  // (point d, h, w, channel)
  index point_stride;
  int points[kAxes], taps[kAxes];
  const T* weight[kAxes];  // (tap, point)
  index channels;          // to store; whole vectors are read
  T* dst;                  // of the first tap
  index stride[kAxes];     // between taps
  bool add;
};

// The kernels of one element type on one path. Tables are indexed by size - 1.
template <class T>
struct KernelTable {
  static constexpr int kMaxPositions = 16, kMaxVectors = 2, kMaxRows = 8, kMaxRowVectors = 8;
  static constexpr int kDepthwiseKernels = 8, kDepthwiseStrides = 3;
  int lanes;                       // elements per vector
  int strip;                       // channels that leave for planes together, or more than any panel has
  int max_positions[kMaxVectors];  // largest tile of the channel method with 1 and 2 vectors
  void (*channel[kMaxVectors][kMaxPositions])(const ChannelTile<T>&);
  void (*summed_channel[kMaxVectors][kMaxPositions])(const ChannelTile<T>&);  // weights are sums of `terms`
  int max_group_positions;  // of the group method; 0 where vectors have no permutation
  void (*group[kMaxPositions])(const GroupTile<T>&);
  // By channels of a part and taps.
  int max_group_taps[GroupGradientTile<T>::kMaxChannels];
  void (*group_gradient[GroupGradientTile<T>::kMaxChannels][GroupGradientTile<T>::kMaxTaps])(
      const GroupGradientTile<T>&);
  // Of the kernel gradient by vectors and broadcast elements.
  static constexpr int kMaxGradientVectors = GradientTile<T>::kMaxVectors;
  int max_elements[kMaxGradientVectors];
  void (*gradient[kMaxGradientVectors][kMaxPositions])(const GradientTile<T>&);
  static constexpr int kMaxDepthwiseVectors = 4, kMaxDepthwiseTaps = 4;
  int max_depthwise_vectors;
  void (*depthwise_gradient[kMaxDepthwiseVectors][kMaxDepthwiseTaps])(const DepthwiseGradientTile<T>&);
  // All lines of a square of taps at once, for sizes whose sums fit the registers.
  int max_square_vectors[kMaxDepthwiseTaps];
  void (*depthwise_gradient_square[kMaxDepthwiseVectors][kMaxDepthwiseTaps])(const DepthwiseGradientTile<T>&);
  int max_dot_taps;
  void (*dot_gradient[DotGradientTile<T>::kMaxTaps])(const DotGradientTile<T>&);
  static constexpr int kMaxDots = 4;  // destination channels of the dot method
  void (*dot[kMaxDots])(const DotTile<T>&);
  int max_rows;               // of the row method
  int row_vectors[kMaxRows];  // vectors of the largest tile with m rows
  void (*row[kMaxRows][kMaxRowVectors])(const RowTile<T>&);
  // Rows by twos, which leave interleaved: for tiles with lines.
  void (*row_pairs[kMaxRows / 2][kMaxRowVectors])(const RowTile<T>&);
  void (*sum_rows)(const SumTile<T>&);
  DepthwiseKernel<T> depthwise[kDepthwiseKernels];
  void (*depthwise_any)(const DepthwiseRun<T>&);
  // Channels-first kernels of lines for strides 1, 2 and 4, forward and adjoint; one channel per run.
  void (*depthwise_first[kDepthwiseStrides][2])(const DepthwiseRun<T>&);
  // By the input transforms of the axes h and w.
  void (*winograd_input[kWinogradInputs][kWinogradInputs])(const WinogradInput<T>&);
  void (*winograd_output[kWinogradInputs][kWinogradInputs])(const WinogradOutput<T>&);
  void (*line_points[kWinogradInputs])(const WinogradLines<T>&);
  void (*line_outputs[kWinogradInputs])(const RestoredLines<T>&);
  void (*fourier[2])(const FourierLines<T>&);  // there and back
  void (*fourier_turn)(const T* src, index src_block, T* dst, index dst_block, index blocks);
  void (*fourier_products)(const FourierProducts<T>&);
  void (*fourier_gradient)(const FourierProducts<T>&);
  void (*winograd_gradient_input[kWinogradInputs][kWinogradInputs])(const WinogradGradientInput<T>&);
  void (*winograd_gradient_output)(const WinogradGradientOutput<T>&);
  // dst = the sum of the terms in their order, as summed_channel has it
  void (*sum_terms)(const T* const* src, int terms, index count, T* dst);
  // dst = sum over terms of factor * src
  void (*combine)(const T* const* src, const double* factor, int terms, index count, T* dst);
  // (rows, columns) with row stride -> its transpose, both element strides 1 inside
  void (*transpose)(const T* src, index src_stride, index rows, index columns, T* dst, index dst_stride);
  // The same past the caches, for rows and dst that are whole cache lines; null where vectors are shorter.
  void (*transpose_streaming)(const T* src, index src_stride, index rows, index columns, T* dst,
                              index dst_stride);
  // (rows, count) with row stride -> the same elsewhere, past the caches but for lines that they share
  void (*copy_streaming)(const T* src, index src_stride, index rows, index count, T* dst, index dst_stride);
  // (rows, count) with row stride -> rows with zeros before and after
  void (*pad_rows)(const T* src, index src_stride, index rows, index before, index count, index after, T* dst,
                   index dst_stride);
  // dst[n * j + r] = rows[r][j] for r < n: n rows become one
  void (*interleave)(const T* const* rows, index n, index count, T* dst);
  // Past the caches, where dst is aligned; false where there is no kernel for so many rows.
  bool (*interleave_streaming)(const T* const* rows, index n, index count, T* dst);
  bool (*finite)(const T* src, index count);  // no infinity, no NaN
  // The two half types, float16 and bfloat16; steps are between numbers of the half array.
  void (*widen[2])(const std::uint16_t* src, index step, index count, float* dst);
  void (*narrow[2])(const float* src, index count, std::uint16_t* dst, index step);
  double (*fma_chain)(index iterations);  // returns something that depends on every sum
  index fma_chain_flops;                  // per iteration
};

// One instruction-set build of all kernels.
struct Path {
  const char* name;
  const char* description;
  const KernelTable<float>* f32;
  const KernelTable<double>* f64;
};

template <class T>
const KernelTable<T>& kernels(const Path& path);
template <>
inline const KernelTable<float>& kernels<float>(const Path& path) {
  return *path.f32;
}
template <>
inline const KernelTable<double>& kernels<double>(const Path& path) {
  return *path.f64;
}

}  // namespace ct
