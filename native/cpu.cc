#include "cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__unix__)
#include <unistd.h>
#endif

namespace ct {
namespace {

#if defined(__x86_64__)
// Registers that the operating system saves on a task switch (XCR0).
unsigned long long saved_state() {
  unsigned eax, edx;
  __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
  return (static_cast<unsigned long long>(edx) << 32) | eax;
}

void detect(Cpu& out) {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return;
  const bool fma = c >> 12 & 1, movbe = c >> 22 & 1, osxsave = c >> 27 & 1;
  const bool avx = c >> 28 & 1, f16c = c >> 29 & 1;
  if (!osxsave || !avx) return;
  const unsigned long long state = saved_state();
  if ((state & 0x6) != 0x6) return;  // xmm, ymm

  unsigned b7, c7, d7;
  if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return;
  unsigned ce = 0;
  if (!__get_cpuid(0x80000001u, &a, &b, &ce, &d)) return;
  const bool lzcnt = ce >> 5 & 1;
  const bool bmi1 = b7 >> 3 & 1, avx2 = b7 >> 5 & 1, bmi2 = b7 >> 8 & 1;
  out.x86_v3 = fma && movbe && f16c && lzcnt && bmi1 && avx2 && bmi2;

  const bool f = b7 >> 16 & 1, dq = b7 >> 17 & 1, cd = b7 >> 28 & 1, bw = b7 >> 30 & 1, vl = b7 >> 31 & 1;
  out.x86_v4 = out.x86_v3 && (state & 0xe6) == 0xe6 && f && dq && cd && bw && vl;
}
#else
void detect(Cpu& out) {
#if defined(__aarch64__)
  out.neon = true;  // part of the base architecture
#else
  (void)out;
#endif
}
#endif

}  // namespace

const Cpu& cpu() {
  static const Cpu found = [] {
    Cpu made;
    detect(made);
#if defined(_SC_LEVEL2_CACHE_SIZE)
    made.l2_bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return made;
  }();
  return found;
}

}  // namespace ct
