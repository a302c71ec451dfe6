// Between planes, channels first, and the channels-last memory of blocks.
#pragma once
#include <algorithm>
#include <cstdint>

#include "core.h"

namespace ct {

constexpr index kStageRows = 16, kStagePiece = 256;  // planes and positions that pass a buffer at once
template <class T>
constexpr index kStageGap = 64 / index(sizeof(T));  // between the rows of that buffer: other sets of a cache

// Elements of that buffer, for lines of so many positions.
template <class T>
index stage_elements(index positions) {
  return kStageRows * (std::min(positions, kStagePiece) + kStageGap<T>);
}

// Whether the lines of planes, so many elements apart, share the sets of the first cache, which hold fewer
// than a transpose joins.
template <class T>
bool planes_share_sets(index stride_c) {
  return stride_c * index(sizeof(T)) % 4096 == 0;
}

// Planes become channels last. Without a buffer all of them at once; with one, for planes that share sets, a
// few at a time, which pass it one after the other.
template <class T>
void copy_planes(const KernelTable<T>& table, const T* src, index stride_c, index count, index channels,
                 index pitch, T* stage, T* dst) {
  if (!stage) return table.transpose(src, stride_c, channels, count, dst, pitch);
  const index stage_pitch = std::min(count, kStagePiece) + kStageGap<T>;
  for (index w = 0; w < count; w += kStagePiece)
    for (index c = 0; c < channels; c += kStageRows) {
      const index rows = std::min(kStageRows, channels - c), length = std::min(kStagePiece, count - w);
      table.pad_rows(src + c * stride_c + w, stride_c, rows, 0, length, 0, stage, stage_pitch);
      table.transpose(stage, stage_pitch, rows, length, dst + w * pitch + c, pitch);
    }
}

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
