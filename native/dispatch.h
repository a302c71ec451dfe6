// The instruction-set builds in this library, best first, and which one runs.
#pragma once
#include <string>
#include <vector>

#include "core.h"

namespace ct {

// Paths built into this library that this machine can run, best first.
const std::vector<Path>& runnable_paths();

// The chosen path: the best, or the one that CONVTRANSPOSE_ISA names. Read once, at first use.
// Throws std::invalid_argument, naming the available ones, if the variable names none of them.
const Path& active_path();

// Chooses another path for this process; tests use it. Operators keep the path they were made with.
const Path& select_path(const std::string& name);

}  // namespace ct
