// All kernels of one path. Compiled once per instruction set, with CT_PATH as its namespace.
// Only our own headers here: a standard header would leak code of this instruction set into symbols
// that the whole library shares.
#include "../core.h"
#include "channel.h"
#include "depthwise.h"
#include "depthwise_block.h"
#include "depthwise_first.h"
#include "depthwise_plane.h"
#include "depthwise_plane_gradient.h"
#include "dot.h"
#include "dot_gradient.h"
#include "fourier.h"
#include "gradient.h"
#include "group.h"
#include "half.h"
#include "move.h"
#include "projection.h"
#include "row.h"
#include "simd.h"
#include "winograd.h"
#include "winograd_gradient.h"

namespace ct {
namespace CT_PATH {
namespace {

// Largest tile whose sums, panel and one broadcast fit the vector registers.
template <int V>
constexpr int positions() {
  return kRegisters == 32 ? (V == 1 ? 14 : 14) : (V == 1 ? 12 : 6);
}

// Rows of the row method: with 16 registers more than four leave no room for vectors.
constexpr int kRows = kRegisters == 32 ? 8 : 4;

template <class T, int M, int V>
void add_row_kernels(KernelTable<T>& t) {
  t.row[M - 1][V - 1] = row_kernel<T, M, V>;
  if constexpr (M % 2 == 0) t.row_pairs[M / 2 - 1][V - 1] = row_pairs_kernel<T, M, V>;
  if constexpr (V > 1) add_row_kernels<T, M, V - 1>(t);
}

template <class T, int M = kRows>
void add_rows(KernelTable<T>& t) {
  t.row_vectors[M - 1] = row_vectors(M);
  add_row_kernels<T, M, row_vectors(M)>(t);
  if constexpr (M > 1) add_rows<T, M - 1>(t);
}

template <class T, int N = 0>
void add_winograd(KernelTable<T>& t) {
  constexpr int h = N / kWinogradInputs, w = N % kWinogradInputs;
  t.winograd_input[h][w] = winograd_input<T, h, w>;
  t.winograd_output[h][w] = winograd_output<T, h, w>;
  t.winograd_gradient_input[h][w] = winograd_gradient_input<T, h, w>;
  if constexpr (h == 0) {
    t.line_points[w] = line_points<T, w>;
    t.line_outputs[w] = line_outputs<T, w>;
  }
  if constexpr (N < kWinogradInputs * kWinogradInputs - 1) add_winograd<T, N + 1>(t);
}

template <class T, int V, int M = gradient_elements(V)>
void add_gradient_kernels(KernelTable<T>& t) {
  t.gradient[V - 1][M - 1] = gradient_kernel<T, M, V>;
  if constexpr (M > 1) add_gradient_kernels<T, V, M - 1>(t);
}

template <class T, int V = KernelTable<T>::kMaxGradientVectors>
void add_gradients(KernelTable<T>& t) {
  t.max_elements[V - 1] = gradient_elements(V);
  add_gradient_kernels<T, V>(t);
  if constexpr (V > 1) add_gradients<T, V - 1>(t);
}

template <class T, int M = group_positions()>
void add_groups(KernelTable<T>& t) {
  t.group[M - 1] = group_kernel<T, M>;
  if constexpr (M > 1) add_groups<T, M - 1>(t);
}

// Two groups at least share a vector.
template <class T, int C = Simd<T>::lanes / 2, int Taps = group_taps(C)>
void add_group_gradients(KernelTable<T>& t) {
  t.max_group_taps[C - 1] = group_taps(C);
  t.group_gradient[C - 1][Taps - 1] = group_gradient_kernel<T, C, Taps>;
  if constexpr (Taps > 1)
    add_group_gradients<T, C, Taps - 1>(t);
  else if constexpr (C > 1)
    add_group_gradients<T, C - 1>(t);
}

constexpr int kDepthwiseVectors = kRegisters == 32 ? 4 : 2;

template <class T, int N = 4 * kDepthwiseVectors - 1>
void add_depthwise_gradients(KernelTable<T>& t) {
  t.depthwise_gradient[N / 4][N % 4] = depthwise_gradient_kernel<T, N % 4 + 1, N / 4 + 1>;
  if constexpr (N > 0) add_depthwise_gradients<T, N - 1>(t);
}

template <class T, int K = 4>
void add_depthwise_squares(KernelTable<T>& t) {
  constexpr int vectors = depthwise_square_vectors(K);
  t.max_square_vectors[K - 1] = vectors;
  if constexpr (vectors > 0) t.depthwise_gradient_square[0][K - 1] = depthwise_gradient_kernel<T, K, 1, K>;
  if constexpr (vectors > 1) t.depthwise_gradient_square[1][K - 1] = depthwise_gradient_kernel<T, K, 2, K>;
  if constexpr (vectors > 2) t.depthwise_gradient_square[2][K - 1] = depthwise_gradient_kernel<T, K, 3, K>;
  if constexpr (vectors > 3) t.depthwise_gradient_square[3][K - 1] = depthwise_gradient_kernel<T, K, 4, K>;
  if constexpr (K > 2) add_depthwise_squares<T, K - 1>(t);
}

template <class T, int M = dot_gradient_taps()>
void add_dot_gradients(KernelTable<T>& t) {
  t.dot_gradient[M - 1] = dot_gradient_kernel<T, M>;
  if constexpr (M > 1) add_dot_gradients<T, M - 1>(t);
}

template <class T, int K, int S>
DepthwiseKernel<T> depthwise() {
  DepthwiseKernel<T> out = {};
  out.kernel_size = K;
  out.stride = S;
  out.last[0] = depthwise_forward<T, K, S>;
  out.last[1] = depthwise_adjoint<T, K, S, 1>;
  if constexpr (S < 4) out.block_rows = Block<K, S, true>::L;
  // With a stride 16 registers do not hold enough lines and positions for all of their phases.
  if constexpr (S == 1 || (S == 2 && kRegisters == 32)) out.last_block[0] = depthwise_block<T, K, S, true>;
  if constexpr (S == 1) out.last_block[1] = depthwise_block<T, K, S, false>;
  // Without a stride a row is no larger than the sums that it would be added to.
  out.shared = 1;
  if constexpr (S > 1 && K > S) {
    out.shared = (K + S - 1) / S;
    out.last_shared = depthwise_adjoint<T, K, S, (K + S - 1) / S>;
  }
  if constexpr (S < 4) {
    out.plane[0][0] = depthwise_plane<T, K, S, true, 0>;
    out.plane[0][1] = depthwise_plane<T, K, S, true, S - 1>;
    out.plane[1][0] = out.plane[1][1] = depthwise_plane<T, K, S, false, 0>;
    out.plane_gradient = depthwise_plane_gradient<T, K, S>;
  }
  return out;
}

template <class T, int S>
void add_depthwise_lines(KernelTable<T>& t) {
  t.depthwise_first[S / 2][0] = depthwise_first<T, S, true>;
  t.depthwise_first[S / 2][1] = depthwise_first<T, S, false>;
}

// The sizes and strides that networks use; anything else takes the general kernels.
template <class T>
void add_depthwise(KernelTable<T>& t) {
  DepthwiseKernel<T>* next = t.depthwise;
  *next++ = depthwise<T, 3, 1>();
  *next++ = depthwise<T, 5, 1>();
  *next++ = depthwise<T, 7, 1>();
  *next++ = depthwise<T, 2, 2>();
  *next++ = depthwise<T, 3, 2>();
  *next++ = depthwise<T, 4, 2>();
  *next++ = depthwise<T, 5, 2>();
  *next++ = depthwise<T, 8, 4>();
  t.depthwise_any = depthwise_any<T>;
  add_depthwise_lines<T, 1>(t);
  add_depthwise_lines<T, 2>(t);
  add_depthwise_lines<T, 4>(t);
}

template <class T>
KernelTable<T> make() {
  KernelTable<T> t = {};
  t.lanes = Simd<T>::lanes;
  // Strips of shorter vectors would be shorter than half a cache line: whole panels were quicker.
  t.strip = kVectorBytes == 64 ? kStrip<T> : 2 * Simd<T>::lanes;
  t.max_positions[0] = positions<1>();
  t.max_positions[1] = positions<2>();
#define CT_ENTRY(m)                                              \
  if constexpr (m <= positions<1>()) {                           \
    t.channel[0][m - 1] = channel_kernel<T, m, 1>;               \
    t.summed_channel[0][m - 1] = summed_channel_kernel<T, m, 1>; \
  }                                                              \
  if constexpr (m <= positions<2>()) {                           \
    t.channel[1][m - 1] = channel_kernel<T, m, 2>;               \
    t.summed_channel[1][m - 1] = summed_channel_kernel<T, m, 2>; \
  }
#include "kernels.inc"
#undef CT_ENTRY
  if constexpr (kPermutes) {
    t.max_group_positions = group_positions();
    add_groups<T>(t);
    add_group_gradients<T>(t);
  }
  add_gradients<T>(t);
  t.max_depthwise_vectors = kDepthwiseVectors;
  add_depthwise_gradients<T>(t);
  add_depthwise_squares<T>(t);
  t.max_dot_taps = dot_gradient_taps();
  add_dot_gradients<T>(t);
  t.dot[0] = dot_kernel<T, 1>;
  t.dot[1] = dot_kernel<T, 2>;
  t.dot[2] = dot_kernel<T, 3>;
  t.dot[3] = dot_kernel<T, 4>;
  t.max_rows = kRows;
  add_rows<T>(t);
  add_winograd<T>(t);
  t.fourier[0] = fourier_lines<T, false>;
  t.fourier[1] = fourier_lines<T, true>;
  t.fourier_turn = fourier_turn<T>;
  t.fourier_products = fourier_products<T>;
  t.fourier_gradient = fourier_gradient<T>;
  t.winograd_gradient_output = winograd_gradient_output<T>;
  t.sum_terms = sum_terms<T>;
  t.combine = combine<T>;
  t.sum_rows = sum_rows<T>;
  add_depthwise(t);
  t.transpose = transpose<T>;
  t.transpose_streaming = kVectorBytes == 64 ? transpose<T, true> : nullptr;
  t.pad_rows = pad_rows<T>;
  t.copy_streaming = copy_streaming<T>;
  t.interleave = interleave<T>;
  t.interleave_streaming = interleave_streaming<T>;
  t.finite = finite<T>;
  t.widen[0] = widen<Float16>;
  t.widen[1] = widen<BFloat16>;
  t.narrow[0] = narrow<Float16>;
  t.narrow[1] = narrow<BFloat16>;
  t.fma_chain = fma_chain<T>;
  t.fma_chain_flops = 2 * kPeakChains * Simd<T>::lanes;
  return t;
}

}  // namespace

const KernelTable<float>* table_f32() {
  static const KernelTable<float> table = make<float>();
  return &table;
}

const KernelTable<double>* table_f64() {
  static const KernelTable<double> table = make<double>();
  return &table;
}

}  // namespace CT_PATH
}  // namespace ct
