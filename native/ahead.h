// Memory that the next block of a thread will read, fetched into the second cache while this one computes.
#pragma once
#include <algorithm>
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
    runs_.push_back({static_cast<const char*>(begin), static_cast<const char*>(end)});
  }
  // Everything shall have been fetched when kernels have gone `steps` times through a tap's kAheadChannels
  // channels.
  void share_out(index steps) {
    index bytes = 0;
    for (const Run& run : runs_) bytes += index(run.end - run.begin);
    share_ = ceil_div(bytes, std::max<index>(steps, 1) * kLine) * kLine;
  }
  // Calls a kernel, which fetches as it goes where its share is one run, else after the fetching: a kernel
  // follows no more than one run.
  template <class T, class Kernel>
  void call(Kernel kernel, ChannelTile<T>& tile, bool one_run) {
    index share = tile.taps * ceil_div(tile.channels, tile.kAheadChannels) * share_;
    tile.ahead_bytes = 0;
    if (one_run && at_ < runs_.size()) {
      tile.ahead = runs_[at_].begin;
      tile.ahead_bytes = share_;
      advance(share);
    }
    for (; !one_run && share > 0 && at_ < runs_.size(); share -= kLine) {
      __builtin_prefetch(runs_[at_].begin, 0, 2);
      advance(kLine);
    }
    kernel(tile);
  }

 private:
  struct Run {
    const char *begin, *end;
  };
  void advance(index bytes) {
    Run& run = runs_[at_];
    if (run.end - run.begin > bytes)
      run.begin += bytes;
    else
      ++at_;
  }
  std::vector<Run> runs_;
  std::size_t at_ = 0;
  index share_ = 0;
};

}  // namespace ct
