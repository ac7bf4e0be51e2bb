// LoopFixture: one loop that the test itself runs.
#ifndef PORTREEVE_TESTS_TESTING_LOOP_FIXTURE_H_
#define PORTREEVE_TESTS_TESTING_LOOP_FIXTURE_H_

#include <gtest/gtest.h>

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/asio.h"
#include "lib/base/deferred.h"
#include "lib/base/log.h"
#include "lib/base/monitor.h"
#include "lib/base/task_scope.h"
#include "lib/base/time_source.h"
#include "tests/testing/descriptors.h"

namespace portreeve::testing {

// Gives a line of log with its level before it: "warning: TEXT".
std::string LoggedText(const LogLine& line);

// The test is the loop's thread.  At the end the loop has to run dry, every
// descriptor that was opened has to be closed, and no error may have reached
// the log that the test did not take.
class LoopFixture : public ::testing::Test {
 protected:
  // How long RunUntil() waits before it fails the test.
  static constexpr std::chrono::seconds kDeadline{20};

  LoopFixture();
  ~LoopFixture() override;

  asio::io_context& loop() { return *loop_; }
  Executor executor() { return Executor(loop_->get_executor(), monitor_); }
  FakeTimeSource& time() { return *time_; }

  // Runs the loop until `condition` holds.  It fails the test, and gives false,
  // if that takes longer than kDeadline.
  bool RunUntil(const std::function<bool()>& condition);
  bool RunUntil(const Deferred<>& deferred) {
    return RunUntil([&] { return deferred.determined(); });
  }

  // Runs whatever is ready, until nothing is.
  void Settle();

  // Runs `task` to its end and gives its result, or throws what it throws.
  template <typename T>
  T Run(Task<T> task) {
    std::optional<T> result;
    RunTask(Store(std::move(task), result));
    return *std::move(result);
  }
  void Run(Task<> task) { RunTask(std::move(task)); }

  // Runs `task` beside the test; its errors go to the creator's monitor.  The
  // test fails if it has not ended by the end.
  void Start(Task<> task) { tasks_->Spawn(std::move(task)); }
  // The tasks that Start() began; it is there to end them.
  TaskScope& tasks() { return *tasks_; }

  // Takes the texts of the errors that the monitor of executor() has seen.
  std::vector<std::string> TakeErrors();

  // Takes the lines that were logged so far, as LoggedText() gives them.  Those
  // of kDebug are none of them.
  std::vector<std::string> TakeLog();

 private:
  template <typename T>
  static Task<> Store(Task<T> task, std::optional<T>& result) {
    result.emplace(co_await std::move(task));
  }
  void RunTask(Task<> task);

  const int descriptors_before_;
  std::unique_ptr<asio::io_context> loop_;
  std::unique_ptr<FakeTimeSource> time_;
  std::vector<std::string> errors_;
  std::vector<std::string> log_;
  Monitor monitor_;
  std::unique_ptr<TaskScope> tasks_;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_LOOP_FIXTURE_H_
