// What the group method and its gradient share: several groups of few channels in one vector, whose lanes
// belong to the channels of one side while a permutation brings them the channels of the other.
#pragma once
#include <cstring>
#include <vector>

#include "window.h"

namespace ct {

constexpr index kGroupSlack = 64;  // vectors may read behind the last position

// Groups of a vector with `channels` lanes each.
inline index bundle_of(index lanes, index channels, index groups) {
  return std::min(lanes / channels, groups);
}

// Whether several groups stand in a vector, and fill half of all lanes.
template <class T>
bool bundles_fill(const KernelTable<T>& table, index channels, index groups) {
  if (table.max_group_positions == 0 || groups == 1 || 2 * channels > table.lanes) return false;
  return 2 * groups * channels >=
         ceil_div(groups, bundle_of(table.lanes, channels, groups)) * index(table.lanes);
}

// A position of the permuted side: its groups' channels, or where they are more than a vector holds, parts of
// them: the first few channels of all groups, then the next.
struct GroupLayout {
  index channels, bundle;  // of a group; groups
  index part, parts;       // channels of a group that meet in one vector, and how many such vectors
  index pitch;             // of a position

  GroupLayout(index lanes, index groups, index group_channels) : channels(group_channels), bundle(groups) {
    part = channels;
    if (bundle * channels > lanes)  // sizes that are copied fast
      for (part = 8; part * bundle > lanes;) part /= 2;
    parts = ceil_div(channels, part);
    pitch = parts * bundle * part;
  }
  index last() const { return channels - (parts - 1) * part; }
  index part_step() const { return bundle * part; }

  // Per channel of a part, where a lane finds its group's: lanes stand for `lane_channels` of every group.
  template <class T>
  std::vector<std::int32_t> order(index lanes, index lane_channels) const {
    constexpr index words = sizeof(T) / sizeof(std::int32_t);
    std::vector<std::int32_t> from(std::size_t(part * lanes * words), 0);
    for (index c = 0; c < part; ++c)
      for (index l = 0; l < bundle * lane_channels; ++l)
        for (index w = 0; w < words; ++w)
          from[std::size_t((c * lanes + l) * words + w)] =
              std::int32_t((l / lane_channels * part + c) * words + w);
    return from;
  }

  // Elements of a buffer that a line passes through, `positions` long.
  index line_elements(index positions) const {
    return parts > 1 ? positions * bundle * channels + kGroupSlack : 0;
  }

  // A copy of a box of the bundle that begins with `group`, zeros around it.
  template <class T>
  Window<T> open(const KernelTable<T>& table, const View<const T>& src, index group, index groups,
                 const Box& box, T* memory, T* line) const {
    const index first = group * channels, count = groups * channels;
    if (parts == 1) return copy_window(table, src, first, count, box, pitch, memory);
    const auto put = part == 1   ? &put_in_parts<1, T>
                     : part == 2 ? &put_in_parts<2, T>
                     : part == 4 ? &put_in_parts<4, T>
                                 : &put_in_parts<8, T>;
    const index width = box.hi[2] - box.lo[2];
    Box row = box;
    T* to = memory;
    for (row.n0 = box.n0; row.n0 < box.n1; ++row.n0)
      for (row.lo[0] = box.lo[0]; row.lo[0] < box.hi[0]; ++row.lo[0])
        for (row.lo[1] = box.lo[1]; row.lo[1] < box.hi[1]; ++row.lo[1], to += width * pitch) {
          row.n1 = row.n0 + 1;
          row.hi[0] = row.lo[0] + 1;
          row.hi[1] = row.lo[1] + 1;
          copy_window(table, src, first, count, row, bundle * channels, line);
          put(line, width, bundle, channels, to);
        }
    return window_of<T>(memory, box, pitch);
  }

 private:
  // Positions of (group, channel) become (part, group, channel of the part). The last part may take what lies
  // behind its group's channels with it; no lane asks for that.
  template <index Part, class T>
  static void put_in_parts(const T* from, index positions, index groups, index channels, T* to) {
    for (index p = 0; p < positions; ++p, from += groups * channels)
      for (index c = 0; c < channels; c += Part)
        for (index g = 0; g < groups; ++g, to += Part)
          std::memcpy(to, from + g * channels + c, sizeof(T) * Part);
  }
};

}  // namespace ct
