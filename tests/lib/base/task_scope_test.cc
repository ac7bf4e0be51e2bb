#include "lib/base/task_scope.h"

#include <boost/asio/multiple_exceptions.hpp>
#include <boost/asio/post.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/testing/loop_fixture.h"

namespace portreeve::testing {
namespace {

class TaskScopeTest : public LoopFixture {
 protected:
  Task<> WaitFor(Deferred<> deferred) { co_await deferred.Wait(); }
  Task<> Fail(std::string text) {
    throw std::runtime_error(text);
    co_return;
  }
  Task<> Note(std::string text) {
    notes_.push_back(text);
    co_return;
  }
  TaskScope::OnExit Keep(std::vector<std::string>& ends) {
    return [&ends](std::exception_ptr error) {
      ends.push_back(!error               ? "ok"
                     : IsCancelled(error) ? "cancelled"
                                          : DescribeException(error));
    };
  }

  std::vector<std::string> notes_;
};

using Texts = std::vector<std::string>;

TEST_F(TaskScopeTest, ATaskBeginsInALaterStep) {
  TaskScope scope(executor());
  auto spawn = [&]() -> Task<> {
    EXPECT_TRUE(scope.Spawn(Note("task")));
    notes_.push_back("after Spawn");
    co_return;
  };
  Run(spawn());
  Settle();
  EXPECT_EQ(notes_, (Texts{"after Spawn", "task"}));
  EXPECT_TRUE(scope.empty());
}

TEST_F(TaskScopeTest, AnErrorGoesToTheMonitor) {
  TaskScope scope(executor());
  scope.Spawn(Fail("boom"));
  Settle();
  EXPECT_TRUE(scope.empty());
  EXPECT_EQ(TakeErrors(), Texts{"boom"});
}

TEST_F(TaskScopeTest, OrToItsOwnOnExit) {
  TaskScope scope(executor());
  Texts ends;
  scope.Spawn(Fail("boom"), Keep(ends));
  scope.Spawn(Note(""), Keep(ends));
  Settle();
  EXPECT_EQ(ends, (Texts{"boom", "ok"}));
}

TEST_F(TaskScopeTest, CancelEndsEveryTaskAndRefusesMore) {
  TaskScope scope(executor());
  const Ivar<> never(executor());
  Texts ends;
  scope.Spawn(WaitFor(never.deferred()), Keep(ends));
  scope.Spawn(WaitFor(never.deferred()));  // No error for the monitor.
  Settle();
  EXPECT_FALSE(scope.empty());
  scope.Cancel();
  EXPECT_TRUE(scope.cancelled());
  EXPECT_FALSE(scope.empty());  // In a later step.
  EXPECT_FALSE(scope.Spawn(Note("refused")));
  Settle();
  EXPECT_TRUE(scope.empty());
  EXPECT_EQ(ends, Texts{"cancelled"});
  EXPECT_TRUE(notes_.empty());
  scope.Cancel();  // Once more does nothing.
}

// Asio 1.26 would lose it: neither a handler called nor an error seen.
TEST_F(TaskScopeTest, ATaskCancelledBeforeItBeginsEnds) {
  TaskScope scope(executor());
  Texts ends;
  scope.Spawn(Note("ran"), Keep(ends));
  scope.Cancel();
  Settle();
  EXPECT_TRUE(scope.empty());
  EXPECT_EQ(ends, Texts{"cancelled"});
  EXPECT_TRUE(notes_.empty());
}

TEST_F(TaskScopeTest, CancelledAtEachStepATaskEnds) {
  for (int steps = 0; steps < 10; ++steps) {
    TaskScope scope(executor());
    Texts ends;
    auto task = [](Executor executor) -> Task<> {
      for (int i = 0; i < 5; ++i) co_await asio::post(executor, kAwait);
    };
    scope.Spawn(task(executor()), Keep(ends));
    loop().restart();
    for (int i = 0; i < steps; ++i) loop().poll_one();
    scope.Cancel();
    Settle();
    EXPECT_TRUE(scope.empty()) << steps;
    EXPECT_EQ(ends.size(), 1u) << steps;
  }
}

TEST_F(TaskScopeTest, JoinWaitsForAllAndDoesNotCancel) {
  TaskScope scope(executor());
  const Ivar<> first(executor());
  const Ivar<> second(executor());
  scope.Spawn(WaitFor(first.deferred()));
  scope.Spawn(WaitFor(second.deferred()));
  bool joined = false;
  auto join = [&]() -> Task<> {
    co_await scope.Join();
    joined = true;
  };
  Start(join());
  first.Fill();
  Settle();
  EXPECT_FALSE(joined);
  second.Fill();
  Settle();
  EXPECT_TRUE(joined);
  Run(scope.Join());  // At once, where there is none.
}

TEST_F(TaskScopeTest, ACancelledJoinLeavesTheTasks) {
  TaskScope scope(executor());
  const Ivar<> end(executor());
  scope.Spawn(WaitFor(end.deferred()));
  TaskScope joiners(executor());
  Texts ends;
  joiners.Spawn(scope.Join(), Keep(ends));
  Settle();
  joiners.Cancel();
  Settle();
  EXPECT_EQ(ends, Texts{"cancelled"});
  EXPECT_FALSE(scope.empty());
  end.Fill();
  Settle();
  EXPECT_TRUE(scope.empty());
}

TEST_F(TaskScopeTest, OnExitMaySpawn) {
  TaskScope scope(executor());
  scope.Spawn(Note("first"),
              [&](std::exception_ptr) { scope.Spawn(Note("second")); });
  Run(scope.Join());
  EXPECT_EQ(notes_, (Texts{"first", "second"}));
}

TEST(IsCancelled, AlsoWhatAsiosOperatorsThrow) {
  const auto aborted = std::make_exception_ptr(
      boost::system::system_error(asio::error::operation_aborted));
  EXPECT_TRUE(IsCancelled(aborted));
  EXPECT_TRUE(
      IsCancelled(std::make_exception_ptr(asio::multiple_exceptions(aborted))));
  const auto other = std::make_exception_ptr(std::runtime_error("boom"));
  EXPECT_FALSE(IsCancelled(other));
  EXPECT_FALSE(
      IsCancelled(std::make_exception_ptr(asio::multiple_exceptions(other))));
}

TEST_F(TaskScopeTest, DestroyingItWithATaskEndsTheProcess) {
  const Ivar<> never(executor());
  auto destroy = [&] {
    TaskScope scope(executor());
    scope.Spawn(WaitFor(never.deferred()));
  };
  EXPECT_DEATH(destroy(), "CHECK failed");
}

}  // namespace
}  // namespace portreeve::testing
