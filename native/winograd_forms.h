// The minimal filters F(m, r) of Winograd and Toom: m outputs of r taps by m + r - 1 products instead of
// m * r. A form evaluates the polynomials of samples and taps at a few points:
//
//   y[i] = sum over taps k of d[i + k] g[k],    y = A ((G g) * (B d)),    i < m, k < r
//
// G stands here, B and A as code in kernels/winograd.h; forms of the same points share both, but for the
// number of outputs. The points are those of the smallest error: with 0, 1, -1 and infinity the rounding is
// that of the direct sum or below; the sets of five, 0, -1, 2, 1/2, infinity, and of six, 0, 1, -1, 2, -1/2,
// infinity, cost a factor of 1.1 to 1.6 per axis. Sources: S. Winograd, Arithmetic Complexity of
// Computations (1980); A. Lavin and S. Gray, arXiv:1509.09308; B. Barabasz et al., arXiv:1803.10986.
#pragma once

namespace ct {

// The finite points of an input transform, and the scale of their taps; infinity comes last. Input n > 0 has
// n + 2 samples and as many points.
struct WinogradPoints {
  int finite;
  double at[5], scale[5];
};

constexpr WinogradPoints kWinogradPoints[] = {
    {0, {}, {}},
    {2, {0, 1}, {1, 1}},
    {3, {0, 1, -1}, {1, .5, .5}},
    {4, {0, -1, 2, .5}, {1, -2 / 9., 1 / 9., -8 / 9.}},
    {5, {0, 1, -1, 2, -.5}, {1, -1 / 3., 1 / 3., 1 / 15., -16 / 15.}},
};
constexpr int kWinogradInputs = 5, kWinogradMostPoints = 6, kWinogradMostOutputs = 4, kWinogradMostTaps = 5;
constexpr int kWinogradLongest = 16;  // taps of a phase

// Static: no path may share code with another.
static inline constexpr int winograd_samples(int input) { return input == 0 ? 1 : input + 2; }
// Outputs of the form with the fewest taps.
static inline constexpr int winograd_outputs(int input) { return input < 4 ? input + 1 : 4; }

struct WinogradForm {
  const char* name;
  int outputs, taps, points;
  int input;
  int rough;  // how much accuracy it costs

  // G: what tap k, in the order of the samples, adds to a point.
  double weight(int point, int k) const {
    if (input == 0) return 1;
    if (point == kWinogradPoints[input].finite) return k == taps - 1;
    double power = kWinogradPoints[input].scale[point];
    for (int n = 0; n < k; ++n) power *= kWinogradPoints[input].at[point];
    return power;
  }

  // More taps are a sum of parts. If parts are whole tiles apart, the samples of one part are those of
  // another tile: all parts share the transformed points, and their products are one longer sum.
  int shift() const { return taps / outputs; }  // tiles between neighbouring parts
  bool serves(int all) const { return all == taps || (all > taps && shift() > 0); }
  int parts(int all) const {
    const int step = shift() * outputs;
    return all <= taps ? 1 : 1 + (all - taps + step - 1) / step;
  }
  // The taps [begin, end) of a part; the last part takes what is left.
  void part(int all, int part, int& begin, int& end) const {
    begin = part * shift() * outputs;
    end = part == parts(all) - 1 ? all : begin + shift() * outputs;
  }
  // Whether a part adds to a point: that at infinity is the last tap alone.
  bool meets(int all, int part, int point) const {
    int begin, end;
    this->part(all, part, begin, end);
    return input == 0 || point < kWinogradPoints[input].finite || end - begin == taps;
  }
  // Products of one tile.
  int products(int all) const {
    int sum = 0;
    for (int point = 0; point < points; ++point)
      for (int part = 0; part < parts(all); ++part) sum += meets(all, part, point);
    return sum;
  }
};

constexpr WinogradForm kWinogradForms[] = {
    {"1", 1, 1, 1, 0, 0},      {"F(2,2)", 2, 2, 3, 1, 0}, {"F(3,2)", 3, 2, 4, 2, 0},
    {"F(4,2)", 4, 2, 5, 3, 2}, {"F(2,3)", 2, 3, 4, 2, 0}, {"F(3,3)", 3, 3, 5, 3, 1},
    {"F(4,3)", 4, 3, 6, 4, 2}, {"F(2,4)", 2, 4, 5, 3, 1}, {"F(3,4)", 3, 4, 6, 4, 1},
    {"F(2,5)", 2, 5, 6, 4, 1},
};
constexpr int kPlain = 0, kPairs = 1, kWinogradFormCount = sizeof(kWinogradForms) / sizeof(kWinogradForms[0]);
constexpr int kWinogradMostRough = 4;  // of all axes together

}  // namespace ct
