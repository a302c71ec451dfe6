// Results of blocks, channels last, to the planes of channels first.
#pragma once
#include <algorithm>
#include <cstdint>

#include "core.h"

namespace ct {

constexpr index kStageRows = 16, kStagePiece = 256;  // planes and positions that pass a buffer at once
template <class T>
constexpr index kStageGap = 64 / index(sizeof(T));  // between the rows of that buffer: other sets of a cache

// Elements of that buffer.
template <class T>
constexpr index kStageElements = kStageRows * (kStagePiece + kStageGap<T>);

// Results in strips of channels, `next` elements from one to the next, become planes. With a buffer they go
// around the caches, a long run of each plane at a time.
template <class T>
void write_planes(const KernelTable<T>& table, const T* src, index strip, index next, index count,
                  index channels, T* stage, T* dst, index stride_c) {
  constexpr index line = 64 / index(sizeof(T));
  const bool whole =
      count % line == 0 && stride_c % line == 0 && reinterpret_cast<std::uintptr_t>(dst) % 64 == 0;
  for (index c = 0; c < channels; c += strip, src += next, dst += strip * stride_c) {
    const index planes = std::min(strip, channels - c);
    if (!stage) {
      table.transpose(src, strip, count, planes, dst, stride_c);
    } else if (whole && table.transpose_streaming) {
      table.transpose_streaming(src, strip, count, planes, dst, stride_c);
    } else {
      constexpr index pitch = kStagePiece + kStageGap<T>;
      for (index w = 0; w < count; w += kStagePiece)
        for (index p = 0; p < planes; p += kStageRows) {
          const index rows = std::min(kStageRows, planes - p), length = std::min(kStagePiece, count - w);
          table.transpose(src + w * strip + p, strip, length, rows, stage, pitch);
          table.copy_streaming(stage, pitch, rows, length, dst + p * stride_c + w, stride_c);
        }
    }
  }
}

}  // namespace ct
