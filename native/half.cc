#include "half.h"

#include <algorithm>
#include <atomic>

#include "window.h"

namespace ct {
namespace {

constexpr index kBandBytes = 768 << 10;  // of float sources and destinations together
constexpr index kPiece = 1 << 14;        // numbers that are converted at once

// Copies between equal boxes of a half array and of floats, as runs along the floats' fastest axis.
struct Conversion {
  static constexpr int kDims = kAxes + 2;
  struct Dim {
    index size, half_step, float_step;
  } dims[kDims];
  int used = 0;
  index rows = 1, pieces = 1;

  template <class H, class F>
  Conversion(const View<H>& h, const View<F>& f) {
    const Dim all[kDims] = {{h.n, h.stride_n, f.stride_n},
                            {h.size[0], h.stride[0], f.stride[0]},
                            {h.size[1], h.stride[1], f.stride[1]},
                            {h.size[2], h.stride[2], f.stride[2]},
                            {h.c, h.stride_c, f.stride_c}};
    for (const Dim& d : all)
      if (d.size != 1) dims[used++] = d;
    if (used == 0) dims[used++] = {1, 1, 1};
    std::sort(dims, dims + used, [](const Dim& a, const Dim& b) { return a.float_step < b.float_step; });
    int last = 0;  // axes that follow one another in both memories become one
    for (int n = 1; n < used; ++n) {
      Dim& inner = dims[last];
      if (dims[n].half_step == inner.half_step * inner.size &&
          dims[n].float_step == inner.float_step * inner.size)
        inner.size *= dims[n].size;
      else
        dims[++last] = dims[n];
    }
    used = last + 1;
    for (int n = 1; n < used; ++n) rows *= dims[n].size;
    pieces = ceil_div(dims[0].size, kPiece);
  }

  index tasks() const { return rows * pieces; }
  index elements() const { return rows * dims[0].size; }

  // visit(half offset, half step, float offset, count) of a task.
  template <class Visit>
  void each(index task, const Visit& visit) const {
    const index begin = task % pieces * kPiece;
    index row = task / pieces, from = begin * dims[0].half_step, to = begin;
    for (int n = 1; n < used; ++n) {
      from += row % dims[n].size * dims[n].half_step;
      to += row % dims[n].size * dims[n].float_step;
      row /= dims[n].size;
    }
    visit(from, dims[0].half_step, to, std::min(kPiece, dims[0].size - begin));
  }

  // All tasks, on several threads where they are many.
  template <class Visit>
  bool run(int threads, const Visit& visit) const {
    if (elements() == 0) return true;
    const index group = std::max<index>(1, kPiece / std::min(dims[0].size, kPiece));
    const auto body = [&](index task) {
      const index end = std::min((task + 1) * group, tasks());
      for (index n = task * group; n < end; ++n) each(n, visit);
    };
    return parallel_for(ceil_div(tasks(), group), elements() < 4 * kPiece ? 1 : threads, body, nullptr);
  }
};

// Contiguous floats of the sizes of a view, with the channels where its memory has them.
template <class F, class H>
View<F> band_of(const View<H>& like, float* memory) {
  View<F> out;
  out.data = memory;
  out.n = like.n;
  out.c = like.c;
  const bool planar = like.stride_c != 1 && like.stride[2] == 1;
  index step = planar ? 1 : like.c;
  for (int a = kAxes - 1; a >= 0; --a) {
    out.size[a] = like.size[a];
    out.stride[a] = step;
    step *= like.size[a];
  }
  out.stride_c = planar ? step : 1;
  out.stride_n = planar ? step * like.c : step;
  return out;
}

template <class T>
void box(View<T>& v, index n0, index n1, const index (&lo)[kAxes], const index (&hi)[kAxes]) {
  index offset = n0 * v.stride_n;
  v.n = n1 - n0;
  for (int a = 0; a < kAxes; ++a) {
    offset += lo[a] * v.stride[a];
    v.size[a] = hi[a] - lo[a];
  }
  if (v.data) v.data += offset;  // plans are explained without data
}

// Sources [lo, hi) that destinations [begin, end) of an axis read, at least one if there is one.
void reach(Kind kind, const Axis& a, index begin, index end, index& lo, index& hi) {
  const index far = (a.k - 1) * a.d;
  if (kind == Kind::forward) {
    lo = -floor_div(far - begin - a.lo, a.s);
    hi = floor_div(end - 1 + a.lo, a.s) + 1;
  } else {
    lo = begin * a.s - a.lo;
    hi = (end - 1) * a.s + far - a.lo + 1;
  }
  const index size = kind == Kind::forward ? a.i : a.o;
  lo = std::clamp<index>(lo, 0, std::max<index>(size - 1, 0));
  hi = std::clamp<index>(hi, std::min(lo + 1, size), size);
}

}  // namespace

struct HalfMethod::Bands {
  index images, groups;              // per band; how many
  index block[kAxes], first[kAxes];  // destinations of a band and of the first one
  index blocks[kAxes], count = 0;
  index src_elements, dst_elements;  // of the largest band, in float memory; sources first
  bool side_by_side;                 // a thread per band, else all threads in every band

