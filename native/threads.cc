#include "threads.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif
#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace ct {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMaxThreads = 1024;
constexpr auto kStopInterval = std::chrono::milliseconds(50);
// Waking a sleeping thread takes tens of microseconds, as long as a small layer. Who waits looks around for
// about as long before it sleeps, so that one layer after another finds its workers awake.
constexpr auto kSpin = std::chrono::microseconds(100);

inline void relax() {
#if defined(__x86_64__) || defined(_M_X64)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits for a condition without sleeping, for a while; returns the condition.
template <class Condition>
bool spin(const Condition& condition) {
  const auto begin = Clock::now();
  do
    for (int n = 0; n < 32; ++n) {
      if (condition()) return true;
      relax();
    }
  while (Clock::now() - begin < kSpin);
  return condition();
}

int positive_number(const char* name) {
  const char* text = std::getenv(name);
  if (!text || !*text) return 0;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  // OMP_NUM_THREADS may be a list for nested levels; its first number counts.
  if (end == text || (*end != '\0' && *end != ',') || value < 1) return 0;
  return value > kMaxThreads ? kMaxThreads : int(value);
}

int usable_cpus() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    const int count = CPU_COUNT(&set);
    if (count > 0) return count;
  }
#endif
  const unsigned count = std::thread::hardware_concurrency();
  return count ? int(count) : 1;
}

// Whether to stop, asked now and then.
class Stop {
 public:
  explicit Stop(ShouldStop ask) : ask_(ask), asked_(Clock::now()) {}
  bool operator()() {
    if (!ask_ || Clock::now() - asked_ <= kStopInterval) return false;
    const bool stop = ask_();
    asked_ = Clock::now();
    return stop;
  }

 private:
  ShouldStop ask_;
  Clock::time_point asked_;
};

// One parallel_for. Lives until the last worker has let go of it.
//
// Every thread has a share of tasks that follow each other, the same one at the next call of this size: what
// it reads and writes is in its own caches then. Who has finished helps the others.
class Job {
 public:
  Job(std::int64_t tasks, int threads, TaskFunction task, void* context)
      : shares_(std::size_t(threads)), task_(task), context_(context) {
    for (std::int64_t n = 0; n < threads; ++n) {
      shares_[std::size_t(n)].next = tasks * n / threads;
      shares_[std::size_t(n)].end = tasks * (n + 1) / threads;
    }
  }

  // The part of one thread, which would like the share of this number.
  void run(std::size_t wanted, ShouldStop should_stop) {
    const std::size_t count = shares_.size();
    std::size_t mine = wanted % count;
    while (shares_[mine].taken.exchange(true, std::memory_order_relaxed)) mine = (mine + 1) % count;
    Stop stop(should_stop);
    for (std::size_t n = 0; n < count; ++n) {
      Share& share = shares_[(mine + n) % count];
      for (;;) {
        if (abandoned.load(std::memory_order_relaxed)) return;
        const std::int64_t task = share.next.fetch_add(1, std::memory_order_relaxed);
        if (task >= share.end) break;
        try {
          task_(context_, task);
        } catch (...) {
          std::lock_guard<std::mutex> lock(mutex);
          if (!error) error = std::current_exception();
          abandoned = true;
          return;
        }
        if (stop()) abandoned = true;
      }
    }
  }

  std::atomic<bool> abandoned{false};
  std::mutex mutex;
  std::condition_variable done;
  std::atomic<int> working{0};  // workers inside run(); changed with the mutex held
  std::exception_ptr error;

 private:
  struct alignas(64) Share {  // a cache line of its own
    std::atomic<std::int64_t> next{0};
    std::int64_t end = 0;
    std::atomic<bool> taken{false};
  };

  std::vector<Share> shares_;  // as many as threads
  TaskFunction task_;
  void* context_;
};

thread_local bool inside_task = false;

// The processor of the calling thread, or -1.
int this_cpu() {
#if defined(__linux__)
  return sched_getcpu();
#else
  return -1;
#endif
}

// Processors that threads of a job are on.
struct Taken {
#if defined(__linux__)
  cpu_set_t set;
  Taken() { CPU_ZERO(&set); }
  // Whether it was free, or is not known.
  bool add(int cpu) {
    if (cpu < 0 || cpu >= CPU_SETSIZE) return true;
    if (CPU_ISSET(cpu, &set)) return false;
    CPU_SET(cpu, &set);
    return true;
  }
#else
  bool add(int) { return true; }
#endif
};

// A thread of the pool. All but the atomic members is for who holds the mutex of the pool.
struct Worker {
  std::thread thread;
  std::atomic<int> cpu{-1};  // where it was seen last
  std::atomic<bool> works{false};
  bool asleep = false;
  std::condition_variable wake;
#if defined(__linux__)
  cpu_set_t usual;
  bool moved = false;  // kept from some processors until it is awake

  // Keeps the thread from some processors, if it may run on any other.
  void keep_from(const Taken& taken) {
    const pthread_t handle = thread.native_handle();
    if (!moved && pthread_getaffinity_np(handle, sizeof usual, &usual) != 0) return;
    cpu_set_t others;
    CPU_AND(&others, &usual, &taken.set);
    CPU_XOR(&others, &usual, &others);
    if (CPU_COUNT(&others) > 0) moved = pthread_setaffinity_np(handle, sizeof others, &others) == 0;
  }
  void settle() {
    if (moved) pthread_setaffinity_np(thread.native_handle(), sizeof usual, &usual);
    moved = false;
    cpu = this_cpu();
  }
#else
  void keep_from(const Taken&) {}
  void settle() {}
#endif
};

