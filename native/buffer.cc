#include "buffer.h"

#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace ct {

template <class T>
Buffer<T>::Buffer(index count) {
  // Touching fresh memory page by page costs more than what is written there; huge pages cost little.
  constexpr std::size_t huge = 2 << 20;
  const std::size_t needed = std::size_t(count) * sizeof(T) + 64;
  const std::size_t alignment = needed < 2 * huge ? 64 : huge;
  const std::size_t bytes = (needed + alignment - 1) / alignment * alignment;
  void* p = std::aligned_alloc(alignment, bytes);
  if (!p) throw std::bad_alloc();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  if (alignment == huge) madvise(p, bytes, MADV_HUGEPAGE);
#endif
  data_.reset(static_cast<T*>(p));
}

template <class T>
void Buffer<T>::Free::operator()(T* p) const {
  std::free(p);
}

template class Buffer<float>;
template class Buffer<double>;
template class Buffer<std::uint16_t>;

}  // namespace ct
