// What a loop keeps where it gets no memory, once, anywhere in a call.
#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <exception>
#include <memory>
#include <new>

#include "lib/base/deferred.h"
#include "lib/base/latch.h"
#include "lib/base/task_scope.h"
#include "lib/base/time_source.h"
#include "lib/net/descriptor_budget.h"
#include "tests/testing/loop_fixture.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::testing {
namespace {

using std::chrono::milliseconds;

// Calls `f`, which gets memory `given` times.  False if that was enough.
template <typename F>
bool IsRefused(int given, F&& f) {
  RefuseMemoryAfter(given);
  try {
    f();
  } catch (const std::bad_alloc&) {
  }
  return GiveMemoryAgain();
}

class NoMemoryBaseTest : public LoopFixture {
 protected:
  bool SettleWithMemory(int given) {
    return testing::SettleWithMemory(loop(), given);
  }

  static Task<> Note(bool& ran) {
    ran = true;
    co_return;
  }
  static Task<> PostOften() {
    const Executor executor = co_await asio::this_coro::executor;
    for (int i = 0; i < 4; ++i) co_await asio::post(executor, kAwait);
  }
  static Task<> Pass(Latch& latch, bool& passed) {
    co_await latch.Wait();
    passed = true;
  }
  static Task<> WaitForBoth(Deferred<> first, Deferred<> second) {
    co_await first.Wait();
    co_await second.Wait();
  }
  static Task<> Join(TaskScope& scope, bool& joined) {
    co_await scope.Join();
    joined = true;
  }
};

TEST_F(NoMemoryBaseTest, ATaskThatCouldNotBeginIsNotWaitedFor) {
  bool refused = true;
  for (int given = 0; refused; ++given) {
    SCOPED_TRACE(given);
    ASSERT_LT(given, 100);
    TaskScope scope(executor());
    bool ran = false;
    refused = IsRefused(given, [&] { scope.Spawn(Note(ran)); });
    Settle();
    EXPECT_TRUE(scope.empty());
    EXPECT_TRUE(ran || refused);
    // Another one begins.
    ran = false;
    EXPECT_TRUE(scope.Spawn(Note(ran)));
    Settle();
    EXPECT_TRUE(scope.empty());
    EXPECT_TRUE(ran);
    (void)TakeErrors();
  }
}

// Asio destroys the coroutine then: nothing of it runs any more.
TEST_F(NoMemoryBaseTest, ATaskThatCouldNotWaitHasEnded) {
  for (const bool cancels : {false, true}) {
    bool refused = true;
    for (int given = 0; refused; ++given) {
      SCOPED_TRACE(given);
      ASSERT_LT(given, 100);
      TaskScope scope(executor());
      const Ivar<> first(executor());
      const Ivar<> second(executor());
      int num_ends = 0;
      std::exception_ptr error;
      scope.Spawn(WaitForBoth(first.deferred(), second.deferred()),
                  [&](std::exception_ptr e) {
                    ++num_ends;
                    error = e;
                  });
      bool joined = false;
      Start(Join(scope, joined));
      if (cancels) {
        Settle();
        RefuseMemoryAfter(given);
        scope.Cancel();
        refused = GiveMemoryAgain();
        refused |= SettleWithMemory(given);
      } else {
        refused = SettleWithMemory(given);
        first.FillIfEmpty();
        refused |= SettleWithMemory(given);
        second.FillIfEmpty();
        refused |= SettleWithMemory(given);
      }
      Settle();
      EXPECT_TRUE(scope.empty());
      EXPECT_EQ(num_ends, 1);
      if (!refused) EXPECT_EQ(error != nullptr, cancels);
      (void)TakeErrors();
      (void)TakeLog();
      EXPECT_TRUE(joined || refused);
    }
  }
}

// What takes a coroutine apart that finds no memory to wait finds none either.
TEST_F(NoMemoryBaseTest, ATaskIsTakenApartWithoutAny) {
  for (const int num_refusals : {2, 3, 10}) {
    SCOPED_TRACE(num_refusals);
    bool refused = true;
    for (int given = 0; refused; ++given) {
      SCOPED_TRACE(given);
      ASSERT_LT(given, 100);
      TaskScope scope(executor());
      int num_ends = 0;
      scope.Spawn(PostOften(), [&](std::exception_ptr) { ++num_ends; });
      refused = testing::SettleWithMemory(loop(), given, num_refusals);
      EXPECT_TRUE(scope.empty());
      EXPECT_EQ(num_ends, 1);
      (void)TakeErrors();
      (void)TakeLog();
    }
  }
}

TEST_F(NoMemoryBaseTest, ALatchIsPassedWithoutAny) {
  Latch latch(executor());
  bool passed = false;
  tasks().Spawn(Pass(latch, passed));
  Settle();
  EXPECT_FALSE(passed);
  RefuseMemoryAfter(0, kUntilGivenAgain);
  latch.Open();
  SettleWithoutMemory(loop());
  EXPECT_FALSE(GiveMemoryAgain());
  EXPECT_TRUE(passed);
}

TEST_F(NoMemoryBaseTest, TasksAreJoinedWithoutAny) {
  Latch joined(executor());
  TaskScope scope(executor());
  const Ivar<> never(executor());
  scope.Spawn(WaitForBoth(never.deferred(), never.deferred()));
  bool passed = false;
  tasks().Spawn(Pass(joined, passed));
  scope.OpenWhenEmpty(joined);
  Settle();
  EXPECT_FALSE(passed);
  RefuseMemoryAfter(0, kUntilGivenAgain);
  scope.Cancel();
  SettleWithoutMemory(loop());
  (void)GiveMemoryAgain();
  EXPECT_TRUE(passed);
  EXPECT_TRUE(scope.empty());
  (void)TakeErrors();
  (void)TakeLog();
}

// Whoever pauses for want of memory waits with one.
TEST_F(NoMemoryBaseTest, ATimerIsSetWithoutAny) {
  Timer unset(time());
  Timer set(time());
  int num_old = 0;
  int num_new = 0;
  set.StartAfter(milliseconds(1), [&] { ++num_old; });
  RefuseMemoryAfter(0, kUntilGivenAgain);
  unset.StartAfter(milliseconds(2), [&] { ++num_new; });
  set.StartAfter(milliseconds(2), [&] { ++num_new; });
  time().Advance(milliseconds(2));
  EXPECT_FALSE(GiveMemoryAgain());
  EXPECT_EQ(num_new, 2);
  EXPECT_EQ(num_old, 0);
}

TEST_F(NoMemoryBaseTest, WhoeverCouldNotJoinDoesNotStandInTheQueue) {
  DescriptorBudget budget(0);
  int num_woken = 0;
  DescriptorBudget::Waiter waiter(budget, [&] { ++num_woken; });
  EXPECT_TRUE(IsRefused(0, [&] { waiter.Join(1); }));
  waiter.Leave();
  EXPECT_FALSE(IsRefused(100, [&] { waiter.Join(1); }));
  budget.GiveBack(1);
  EXPECT_EQ(num_woken, 1);
}

// On the clock of the system: each is due before the one that is waited for.
TEST(NoMemoryTimeTest, ALoopGoesOnToWaitForItsTimers) {
  bool refused = true;
  for (int given = 0; refused; ++given) {
    SCOPED_TRACE(given);
    ASSERT_LT(given, 100);
    asio::io_context loop(1);
    TimeSource& time = TimeSource::Of(loop);
    loop.poll();  // What it has of its own is free.
    loop.restart();
    Timer hour(time), minute(time), second(time), soon(time);
    bool fired = false;
    refused = IsRefused(given, [&] {
      hour.StartAfter(std::chrono::hours(1), [] {});
      minute.StartAfter(std::chrono::minutes(1), [] {});
    });
    if (IsRefused(given, [&] {
          second.StartAfter(std::chrono::seconds(30), [] {});
          soon.StartAfter(milliseconds(1), [&] { fired = true; });
        })) {
      refused = true;
    }
    const bool is_set = soon.armed();
    if (!is_set) soon.StartAfter(milliseconds(1), [&] { fired = true; });
    while (!fired && loop.run_one_for(std::chrono::seconds(20)) > 0) {
    }
    EXPECT_TRUE(fired);
  }
}

}  // namespace
}  // namespace portreeve::testing
