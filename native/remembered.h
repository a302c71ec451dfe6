// What calls with the same numbers need alike, such as the choice for images of one size.
#pragma once
#include <cstddef>
#include <map>
#include <mutex>
#include <utility>

namespace ct {

template <class Numbers, class Value>
class Remembered {
 public:
  // What has been found for these numbers, or is now: perhaps by two threads at once, which find the same.
  template <class Find>
  Value of(const Numbers& numbers, Find find) const {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto old = known_.find(numbers);
      if (old != known_.end()) return old->second;
    }
    Value found = find();
    const std::lock_guard<std::mutex> lock(mutex_);
    if (known_.size() >= kMost) known_.clear();
    return known_[numbers] = std::move(found);
  }

 private:
  static constexpr std::size_t kMost = 64;  // sizes that change at every call must not pile up

  mutable std::mutex mutex_;
  mutable std::map<Numbers, Value> known_;
};

}  // namespace ct
