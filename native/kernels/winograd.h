// Winograd transforms of one tile: samples to points, products to destinations. See winograd_forms.h.
#pragma once
#include "../core.h"
#include "../winograd_forms.h"
#include "simd.h"

namespace {

// dst[n] = sum over terms of factor[t] * src[t][n], in double precision: what the taps of a form become.
template <class T>
void combine(const T* const* src, const double* factor, int terms, ct::index count, T* dst) {
  constexpr int lanes = Simd<double>::lanes;
  typedef T Part __attribute__((vector_size(lanes * sizeof(T))));
  typedef T Unaligned __attribute__((vector_size(lanes * sizeof(T)), aligned(alignof(T)), may_alias));
  ct::index n = 0;
  for (; n + 2 * lanes <= count; n += 2 * lanes) {
    Vec<double> low = {}, high = {};
    for (int t = 0; t < terms; ++t) {
      const Part a = *reinterpret_cast<const Unaligned*>(src[t] + n);
      const Part b = *reinterpret_cast<const Unaligned*>(src[t] + n + lanes);
      low += factor[t] * __builtin_convertvector(a, Vec<double>);
      high += factor[t] * __builtin_convertvector(b, Vec<double>);
    }
    *reinterpret_cast<Unaligned*>(dst + n) = __builtin_convertvector(low, Part);
    *reinterpret_cast<Unaligned*>(dst + n + lanes) = __builtin_convertvector(high, Part);
  }
  for (; n < count; ++n) {
    double sum = 0;
    for (int t = 0; t < terms; ++t) sum += factor[t] * double(src[t][n]);
    dst[n] = T(sum);
  }
}

// Samples of one line to its points: the matrix B of a form.
template <int Input, class V>
inline void to_points(const V* d, int step, V* p, int point_step) {
  const auto at = [&](int n) { return d[n * step]; };
  const auto put = [&](int n, V v) { p[n * point_step] = v; };
  if constexpr (Input == 0) {
    put(0, at(0));
  } else if constexpr (Input == 1) {
    put(0, at(0) - at(1));
    put(1, at(1));
    put(2, at(2) - at(1));
  } else if constexpr (Input == 2) {
    put(0, at(0) - at(2));
    put(1, at(1) + at(2));
    put(2, at(2) - at(1));
    put(3, at(3) - at(1));
  } else if constexpr (Input == 3) {
    put(0, at(0) + at(3) - 1.5f * (at(1) + at(2)));
    put(1, at(1) + at(3) - 2.5f * at(2));
    put(2, at(3) + 0.5f * (at(2) - at(1)));
    put(3, at(3) - at(2) - 2.0f * at(1));
    put(4, at(1) + at(4) - 1.5f * (at(2) + at(3)));
  } else {
    const V half = 0.5f * (at(3) - at(1)), twice = 2.0f * (at(1) - at(3));
    put(0, at(0) + at(4) - 2.0f * at(2) + 1.5f * (at(1) - at(3)));
    put(1, at(4) - at(1) - 2.5f * at(2) - 0.5f * at(3));
    put(2, at(4) + at(1) + 0.5f * at(2) - 2.5f * at(3));
    put(3, at(4) - at(2) + half);
    put(4, at(4) - at(2) + twice);
    put(5, at(1) + at(5) - 2.0f * at(3) + 1.5f * (at(2) - at(4)));
  }
}

// Products of one line to the most destinations that its points serve: the matrix A of a form. The point at
// infinity belongs to the last one.
template <int Input, class V>
inline void to_outputs(const V* p, int step, V* y, int output_step, int last) {
  const auto at = [&](int n) { return p[n * step]; };
  const auto put = [&](int n, V v) {
    constexpr int infinity = ct::winograd_samples(Input) - 1;
    y[n * output_step] = n == last ? v + p[infinity * step] : v;
  };
  if constexpr (Input == 0) {
    y[0] = at(0);
  } else if constexpr (Input == 1) {
    put(0, at(0) + at(1));
    put(1, at(1));
  } else if constexpr (Input == 2) {
    const V sum = at(1) + at(2);
    put(0, at(0) + sum);
    put(1, at(1) - at(2));
    put(2, sum);
  } else if constexpr (Input == 3) {
    put(0, at(0) + at(1) + at(2) + at(3));
    put(1, 2.0f * at(2) + 0.5f * at(3) - at(1));
    put(2, at(1) + 4.0f * at(2) + 0.25f * at(3));
    put(3, 8.0f * at(2) + 0.125f * at(3) - at(1));
  } else {
    const V sum = at(1) + at(2), difference = at(1) - at(2);
    put(0, at(0) + sum + at(3) + at(4));
    put(1, difference + 2.0f * at(3) - 0.5f * at(4));
    put(2, sum + 4.0f * at(3) + 0.25f * at(4));
    put(3, difference + 8.0f * at(3) - 0.125f * at(4));
  }
}

// Points of one vector of channels along h and w.
template <class T, int H, int W>
inline void plane_points(const T* const* samples, ct::index c, T* dst, ct::index point_stride) {
  constexpr int nh = ct::winograd_samples(H), nw = ct::winograd_samples(W);
  Vec<T> along_w[nh * nw], points[nh * nw];
#pragma GCC unroll 6
  for (int h = 0; h < nh; ++h) {
    Vec<T> row[nw];
#pragma GCC unroll 6
    for (int w = 0; w < nw; ++w) row[w] = load(samples[h * nw + w] + c);
    to_points<W>(row, 1, along_w + h * nw, 1);
  }
#pragma GCC unroll 6
  for (int w = 0; w < nw; ++w) {
    to_points<H>(along_w + w, nw, points + w, nw);
#pragma GCC unroll 6
    for (int h = 0; h < nh; ++h) store(dst + (h * nw + w) * point_stride, points[h * nw + w]);
  }
}

// The same along d, from the points of its planes.
template <class T, int D>
__attribute__((noinline)) void depth_points(const T* planes, int plane, T* dst, ct::index point_stride) {
  constexpr int lanes = Simd<T>::lanes, nd = ct::winograd_samples(D);
  for (int n = 0; n < plane; ++n) {
    Vec<T> line[nd], points[nd];
#pragma GCC unroll 6
    for (int d = 0; d < nd; ++d) line[d] = load(planes + (d * plane + n) * lanes);
    to_points<D>(line, 1, points, 1);
#pragma GCC unroll 6
    for (int d = 0; d < nd; ++d) store(dst + (d * plane + n) * point_stride, points[d]);
  }
}

template <class T, int H, int W>
void winograd_input(const ct::WinogradInput<T>& a) {
  constexpr int lanes = Simd<T>::lanes;
  constexpr int plane = ct::winograd_samples(H) * ct::winograd_samples(W);
  alignas(64) T planes[ct::kWinogradMostPoints * plane * lanes];
  const int samples = ct::winograd_samples(a.depth);
  for (ct::index tile = 0; tile < a.tiles; ++tile)
    for (ct::index c = 0; c < a.channels; c += lanes) {
      const ct::index at = tile * a.sample_step + c;
      T* const dst = a.dst + tile * a.dst_step + c;
      if (a.depth == 0) {
        plane_points<T, H, W>(a.samples, at, dst, a.point_stride);
        continue;
      }
      for (int d = 0; d < samples; ++d)
        plane_points<T, H, W>(a.samples + d * plane, at, planes + d * plane * lanes, lanes);
      switch (a.depth) {
        case 1:
          depth_points<T, 1>(planes, plane, dst, a.point_stride);
          break;
        case 2:
          depth_points<T, 2>(planes, plane, dst, a.point_stride);
          break;
        case 3:
          depth_points<T, 3>(planes, plane, dst, a.point_stride);
          break;
        default:
          depth_points<T, 4>(planes, plane, dst, a.point_stride);
      }
    }
}

// The channels of a vector that exist, which may be apart from each other.
template <class T>
__attribute__((noinline)) void scatter(T* dst, Vec<T> y, ct::index count, ct::index stride) {
  constexpr int lanes = Simd<T>::lanes;
  if (stride == 1) return store(dst, y, Part<T>(0, count));
  T part[lanes];
  store(part, y);
  for (int n = 0; n < lanes && n < count; ++n) dst[n * stride] = part[n];
}

// Where the destinations of one vector of channels of a tile belong. Each goes there from its register.
template <class T>
class OutputPlace {
 public:
  OutputPlace(const ct::WinogradOutput<T>& a, int vector, ct::index tile)
      : stride_c_(a.stride_c), strip_(a.dst_strip), columns_(a.columns - vector * kLanes) {
    for (int n = 0; n < ct::kAxes; ++n) begin_[n] = a.begin[n], end_[n] = a.end[n], stride_[n] = a.stride[n];
    bias_ = load(a.bias + vector * kLanes);
    first_ = a.dst + tile * a.dst_step + vector * (strip_ ? kParts * strip_ : kLanes * stride_c_);
    whole_ = !strip_ && stride_c_ == 1 && columns_ >= kLanes;
    streams_ = a.streams;
  }

