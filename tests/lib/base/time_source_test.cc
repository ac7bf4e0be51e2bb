#include "lib/base/time_source.h"

#include <gtest/gtest.h>

#include <boost/asio/post.hpp>
#include <memory>
#include <optional>
#include <string>

#include "tests/testing/loop_fixture.h"

namespace portreeve::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class TimeSourceTest : public LoopFixture {};

TEST_F(TimeSourceTest, FiresAtItsTimeAndNotBefore) {
  int fired = 0;
  Timer timer(time());
  timer.StartAfter(seconds(1), [&] { ++fired; });
  EXPECT_TRUE(timer.armed());
  time().Advance(seconds(1) - milliseconds(1));
  EXPECT_EQ(fired, 0);
  time().Advance(milliseconds(1));
  EXPECT_EQ(fired, 1);
  EXPECT_FALSE(timer.armed());
  time().Advance(seconds(10));
  EXPECT_EQ(fired, 1);
}

TEST_F(TimeSourceTest, FiresInTheOrderOfTheTimesEachAtItsOwn) {
  const TimePoint begin = time().Now();
  std::string order;
  std::optional<TimePoint> when;
  Timer a(time()), b(time()), c(time());
  b.StartAfter(seconds(2), [&] {
    order += 'b';
    when = time().Now();
  });
  c.StartAfter(seconds(3), [&] { order += 'c'; });
  a.StartAfter(seconds(1), [&] { order += 'a'; });
  EXPECT_EQ(time().earliest(), begin + seconds(1));
  time().Advance(seconds(5));
  EXPECT_EQ(order, "abc");
  EXPECT_EQ(when, begin + seconds(2));
  EXPECT_EQ(time().Now(), begin + seconds(5));
}

TEST_F(TimeSourceTest, StartingItAgainForgetsTheFirst) {
  std::string order;
  Timer timer(time());
  timer.StartAfter(seconds(1), [&] { order += 'a'; });
  timer.StartAfter(seconds(3), [&] { order += 'b'; });
  time().Advance(seconds(2));
  EXPECT_EQ(order, "");
  time().Advance(seconds(2));
  EXPECT_EQ(order, "b");
}

TEST_F(TimeSourceTest, CancelAndDestructionForget) {
  Timer cancelled(time());
  cancelled.StartAfter(seconds(1), [] { FAIL(); });
  cancelled.Cancel();
  {
    Timer destroyed(time());
    destroyed.StartAfter(seconds(1), [] { FAIL(); });
  }
  EXPECT_EQ(time().earliest(), TimePoint::max());
  time().Advance(seconds(2));
}

TEST_F(TimeSourceTest, AFunctionMayDestroyItsTimerOrSetItAgain) {
  int fired = 0;
  auto mortal = std::make_unique<Timer>(time());
  mortal->StartAfter(seconds(1), [&] {
    mortal.reset();
    ++fired;
  });
  Timer again(time());
  again.StartAfter(seconds(1), [&] {
    ++fired;
    again.StartAfter(seconds(1), [&] { ++fired; });
  });
  time().Advance(seconds(2));
  EXPECT_EQ(fired, 3);
  EXPECT_EQ(mortal, nullptr);
}

TEST_F(TimeSourceTest, ADelayPastTheEndOfTimeIsNever) {
  Timer timer(time());
  timer.StartAfter(Duration::max(), [] { FAIL(); });
  EXPECT_EQ(time().earliest(), TimePoint::max());
  time().Advance(std::chrono::hours(24 * 365 * 100));
  timer.Cancel();
}

TEST_F(TimeSourceTest, SleepEndsAtItsTimeOrByCancellation) {
  TaskScope scope(executor());
  int ended = 0;
  auto sleep = [&]() -> Task<> {
    co_await Sleep(seconds(1));
    ++ended;
  };
  scope.Spawn(sleep());
  Settle();
  time().Advance(seconds(1) - milliseconds(1));
  Settle();
  EXPECT_EQ(ended, 0);
  time().Advance(milliseconds(1));
  Settle();
  EXPECT_EQ(ended, 1);
  scope.Spawn(sleep());
  Settle();
  scope.Cancel();
  Settle();
  EXPECT_TRUE(scope.empty());
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(time().earliest(), TimePoint::max());
}

TEST_F(TimeSourceTest, IsTheOneOfTheLoop) {
  EXPECT_EQ(&TimeSource::Of(loop()), &time());
  EXPECT_EQ(&TimeSource::Of(executor()), &time());
}

// What the loop has not called is destroyed after it.
TEST(SteadyTimeDeathTest, NobodyFindsItOnceItsLoopHasEnded) {
  struct Late {
    explicit Late(asio::io_context& loop) : loop(loop) {}
    ~Late() { (void)TimeSource::Of(loop); }
    asio::io_context& loop;
  };
  const auto end_loop = [] {
    asio::io_context loop(1);
    (void)TimeSource::Of(loop);
    asio::post(loop, [late = std::make_shared<Late>(loop)] {});
  };
  EXPECT_DEATH(end_loop(), "CHECK failed");
}

TEST(SteadyTime, FollowsTheSteadyClock) {
  asio::io_context loop(1);
  TimeSource& time = TimeSource::Of(loop);
  const TimePoint begin = time.Now();
  std::string order;
  Timer late(time), early(time), forgotten(time);
  late.StartAfter(milliseconds(20), [&] {
    order += 'l';
    EXPECT_GE(time.Now() - begin, milliseconds(20));
  });
  early.StartAfter(milliseconds(5), [&] { order += 'e'; });
  forgotten.StartAfter(milliseconds(1), [&] { order += 'f'; });
  forgotten.Cancel();
  loop.run();  // It runs dry after the last.
  EXPECT_EQ(order, "el");
}

}  // namespace
}  // namespace portreeve::testing
