// What this CPU and operating system allow.
#pragma once

namespace ct {

struct Cpu {
  bool x86_v3 = false;  // AVX2, FMA, BMI, F16C, and an OS that saves the registers
  bool x86_v4 = false;  // AVX-512 F, BW, CD, DQ, VL, and an OS that saves the registers
  bool neon = false;
  long l2_bytes = 0;  // 0 where unknown
};

const Cpu& cpu();

}  // namespace ct
