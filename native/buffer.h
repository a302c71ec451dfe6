// Memory that methods keep.
#pragma once
#include <memory>

#include "core.h"

namespace ct {

// Memory aligned for the widest vectors.
template <class T>
class Buffer {
 public:
  explicit Buffer(index count);
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(T* p) const;
  };
  std::unique_ptr<T[], Free> data_;
};

}  // namespace ct
