// Arrays of float16 and bfloat16: computed in float, converted band by band.
//
// A band is a group of whole images, or a box of one image's destinations with the sources that it reads:
// small enough for the second cache, large enough that weights pass over many positions. Its cuts depend
// on the sizes of one image alone. Any method computes a band as it would compute an image.
#pragma once
#include <cstdint>

#include "method.h"

namespace ct {

using half = std::uint16_t;  // the bits of either type

enum class Half { float16, bfloat16 };  // in the order of the kernel tables

// The data of one run. Where sums shall not be rounded yet, they go to `wide` instead of dst.
struct HalfCall {
  View<const half> src;
  View<half> dst;
  View<float> wide;  // no data: unused
  const Axis (&axes)[kAxes];
  const float* bias;
  int threads;
  ShouldStop should_stop;
};

class HalfMethod {
 public:
  HalfMethod(const Shape& shape, const Path& path, Half type) : shape_(shape), path_(path), type_(type) {}

  // As Method<float>::run, with `method` for the bands.
  bool run(const Method<float>& method, const HalfCall& call) const;
  index workspace_bytes(const Method<float>& method, const HalfCall& call) const;
  std::string explain(const HalfCall& call) const;

 private:
  struct Bands;
  struct Context;
  Bands cut(const HalfCall& call) const;
  static void run_band(void* context, index band);

  Shape shape_;
  const Path& path_;
  Half type_;
};

// The kernel gradient of halves, summed in float over bands of positions.
bool kernel_gradient(const View<const half>& x, const View<const half>& y, half* out,
                     const Axis (&axes)[kAxes], index groups, Half type, const Path& path, int threads,
                     ShouldStop should_stop, Algorithm algorithm);

}  // namespace ct
