#include "server/daemon/start_probe.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <new>
#include <string>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/descriptor.h"
#include "lib/base/mutex.h"

namespace portreeve::server {
namespace {

// A loop has epoll twice, an eventfd, a timerfd and io_uring.
constexpr int kDescriptorsOfLoop = 5;
// gRPC has 4 for itself, and the log 3, with a file of --audit.
constexpr int kOtherDescriptors = 7;
// These are for what is opened for a moment (a lock, a probe, a file), and so
// that the daemon can be asked something.
constexpr int kReservedDescriptors = 8;

// gRPC's threads, without those that grow with the number of CPUs: two
// executors, and two of timers; and the one that writes the logs.
constexpr int kOtherThreads = 5;
constexpr int kReservedThreads = 4;

// This is twice what a daemon has that was just asked something.
constexpr size_t kAddressSpace = 64 << 20;

// Gives "RLIMIT_NPROC (ulimit -u) is 12".
std::string LimitText(int resource) {
  const char* name = "RLIMIT_NOFILE (ulimit -n)";
  if (resource == RLIMIT_NPROC) name = "RLIMIT_NPROC (ulimit -u)";
  if (resource == RLIMIT_AS) name = "RLIMIT_AS (ulimit -v)";
  if (resource == RLIMIT_DATA) name = "RLIMIT_DATA (ulimit -d)";
  rlimit limit{};
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
    return absl::StrCat(name, " is unlimited");
  }
  return absl::StrCat(
      name, " is ", limit.rlim_cur,
      resource == RLIMIT_AS || resource == RLIMIT_DATA ? " bytes" : "");
}

std::string ErrnoText(int error_number) {
  return std::generic_category().message(error_number);
}

absl::Status ProbeDescriptors(int count) {
  std::vector<Descriptor> taken;
  taken.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    taken.emplace_back(eventfd(0, EFD_CLOEXEC));
    if (taken.back().is_open()) continue;
    const int error = errno;
    return absl::ResourceExhaustedError(absl::StrCat(
        "too few descriptors: the start takes ", count, ", and there are ", i,
        " (", ErrnoText(error), "; ", LimitText(RLIMIT_NOFILE), ")"));
  }
  return absl::OkStatus();
}

absl::Status ProbeAddressSpace(size_t size) {
  void* const space = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (space == MAP_FAILED) {
    const int error = errno;
    return absl::ResourceExhaustedError(
        absl::StrCat("too little memory: the start takes ", size >> 20,
                     " MiB (", ErrnoText(error), "; ", LimitText(RLIMIT_AS),
                     ", ", LimitText(RLIMIT_DATA), ")"));
  }
  (void)munmap(space, size);
  return absl::OkStatus();
}

// Threads that do nothing until they are joined.
class IdleThreads {
 public:
  IdleThreads() = default;
  IdleThreads(const IdleThreads&) = delete;
  IdleThreads& operator=(const IdleThreads&) = delete;
  ~IdleThreads() {
    {
      const MutexLock lock(mutex_);
      over_ = true;
    }
    changed_.NotifyAll();
    for (const pthread_t thread : threads_) (void)pthread_join(thread, nullptr);
  }

  absl::Status Start(int count) {
    threads_.reserve(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) {
      pthread_t thread;
      // It is no std::thread, which throws.
      const int error = pthread_create(&thread, nullptr, &Run, this);
      if (error != 0) return TooFew(count, i, error);
      threads_.push_back(thread);
    }
    return absl::OkStatus();
  }

 private:
  static void* Run(void* self) {
    auto& threads = *static_cast<IdleThreads*>(self);
    const MutexLock lock(threads.mutex_);
    while (!threads.over_) threads.changed_.Wait(threads.mutex_);
    return nullptr;
  }

  // pthread_create(3) has one error for all causes, so that this names all
  // limits.
  static absl::Status TooFew(int count, int there_are, int error) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "too few threads: the start takes ", count, ", and there are ",
        there_are, " (", ErrnoText(error), "; ", LimitText(RLIMIT_NPROC), ", ",
        LimitText(RLIMIT_AS), ", ", LimitText(RLIMIT_DATA),
        "; the cgroup may have a pids.max)"));
  }

  Mutex mutex_;
  CondVar changed_;
  bool over_ PORTREEVE_GUARDED_BY(mutex_) = false;
  std::vector<pthread_t> threads_;
};

void SayThatMemoryIsOut() {
  // Nothing here may allocate.
  constexpr char kLine[] = "portreeved: out of memory during the start\n";
  [[maybe_unused]] const ssize_t written =
      write(STDERR_FILENO, kLine, sizeof kLine - 1);
  _exit(1);
}

}  // namespace

StartNeeds NeedsOfStart(int num_loops, size_t num_addresses, long num_cpus) {
  StartNeeds needs;
  needs.descriptors = kDescriptorsOfLoop * num_loops + kOtherDescriptors +
                      static_cast<int>(num_addresses) + kReservedDescriptors;
  // These are the pool of gRPC's event engine, and the threads that wait for
  // its completions.
  const int pool = static_cast<int>(std::clamp<long>(num_cpus, 2, 32));
  const int waiting = static_cast<int>(std::clamp<long>(num_cpus / 2, 2, 16));
  needs.threads = num_loops + pool + waiting + kOtherThreads + kReservedThreads;
  needs.address_space = kAddressSpace;
  return needs;
}

StartNeeds NeedsOfStart(int num_loops, size_t num_addresses) {
  return NeedsOfStart(num_loops, num_addresses, sysconf(_SC_NPROCESSORS_CONF));
}

absl::Status ProbeStart(const StartNeeds& needs) {
  char byte;
  if (getrandom(&byte, 1, 0) != 1) {
    const int error = errno;
    return absl::UnavailableError(absl::StrCat(
        "the kernel gives no random numbers: getrandom: ", ErrnoText(error)));
  }
  if (auto s = ProbeDescriptors(needs.descriptors); !s.ok()) return s;
  IdleThreads threads;
  if (auto s = threads.Start(needs.threads); !s.ok()) return s;
  // This is probed in addition to the threads' stacks.
  return ProbeAddressSpace(needs.address_space);
}

void SpareAddressSpace() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
      std::getenv("MALLOC_ARENA_MAX") != nullptr) {
    return;
  }
  mallopt(M_ARENA_MAX, 1);
}

void ExitWithoutMemory() { std::set_new_handler(&SayThatMemoryIsOut); }

void KeepRunningWithoutMemory() { std::set_new_handler(nullptr); }

}  // namespace portreeve::server
