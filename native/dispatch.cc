#include "dispatch.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

#include "cpu.h"

namespace ct {

#define CT_DECLARE(path)                  \
  namespace path {                        \
  const KernelTable<float>* table_f32();  \
  const KernelTable<double>* table_f64(); \
  }
#if defined(__x86_64__)
CT_DECLARE(x86_v4)
CT_DECLARE(x86_v3)
CT_DECLARE(baseline)
#elif defined(__aarch64__)
CT_DECLARE(neon)
#else
CT_DECLARE(baseline)
#endif

namespace {

std::vector<Path> find() {
  std::vector<Path> found;
#if defined(__x86_64__)
  if (cpu().x86_v4)
    found.push_back({"x86_v4", "AVX-512 (x86-64-v4)", x86_v4::table_f32(), x86_v4::table_f64()});
  if (cpu().x86_v3)
    found.push_back({"x86_v3", "AVX2 and FMA (x86-64-v3)", x86_v3::table_f32(), x86_v3::table_f64()});
  found.push_back({"baseline", "SSE2 (x86-64)", baseline::table_f32(), baseline::table_f64()});
#elif defined(__aarch64__)
  found.push_back({"neon", "NEON (arm64)", neon::table_f32(), neon::table_f64()});
#else
  found.push_back({"baseline", "portable", baseline::table_f32(), baseline::table_f64()});
#endif
  return found;
}

std::atomic<const Path*> active{nullptr};

const Path& named(const std::string& name, const char* origin) {
  std::string available;
  for (const Path& path : runnable_paths()) {
    if (path.name == name) return path;
    available += available.empty() ? path.name : std::string(", ") + path.name;
  }
  throw std::invalid_argument(std::string(origin) + " must name a path that this machine can run: " +
                              available + ". Got '" + name + "'.");
}

}  // namespace

const std::vector<Path>& runnable_paths() {
  static const std::vector<Path> found = find();
  return found;
}

const Path& active_path() {
  if (const Path* known = active.load(std::memory_order_acquire)) return *known;
  const char* wanted = std::getenv("CONVTRANSPOSE_ISA");
  const Path& chosen = wanted && *wanted ? named(wanted, "CONVTRANSPOSE_ISA") : runnable_paths().front();
  active.store(&chosen, std::memory_order_release);
  return chosen;
}

const Path& select_path(const std::string& name) {
  const Path& chosen = named(name, "path");
  active.store(&chosen, std::memory_order_release);
  return chosen;
}

}  // namespace ct
