// The example at the top of lib/base/task_scope.h, line by line
// (//tests/lib:header_examples_test compares them).
#include <chrono>

#include "lib/base/task_scope.h"
#include "lib/base/time_source.h"
#include "tests/testing/loop_fixture.h"

namespace portreeve::testing {
namespace {

class Heartbeat {
 public:
  explicit Heartbeat(Executor executor) : tasks_(executor) {
    tasks_.Spawn(Run());
  }
  // To be awaited before the Heartbeat goes.
  Task<> Stop() {
    tasks_.Cancel();
    co_await tasks_.Join();
  }

  int beats() const { return beats_; }

 private:
  Task<> Run() {
    for (;; ++beats_) co_await Sleep(std::chrono::seconds(1));
  }

  int beats_ = 0;
  TaskScope tasks_;  // Last: the task uses what stands before it.
};

using TaskScopeExample = LoopFixture;

TEST_F(TaskScopeExample, BeatsUntilItIsStopped) {
  Heartbeat heartbeat(executor());
  for (int i = 0; i < 3; ++i) {
    Settle();
    EXPECT_EQ(heartbeat.beats(), i);
    time().Advance(std::chrono::seconds(1));
  }
  Settle();
  EXPECT_EQ(heartbeat.beats(), 3);
  Run(heartbeat.Stop());
}

}  // namespace
}  // namespace portreeve::testing
