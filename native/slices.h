// Sums that all tasks of a kernel gradient add to. Small kernels give too few tasks that share nothing, which
// would all copy the same boxes: their boxes are cut into slices that have sums of their own, as many as the
// sizes want. No sum depends on the threads, nor do the bits.
#pragma once
#include <algorithm>
#include <vector>

#include "core.h"
#include "schedule.h"
#include "threads.h"

namespace ct {

template <class T>
class Slices {
 public:
  // Slices of boxes [0, boxes) for a result of so many elements, whose arrays have `arrays`.
  Slices(T* out, bool add, index elements, index arrays, index boxes)
      : out_(out), add_(add), elements_(elements), boxes_(boxes) {
    count_ = std::clamp<index>(wanted(elements, arrays), 1, std::max<index>(boxes, 1));
    length_ = ceil_div(boxes, count_);
    if (length_ > 0) count_ = ceil_div(boxes, length_);
    if (count_ > 1) sums_ = static_cast<T*>(scratch(sizeof(T) * std::size_t(count_ * elements), 2));
  }

  // How many slices the sizes want; less than one where the result is large beside its arrays. Powers of two,
  // as long as there are boxes: as many threads share them without parts, which would copy the same boxes.
  static index wanted(index elements, index arrays) {
    const index most = std::min(kMost, arrays / kPart / elements);
    index count = 1;
    while (2 * count <= most) count *= 2;
    return std::min(count, most);
  }

  index count() const { return count_; }

  // How many parts, at most `most`, a slice has: few, as parts may do some work twice, but enough for all
  // threads to end at about the same time.
  index parts(index threads, index most) const {
    for (index n = std::min(ceil_div(threads, count_), most); n < most; ++n)
      if (8 * threads * ceil_div(n * count_, threads) <= 9 * n * count_) return n;
    return most;
  }

  // Makes Task(run, first item, last item, sums) for the items of all slices, and has it run(begin, end,
  // fresh) on boxes; `fresh` says that the first of them sets the sums. Between passes over some boxes each
  // an interrupted user is heard. `work` is that of a box.
  template <class Task, class Run>
  bool run(const Run& run, double work, int threads, ShouldStop should_stop) const {
    const index parts = ceil_div(run.items, run.items_per_task);
    const index pass = index(std::clamp(kPassWork * threads / work / double(count_), 1.0, 1e9));
    for (index done = 0; done < length_; done += pass) {
      const auto body = [&](index number) {
        const index slice = number / parts, first = slice * length_;
        const index end = std::min({first + std::min(done + pass, length_), boxes_});
        const index item = number % parts * run.items_per_task;
        Task(run, item, std::min(item + run.items_per_task, run.items),
             count_ > 1 ? sums_ + slice * elements_ : out_)
            .run(first + done, end, done == 0 && (count_ > 1 || !add_));
      };
      if (!parallel_for(count_ * parts, threads, body, should_stop)) return false;
    }
    return count_ == 1 || add_up(*run.table, threads, should_stop);
  }

 private:
  static constexpr double kPassWork = 1e10;  // operations, a tenth of a second or so
  static constexpr index kMost = 8;
  static constexpr index kPart = 8;  // all sums together are no more of the arrays than this part

  // The result: the sum of all slices, in their order.
  bool add_up(const KernelTable<T>& table, int threads, ShouldStop should_stop) const {
    constexpr index kPiece = 1 << 13;
    const std::vector<double> ones(std::size_t(count_ + 1), 1.0);
    const auto body = [&](index piece) {
      const index begin = piece * kPiece;
      const T* terms[kMost + 1];
      int count = 0;
      if (add_) terms[count++] = out_ + begin;
      for (index n = 0; n < count_; ++n) terms[count++] = sums_ + n * elements_ + begin;
      table.combine(terms, ones.data(), count, std::min(kPiece, elements_ - begin), out_ + begin);
    };
    return parallel_for(ceil_div(elements_, kPiece), threads, body, should_stop);
  }

  T* const out_;
  const bool add_;
  const index elements_, boxes_;
  index count_, length_;  // slices, and boxes of each
  T* sums_ = nullptr;     // of the slices; a single one has the result
};

}  // namespace ct
