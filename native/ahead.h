// Memory that the next block of a thread will read, fetched into the second cache while this one computes.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "core.h"
#include "schedule.h"

namespace ct {

// Runs of memory, of which every kernel fetches its share. Only hints are given: nothing is read.
class Ahead {
 public:
  static constexpr index kLine = 64;

  // Forgets what was noted.
  void clear() {
    runs_.clear();
    at_ = 0;
  }
  // Notes [begin, end) to be fetched after what was noted before.
  void add(const void* begin, const void* end) {
    const char* const first = static_cast<const char*>(begin);
    // Whole lines, or the last one would be missed.
    runs_.push_back({first - reinterpret_cast<std::uintptr_t>(first) % kLine, static_cast<const char*>(end)});
  }
  // Everything shall have been fetched when kernels have gone `steps` times through a tap's kAheadChannels
  // channels.
  void share_out(index steps) {
    index bytes = 0;
    for (const Run& run : runs_) bytes += index(run.end - run.begin);
    share_ = ceil_div(bytes, std::max<index>(steps, 1) * kLine) * kLine;
  }
  // Calls a kernel, which fetches its share as it goes. It follows one run; what is left of shorter ones is
  // fetched before.
  template <class T, class Kernel>
  void call(Kernel kernel, ChannelTile<T>& tile) {
    const index share = tile.taps * ceil_div(tile.channels, tile.kAheadChannels) * share_;
    tile.ahead_bytes = 0;
    for (index rest = share; rest > 0 && at_ < runs_.size(); ++at_) {
      Run& run = runs_[at_];
      const index left = index(run.end - run.begin);
      if (2 * left >= rest) {
        tile.ahead = run.begin;
        tile.ahead_bytes = share_;
        run.begin += std::min(share, left);
        break;
      }
      for (; run.begin < run.end; run.begin += kLine) __builtin_prefetch(run.begin, 0, 2);
      rest -= left;
    }
    kernel(tile);
  }

 private:
  struct Run {
    const char *begin, *end;
  };
  std::vector<Run> runs_;
  std::size_t at_ = 0;
  index share_ = 0;
};

}  // namespace ct