  void range(int a, index at, index size, index& begin, index& end) const {
    begin = at == 0 ? 0 : first[a] + (at - 1) * block[a];
    end = std::min(first[a] + at * block[a], size);
  }
};

HalfMethod::Bands HalfMethod::cut(const HalfCall& call) const {
  Bands b;
  const bool forward = shape_.kind == Kind::forward;
  const index(&sizes)[kAxes] = call.wide.data ? call.wide.size : call.dst.size;
  const index dst_c = call.wide.data ? call.wide.c : call.dst.c;
  const auto count = [&] {
    b.src_elements = call.src.c;
    b.dst_elements = call.wide.data ? 0 : dst_c;
    for (int a = 0; a < kAxes; ++a) {
      const Axis& x = call.axes[a];
      const index span = (x.k - 1) * x.d + 1;
      const index read = forward ? ceil_div(b.block[a] + span - 1, x.s) + 1 : (b.block[a] - 1) * x.s + span;
      b.src_elements *= std::min(read, call.src.size[a]);
      b.dst_elements *= b.block[a];
    }
    return (b.src_elements + b.dst_elements) * index(sizeof(float));
  };
  for (int a = 0; a < kAxes; ++a) b.block[a] = sizes[a];
  // Heavy weights want many positions per pass, but no more memory than a fifth of all halves.
  const index weights = shape_.taps() * shape_.c_out / shape_.groups * shape_.c_in * index(sizeof(float));
  const index budget = std::max(kBandBytes, std::min(weights / 2, (count() + weights) / 2 / 5));
  // Pairs of whole strides, so that no method meets a broken group of phases.
  const auto halve = [&](int a, index smallest) {
    const index unit = forward ? 2 * call.axes[a].s : 2;
    const index less = ceil_div(ceil_div(b.block[a], 2), unit) * unit;
    if (b.block[a] <= smallest || less >= b.block[a]) return false;
    b.block[a] = less;
    return true;
  };
  for (const index smallest : {32, 8, 1})
    for (int a = 0; a < kAxes; ++a)
      while (count() > budget && halve(a, a == 2 ? 8 * smallest : smallest)) {
      }
  b.images = std::clamp<index>(budget / count(), 1, std::max<index>(call.src.n, 1));
  index whole = 1;
  for (int a = 0; a < kAxes; ++a) {
    const index late = forward ? (call.axes[a].lo % call.axes[a].s + call.axes[a].s) % call.axes[a].s : 0;
    const bool cut = b.block[a] < sizes[a];
    if (cut) {  // as many bands, of one size
      const index unit = forward ? 2 * call.axes[a].s : 2, bands = ceil_div(sizes[a] + late, b.block[a]);
      b.block[a] = std::min(b.block[a], ceil_div(ceil_div(sizes[a] + late, bands), unit) * unit);
    }
    b.first[a] = cut ? b.block[a] - late : sizes[a];
    b.blocks[a] = cut ? 1 + ceil_div(sizes[a] - b.first[a], b.block[a]) : 1;
    whole *= b.blocks[a];
  }
  if (whole > 1) b.images = 1;
  b.groups = ceil_div(call.src.n, b.images);
  b.count = whole * b.groups;
  b.src_elements = ceil_div(b.src_elements * b.images, 16) * 16;
  b.dst_elements *= b.images;
  const int threads = thread_count(call.threads);
  b.side_by_side = threads > 1 && b.count >= 2 * threads && budget == kBandBytes;
  return b;
}

struct HalfMethod::Context {
  const HalfMethod* self;
  const Method<float>* method;
  const Bands* bands;
  const HalfCall* call;
  std::atomic<bool> stopped{false};

