// TaskRunner: runs one coroutine from a test and keeps how it ended.
#ifndef PORTREEVE_TESTS_LIB_TASK_RUNNER_H_
#define PORTREEVE_TESTS_LIB_TASK_RUNNER_H_

#include <boost/asio/post.hpp>
#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "lib/base/status.h"
#include "lib/base/task_scope.h"

namespace portreeve::testing {

// Runs a Task<T> on `loop`; the test runs the loop.
template <typename T>
class TaskRunner {
 public:
  TaskRunner(asio::io_context& loop, Task<T> task)
      : loop_(loop), scope_(Executor(loop.get_executor())) {
    scope_.Spawn(Keep(std::move(task), result_),
                 [this](std::exception_ptr error) {
                   ended_ = true;
                   error_ = error;
                 });
  }

  // From the loop's next step, as in life.
  void Cancel() {
    asio::post(loop_, [this, alive = std::weak_ptr<int>(alive_)] {
      if (!alive.expired()) scope_.Cancel();
    });
  }

  bool ended() const { return ended_; }
  // Once ended:
  bool cancelled() const { return error_ && IsCancelled(error_); }
  absl::Status status() const {
    return error_ ? StatusOf(error_) : absl::OkStatus();
  }
  T& value() { return *result_; }

 private:
  static Task<> Keep(Task<T> task, std::optional<T>& result) {
    result.emplace(co_await std::move(task));
  }

  asio::io_context& loop_;
  const std::shared_ptr<int> alive_ = std::make_shared<int>();
  bool ended_ = false;
  std::exception_ptr error_;
  std::optional<T> result_;
  TaskScope scope_;
};

// Runs `loop` until `done()`; false if it ran out of work before.
template <typename Condition>
bool RunUntil(asio::io_context& loop, Condition done) {
  loop.restart();
  while (!done()) {
    if (loop.run_one() == 0) return done();
  }
  return true;
}

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_LIB_TASK_RUNNER_H_
