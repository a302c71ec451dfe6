// A small thread pool. Knows nothing of convolution.
//
// Workers start at the first call that wants them, block while idle, stop before fork() and restart
// lazily in parent and child. Several threads may call at once; a call from inside a task runs
// serially. The caller works too.
#pragma once
#include <cstddef>
#include <cstdint>

namespace ct {

// Threads a call gets that asks for none: CONVTRANSPOSE_NUM_THREADS, OMP_NUM_THREADS, the CPUs that
// this process may use. The first that is a positive number wins.
int default_threads();
// The same for one that asks for `wanted`, unless that is less than one.
inline int thread_count(int wanted) { return wanted < 1 ? default_threads() : wanted; }

using TaskFunction = void (*)(void* context, std::int64_t task);
using ShouldStop = bool (*)();

// Runs task(context, 0 .. tasks - 1) in any order on up to `threads` threads (0: the default).
// `should_stop`, if given, is asked now and then on the calling thread; true abandons what has not
// started. Returns false if it was abandoned. The first exception of a task is rethrown here.
bool parallel_for(std::int64_t tasks, int threads, TaskFunction task, void* context, ShouldStop should_stop);

// The same with anything that can be called as body(task).
template <class Body>
bool parallel_for(std::int64_t tasks, int threads, const Body& body, ShouldStop should_stop) {
  return parallel_for(
      tasks, threads, [](void* context, std::int64_t task) { (*static_cast<const Body*>(context))(task); },
      const_cast<void*>(static_cast<const void*>(&body)), should_stop);
}

// Scratch memory of this thread, 64-byte aligned, kept for the next call. Throws std::bad_alloc. The pointer
// is good until the thread's next call at the same level: 0 is for methods, 1 for what runs them,
// 2 for methods that run another one.
void* scratch(std::size_t bytes, int level = 0);

}  // namespace ct
