// Wake: calls from other threads to the one that polls.
#ifndef PORTREEVE_TESTS_MODEL_WAKE_H_
#define PORTREEVE_TESTS_MODEL_WAKE_H_

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace portreeve::model {

class Wake {
 public:
  Wake() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}
  Wake(const Wake&) = delete;
  Wake& operator=(const Wake&) = delete;
  ~Wake() { close(fd_); }

  // Readable when there is something to run.
  int fd() const { return fd_; }

  // Threads: any.
  void Post(std::function<void()> call) {
    const std::lock_guard lock(mutex_);
    calls_.push_back(std::move(call));
    const uint64_t one = 1;
    (void)!write(fd_, &one, sizeof one);
  }

  // Runs what was posted, in order.  Threads: the one that polls.
  void Run() {
    uint64_t count;
    (void)!read(fd_, &count, sizeof count);
    std::vector<std::function<void()>> calls;
    {
      const std::lock_guard lock(mutex_);
      calls.swap(calls_);
    }
    for (const auto& call : calls) call();
  }

 private:
  const int fd_;
  std::mutex mutex_;
  std::vector<std::function<void()>> calls_;
};

}  // namespace portreeve::model

#endif  // PORTREEVE_TESTS_MODEL_WAKE_H_
