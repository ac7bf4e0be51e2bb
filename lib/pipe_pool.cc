#include "lib/pipe_pool.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <utility>

namespace portreeve {
namespace {

constexpr size_t kMostIdle = 8;

// Of the process.
std::atomic<int> num_pipes{0};

// Their ends are a fortieth of the descriptors, of which connections take at
// most 90 %.
int MostPipes() {
  static const int most = [] {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = 1024;
    return static_cast<int>(std::clamp<rlim_t>(limit.rlim_cur / 80, 4, 1024));
  }();
  return most;
}

}  // namespace

Pipe::~Pipe() { num_pipes.fetch_sub(1); }

std::unique_ptr<Pipe> PipePool::Take() {
  if (!idle_.empty()) {
    std::unique_ptr<Pipe> pipe = std::move(idle_.back());
    idle_.pop_back();
    return pipe;
  }
  if (num_pipes.fetch_add(1) >= MostPipes()) {
    num_pipes.fetch_sub(1);
    return nullptr;
  }
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
    num_pipes.fetch_sub(1);
    return nullptr;
  }
  return std::make_unique<Pipe>(ends[0], ends[1]);
}

void PipePool::GiveBack(std::unique_ptr<Pipe> pipe) {
  if (idle_.size() < kMostIdle) idle_.push_back(std::move(pipe));
}

}  // namespace portreeve