  __attribute__((always_inline)) void put(int h, int w, Vec<T> y) const {
    if (h < begin_[1] || h >= end_[1] || w < begin_[2] || w >= end_[2]) return;
    put_there(first_ + h * stride_[1] + w * stride_[2], y + bias_);
  }

  // The same from memory, along all axes: `plane` and `line` of them per d and h.
  __attribute__((noinline)) void put_all(const T* outputs, int plane, int line) const {
    for (ct::index d = begin_[0]; d < end_[0]; ++d)
      for (ct::index h = begin_[1]; h < end_[1]; ++h)
        for (ct::index w = begin_[2]; w < end_[2]; ++w)
          put_there(first_ + d * stride_[0] + h * stride_[1] + w * stride_[2],
                    load(outputs + (d * plane + h * line + w) * kLanes) + bias_);
  }

 private:
  static constexpr int kLanes = Simd<T>::lanes;

  __attribute__((always_inline)) void put_there(T* dst, Vec<T> y) const {
    if (whole_)
      streams_ ? stream(dst, y) : store(dst, y);
    else if (strip_)
      store_parts<T>([&](int n) { return dst + n * strip_; }, y);
    else
      scatter(dst, y, columns_, stride_c_);
  }

  Vec<T> bias_;
  T* first_;
  ct::index begin_[ct::kAxes], end_[ct::kAxes], stride_[ct::kAxes];
  ct::index stride_c_, strip_, columns_;
  bool whole_, streams_;
};

// Destinations of one vector of channels along h and w.
template <class T, int H, int W, class Put>
inline void plane_outputs(const T* src, ct::index point_stride, const int* last, Put put) {
  constexpr int ph = ct::winograd_samples(H), pw = ct::winograd_samples(W);
  constexpr int mh = ct::winograd_outputs(H), mw = ct::winograd_outputs(W);
  Vec<T> along_w[ph * mw], outputs[mh * mw];
#pragma GCC unroll 6
  for (int h = 0; h < ph; ++h) {
    Vec<T> row[pw];
#pragma GCC unroll 6
    for (int w = 0; w < pw; ++w) row[w] = load(src + (h * pw + w) * point_stride);
    to_outputs<W>(row, 1, along_w + h * mw, 1, last[2]);
  }
#pragma GCC unroll 4
  for (int w = 0; w < mw; ++w) to_outputs<H>(along_w + w, mw, outputs + w, mw, last[1]);
#pragma GCC unroll 4
  for (int h = 0; h < mh; ++h)
#pragma GCC unroll 4
    for (int w = 0; w < mw; ++w) put(h, w, outputs[h * mw + w]);
}

template <class T, int D>
__attribute__((noinline)) void depth_outputs(const T* planes, int plane, T* dst, int last) {
  constexpr int lanes = Simd<T>::lanes;
  constexpr int pd = ct::winograd_samples(D), md = ct::winograd_outputs(D);
  for (int n = 0; n < plane; ++n) {
    Vec<T> line[pd], outputs[md];
#pragma GCC unroll 6
    for (int d = 0; d < pd; ++d) line[d] = load(planes + (d * plane + n) * lanes);
    to_outputs<D>(line, 1, outputs, 1, last);
#pragma GCC unroll 4
    for (int d = 0; d < md; ++d) store(dst + (d * plane + n) * lanes, outputs[d]);
  }
}

template <class T, int H, int W>
void winograd_output(const ct::WinogradOutput<T>& a) {
  constexpr int lanes = Simd<T>::lanes;
  constexpr int points = ct::winograd_samples(H) * ct::winograd_samples(W);
  constexpr int lines = ct::winograd_outputs(H), line = ct::winograd_outputs(W), plane = lines * line;
  alignas(64) T planes[ct::kWinogradMostPoints * plane * lanes];
  alignas(64) T outputs[ct::kWinogradMostOutputs * plane * lanes];
  const int count = ct::winograd_samples(a.depth);
  for (ct::index tile = 0; tile < a.tiles; ++tile)
    for (int v = 0; v < a.vectors; ++v) {
      const OutputPlace<T> place(a, v, tile);
      const T* const src = a.src + tile * a.src_step + v * lanes;
      if (a.depth == 0) {
        plane_outputs<T, H, W>(src, a.point_stride, a.last,
                               [&](int h, int w, Vec<T> y)
                                   __attribute__((always_inline)) { place.put(h, w, y); });
        continue;
      }
      for (int d = 0; d < count; ++d) {
        T* const to = planes + d * plane * lanes;
        plane_outputs<T, H, W>(src + d * points * a.point_stride, a.point_stride, a.last,
                               [&](int h, int w, Vec<T> y) { store(to + (h * line + w) * lanes, y); });
      }
      switch (a.depth) {
        case 1:
          depth_outputs<T, 1>(planes, plane, outputs, a.last[0]);
          break;
        case 2:
          depth_outputs<T, 2>(planes, plane, outputs, a.last[0]);
          break;
        case 3:
          depth_outputs<T, 3>(planes, plane, outputs, a.last[0]);
          break;
        default:
          depth_outputs<T, 4>(planes, plane, outputs, a.last[0]);
      }
      place.put_all(outputs, plane, line);
    }
}

// The samples of tiles of lines become points.
template <class T, int Input>
void line_points(const ct::WinogradLines<T>& a) {
  constexpr int lanes = Simd<T>::lanes, n = ct::winograd_samples(Input);
  const Part<T> rest(0, (a.count - 1) % lanes + 1);
  for (ct::index r = 0; r < a.rows; ++r) {
    const T* const* src = a.src + r * a.outputs;
    T* dst = a.dst + r * a.dst_pitch;
    for (int i = 0; i < n; ++i)
      for (ct::index j = 0; j < a.before; ++j) dst[i * a.dst_step + j] = 0;
    dst += a.before;
    const auto step = [&](ct::index j, auto get, auto put) __attribute__((always_inline)) {
      Vec<T> samples[n], points[n];
#pragma GCC unroll 6
      for (int i = 0; i < n; ++i) samples[i] = get(src[i] + j);
      to_points<Input>(samples, 1, points, 1);
#pragma GCC unroll 6
      for (int i = 0; i < n; ++i) put(dst + i * a.dst_step + j, points[i]);
    };
    ct::index j = 0;
    for (; j + lanes <= a.count; j += lanes)
      step(j, [](const T* p) { return load(p); }, [](T* p, Vec<T> v) { store(p, v); });
    if (j < a.count)
      step(j, [&](const T* p) { return load(p, rest); }, [&](T* p, Vec<T> v) { store(p, v, rest); });
    for (int i = 0; i < n; ++i)
      for (j = a.count; j < a.count + a.after; ++j) dst[i * a.dst_step + j] = 0;
  }
}

// Sums of the points of lines become the lines of tiles, with a bias.
template <class T, int Input>
void line_outputs(const ct::RestoredLines<T>& a) {
  constexpr int lanes = Simd<T>::lanes, n = ct::winograd_samples(Input), m = ct::winograd_outputs(Input);
  for (ct::index r = 0; r < a.rows; ++r) {
    const Vec<T> bias = splat(a.bias[r]);
    T* line = a.lines + r * a.count;
    for (ct::index j = 0; j < a.count; j += lanes, line += lanes) {
      Vec<T> points[n], outputs[m];
#pragma GCC unroll 6
      for (int i = 0; i < n; ++i) points[i] = load(line + i * a.step);
      to_outputs<Input>(points, 1, outputs, 1, a.last);
#pragma GCC unroll 4
      for (int i = 0; i < m; ++i)
        if (i <= a.last) store(line + i * a.step, outputs[i] + bias);
    }
  }
}

}  // namespace