  // Where a band lies, and its own arithmetic.
  struct Place {
    Axis axes[kAxes];
    index n0, n1, lo[kAxes], hi[kAxes], begin[kAxes], end[kAxes];  // images, sources, destinations
  };
  Place place(index band) const {
    Place p;
    const bool forward = self->shape_.kind == Kind::forward;
    for (int a = kAxes - 1; a >= 0; --a) {
      const Axis& whole = call->axes[a];
      bands->range(a, band % bands->blocks[a], forward ? whole.o : whole.i, p.begin[a], p.end[a]);
      band /= bands->blocks[a];
      reach(self->shape_.kind, whole, p.begin[a], p.end[a], p.lo[a], p.hi[a]);
      const index src = p.hi[a] - p.lo[a], dst = p.end[a] - p.begin[a];
      p.axes[a] = whole;
      p.axes[a].i = forward ? src : dst;
      p.axes[a].o = forward ? dst : src;
      p.axes[a].lo += forward ? p.begin[a] - p.lo[a] * whole.s : p.lo[a] - p.begin[a] * whole.s;
    }
    p.n0 = band * bands->images;
    p.n1 = std::min(p.n0 + bands->images, call->src.n);
    return p;
  }
  // The band's data in float memory; halves say where it comes from and goes to.
  Call<float> open(const Place& p, float* memory, View<const half>& from, View<half>& to) const {
    const int threads = bands->side_by_side ? 1 : call->threads;
    Call<float> out{{}, {}, p.axes, call->bias, threads, call->should_stop};
    from = call->src;
    box(from, p.n0, p.n1, p.lo, p.hi);
    out.src = band_of<const float>(from, memory);
    if (call->wide.data) {
      out.dst = call->wide;
      box(out.dst, p.n0, p.n1, p.begin, p.end);
    } else {
      to = call->dst;
      box(to, p.n0, p.n1, p.begin, p.end);
      out.dst = band_of<float>(to, memory ? memory + bands->src_elements : nullptr);
    }
    return out;
  }
};

void HalfMethod::run_band(void* context, index band) {
  Context& ctx = *static_cast<Context*>(context);
  if (ctx.stopped) return;
  const Bands& bands = *ctx.bands;
  const auto& table = *ctx.self->path_.f32;
  const int type = int(ctx.self->type_);
  const std::size_t needed = sizeof(float) * std::size_t(bands.src_elements + bands.dst_elements);
  float* const memory = static_cast<float*>(scratch(needed, 1));
  const Context::Place place = ctx.place(band);
  View<const half> from;
  View<half> to;
  const Call<float> call = ctx.open(place, memory, from, to);
  Conversion(from, call.src).run(call.threads, [&](index at, index step, index of, index count) {
    table.widen[type](from.data + at, step, count, memory + of);
  });
  if (!ctx.method->run(call)) ctx.stopped = true;
  if (ctx.call->wide.data || ctx.stopped) return;
  Conversion(to, call.dst).run(call.threads, [&](index at, index step, index of, index count) {
    table.narrow[type](call.dst.data + of, count, to.data + at, step);
  });
}

bool HalfMethod::run(const Method<float>& method, const HalfCall& call) const {
  const Bands bands = cut(call);
  Context context{this, &method, &bands, &call};
  const int threads = bands.side_by_side ? call.threads : 1;
  return parallel_for(bands.count, threads, &run_band, &context, call.should_stop) && !context.stopped;
}

index HalfMethod::workspace_bytes(const Method<float>& method, const HalfCall& call) const {
  const Bands bands = cut(call);
  const Context context{this, &method, &bands, &call};
  index middle = 0;  // a band of full size
  for (int a = 0; a < kAxes; ++a) middle = middle * bands.blocks[a] + (bands.blocks[a] > 1 ? 1 : 0);
  const Context::Place place = context.place(middle);
  View<const half> from;
  View<half> to;
  const index own = (bands.src_elements + bands.dst_elements) * index(sizeof(float));
  const index together = own + method.workspace_bytes(context.open(place, nullptr, from, to));
  return together * (bands.side_by_side ? workers(call.threads, bands.count) : 1);
}

std::string HalfMethod::explain(const HalfCall& call) const {
  const Bands bands = cut(call);
  return std::string(type_ == Half::float16 ? "float16" : "bfloat16") + " converted in " +
         std::to_string(bands.count) + (bands.count == 1 ? " band" : " bands");
}

namespace {

struct BandedGradient {
  View<const half> x, y;
  const Axis* axes;
  index groups;
  Half type;
  const Path& path;
  int threads;
  ShouldStop should_stop;
  Blocks bands;
  Buffer<float> sums;
  Algorithm algorithm;
  bool first = true, stopped = false;
};

constexpr bool kNoPadding[kAxes] = {false, false, false};

void add_band(void* context, index band) {
  BandedGradient& r = *static_cast<BandedGradient*>(context);
  if (r.stopped) return;
  const Box of_x = r.bands.box(band), of_y = r.bands.reached(of_x, kNoPadding);
  if (of_y.positions() == 0) return;
  Axis axes[kAxes];
  for (int a = 0; a < kAxes; ++a) {
    axes[a] = r.axes[a];
    axes[a].i = of_x.hi[a] - of_x.lo[a];
    axes[a].o = of_y.hi[a] - of_y.lo[a];
    axes[a].lo += of_y.lo[a] - of_x.lo[a] * axes[a].s;
  }
  View<const half> from_x = r.x, from_y = r.y;
  box(from_x, of_x.n0, of_x.n1, of_x.lo, of_x.hi);
  box(from_y, of_y.n0, of_y.n1, of_y.lo, of_y.hi);
  const index x_elements = ceil_div(of_x.positions() * r.x.c, 16) * 16;
  const index elements = x_elements + of_y.positions() * r.y.c;
  float* const memory = static_cast<float*>(scratch(sizeof(float) * std::size_t(elements), 1));
  const auto convert = r.path.f32->widen[int(r.type)];
  const auto open = [&](const View<const half>& from, float* to) {
    const View<const float> made = band_of<const float>(from, to);
    Conversion(from, made).run(r.threads, [&](index at, index step, index of, index count) {
      convert(from.data + at, step, count, to + of);
    });
    return made;
  };
  const View<const float> x = open(from_x, memory), y = open(from_y, memory + x_elements);
  r.stopped = !kernel_gradient(x, y, r.sums.data(), axes, r.groups, r.path, r.threads, r.should_stop,
                               !r.first, r.algorithm);
  r.first = false;
}

}  // namespace

bool kernel_gradient(const View<const half>& x, const View<const half>& y, half* out,
                     const Axis (&axes)[kAxes], index groups, Half type, const Path& path, int threads,
                     ShouldStop should_stop, Algorithm algorithm) {
  index weights = y.c / groups * x.c;
  for (const Axis& a : axes) weights *= a.k;
  BandedGradient run{
      x,        y, axes, groups, type, path, threads, should_stop, Blocks(x.n, axes), Buffer<float>(weights),
      algorithm};
  // Every band passes over all sums once more.
  const index budget = std::max(2 * kBandBytes, weights * index(sizeof(float)) / 8);
  const auto bytes = [&] {
    return (run.bands.x_positions() * x.c + run.bands.y_positions(kNoPadding) * y.c) * index(sizeof(float));
  };
  while (bytes() > budget && run.bands.halve()) {
  }
  if (!parallel_for(run.bands.count(), 1, &add_band, &run, should_stop) || run.stopped) return false;
  float* const sums = run.sums.data();
  if (run.first) std::fill_n(sums, weights, 0.0f);  // no tap meets anything
  View<half> to;
  to.c = weights;
  const auto convert = path.f32->narrow[int(type)];
  return Conversion(to, band_of<float>(to, sums))
      .run(threads,
           [&](index at, index step, index of, index count) { convert(sums + of, count, out + at, step); });
}

}  // namespace ct