class Pool {
 public:
  bool run(std::int64_t tasks, int threads, TaskFunction task, void* context, ShouldStop should_stop) {
    auto job = std::make_shared<Job>(tasks, threads, task, context);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      grow(threads - 1);
      for (int n = 1; n < threads; ++n) queue_.push_back(job);
      offers_ = queue_.size();
      summon(offers_);
    }

    inside_task = true;
    job->run(0, should_stop);
    inside_task = false;

    {  // offers that nobody took yet are withdrawn
      std::lock_guard<std::mutex> lock(mutex_);
      for (auto it = queue_.begin(); it != queue_.end();) it = *it == job ? queue_.erase(it) : it + 1;
      offers_ = queue_.size();
    }
    spin([&] { return job->working == 0; });
    std::unique_lock<std::mutex> lock(job->mutex);
    while (job->working > 0) {
      job->done.wait_for(lock, kStopInterval);
      if (should_stop && job->working > 0 && !job->abandoned) {
        lock.unlock();
        if (should_stop()) job->abandoned = true;
        lock.lock();
      }
    }
    if (job->error) std::rethrow_exception(job->error);
    return !job->abandoned;
  }

  // Around fork(): the child has only the thread that forked, so no worker may hold anything.
  void before_fork() {
    stop();
    mutex_.lock();
  }
  void after_fork() { mutex_.unlock(); }

 private:
  void grow(int wanted) {
    while (workers_.size() < std::size_t(wanted)) {
      workers_.push_back(std::make_unique<Worker>());
      Worker& worker = *workers_.back();
      worker.thread = std::thread([this, &worker, number = workers_.size()] { work(worker, number); });
    }
  }

  // Wakes a thread for every offer that none which is awake and free will take.
  //
  // A thread is often woken on the processor of the one that woke it, and waits there for milliseconds while
  // others idle. So those that are asleep do not wake where threads are that are awake, and of these no two
  // share a processor.
  void summon(std::size_t offers) {
    Taken taken;
    taken.add(this_cpu());
    for (const auto& worker : workers_) {
      if (worker->asleep || worker->works) continue;
      if (!taken.add(worker->cpu)) worker->keep_from(taken);
      if (offers > 0) --offers;
    }
    for (const auto& worker : workers_) {
      if (offers == 0) return;
      if (!worker->asleep) continue;
      worker->keep_from(taken);
      worker->asleep = false;
      worker->wake.notify_one();
      --offers;
    }
  }

  void work(Worker& self, std::size_t number) {
    inside_task = true;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      self.settle();
      if (stopping_) return;
      if (queue_.empty()) {
        self.asleep = true;
        self.wake.wait(lock, [&] { return !self.asleep; });
        continue;
      }
      std::shared_ptr<Job> job = queue_.front();
      queue_.pop_front();
      offers_ = queue_.size();
      self.works = true;
      {
        std::lock_guard<std::mutex> job_lock(job->mutex);
        ++job->working;
      }
      lock.unlock();
      job->run(number, nullptr);
      self.cpu = this_cpu();
      self.works = false;  // before the caller knows: its next job finds this thread awake
      {
        std::lock_guard<std::mutex> job_lock(job->mutex);
        --job->working;
        job->done.notify_one();
      }
      job.reset();
      spin([this] { return offers_ > 0 || stopping_; });
      lock.lock();
    }
  }

  void stop() {
    std::vector<std::unique_ptr<Worker>> workers;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
      workers.swap(workers_);
      for (auto& worker : workers) {
        worker->asleep = false;
        worker->wake.notify_one();
      }
    }
    for (auto& worker : workers) worker->thread.join();
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = false;
  }

  std::mutex mutex_;
  std::deque<std::shared_ptr<Job>> queue_;
  std::atomic<std::size_t> offers_{0};  // length of the queue, to be looked at without the mutex
  std::vector<std::unique_ptr<Worker>> workers_;
  std::atomic<bool> stopping_{false};
};

// Never destroyed: at exit, detached user threads may still be inside a call.
Pool& pool() {
  static Pool* instance = [] {
    static Pool* made = new Pool;
#if !defined(_WIN32)
    pthread_atfork([] { made->before_fork(); }, [] { made->after_fork(); }, [] { made->after_fork(); });
#endif
    return made;
  }();
  return *instance;
}

struct Scratch {
  void* data = nullptr;
  std::size_t bytes = 0;
  ~Scratch() { std::free(data); }
};

constexpr std::size_t kAlignment = 64;

}  // namespace

int default_threads() {
  if (const int n = positive_number("CONVTRANSPOSE_NUM_THREADS")) return n;
  if (const int n = positive_number("OMP_NUM_THREADS")) return n;
  return usable_cpus();
}

bool parallel_for(std::int64_t tasks, int threads, TaskFunction task, void* context, ShouldStop should_stop) {
  threads = thread_count(threads);
  if (threads > tasks) threads = int(tasks);
  if (threads <= 1 || inside_task) {
    Stop stop(inside_task ? nullptr : should_stop);
    for (std::int64_t n = 0; n < tasks; ++n) {
      task(context, n);
      if (stop()) return false;
    }
    return true;
  }
  return pool().run(tasks, threads, task, context, should_stop);
}

void* scratch(std::size_t bytes, int level) {
  thread_local Scratch levels[3];
  Scratch& mine = levels[level];
  if (mine.bytes < bytes) {
    std::free(mine.data);
    mine.data = nullptr;
    mine.bytes = 0;
    const std::size_t rounded = (bytes + 4095) / 4096 * 4096;
    mine.data = std::aligned_alloc(kAlignment, rounded);
    if (!mine.data) throw std::bad_alloc();
    mine.bytes = rounded;
  }
  return mine.data;
}

}  // namespace ct
