// The minimal filters F(m, r) of Winograd and Toom: m outputs of r taps by m + r - 1 products instead of
// m * r. A form evaluates the polynomials of samples and taps at a few points:
//
//   y[i] = sum over taps k of d[i + k] g[k],    y = A ((G g) * (B d)),    i < m, k < r
//
// G stands here, B and A as code in kernels/winograd.h. The points are those of the smallest error: with
// 0, 1, -1 and infinity the rounding is that of the direct sum or below, and F(4,2) with 0, -1, 2, 1/2,
// infinity and F(4,3) with 0, 1, -1, 2, -1/2, infinity stay within two to three times of it in one or two
// axes. Sources: S. Winograd, Arithmetic Complexity of Computations (1980); A. Lavin and S. Gray,
// arXiv:1509.09308; the order of points: B. Barabasz et al., arXiv:1803.10986.
#pragma once

namespace ct {

struct WinogradForm {
  const char* name;
  int outputs, taps, points;
  int input;            // which input transform; forms of the same points share it
  bool rough;           // loses a bit of accuracy per axis
  double weight[6][3];  // G: point, tap in the order of the samples
};

constexpr int kPlain = 0, kTwoTwo = 1, kThreeTwo = 2, kFourTwo = 3, kTwoThree = 4, kFourThree = 5;
constexpr WinogradForm kWinogradForms[] = {
    {"1", 1, 1, 1, 0, false, {{1}}},
    {"F(2,2)", 2, 2, 3, 1, false, {{1, 0}, {1, 1}, {0, 1}}},
    {"F(3,2)", 3, 2, 4, 2, false, {{1, 0}, {.5, .5}, {.5, -.5}, {0, 1}}},
    {"F(4,2)", 4, 2, 5, 3, true, {{1, 0}, {-2 / 9., 2 / 9.}, {1 / 9., 2 / 9.}, {-8 / 9., -4 / 9.}, {0, 1}}},
    {"F(2,3)", 2, 3, 4, 2, false, {{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}}},
    {"F(4,3)",
     4,
     3,
     6,
     4,
     true,
     {{1, 0, 0},
      {-1 / 3., -1 / 3., -1 / 3.},
      {1 / 3., -1 / 3., 1 / 3.},
      {1 / 15., 2 / 15., 4 / 15.},
      {-16 / 15., 8 / 15., -4 / 15.},
      {0, 0, 1}}},
};
constexpr int kWinogradFormCount = 6, kWinogradInputs = 5, kWinogradMostPoints = 6, kWinogradMostOutputs = 4;

// Samples, and as many points, of an input transform. Static: no path may share code with another.
static inline constexpr int winograd_samples(int input) { return input == 0 ? 1 : input + 2; }

}  // namespace ct
