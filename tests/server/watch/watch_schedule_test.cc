#include "server/watch/watch_schedule.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "lib/base/loop.h"
#include "lib/base/time_source.h"
#include "server/events/event_log.h"

namespace portreeve::server {
namespace {

using std::chrono::milliseconds;

class WatchScheduleTest : public ::testing::Test {
 protected:
  // One who takes everything and waits for more at once, unless told not to.
  class Taker : public WatchSchedule::Watcher {
   public:
    explicit Taker(WatchScheduleTest& test) : test_(test) {}
    int64_t next() const override { return next_; }
    void Look() override {
      // How many there were; 0 for one who has seen them already.
      looks.push_back(test_.log_.last_revision() - next_ + 1);
      next_ = test_.log_.last_revision() + 1;
      if (waits_again) test_.schedule_.Wait(*this);
    }
    std::vector<int64_t> looks;
    bool waits_again = true;

   private:
    WatchScheduleTest& test_;
    int64_t next_ = 1;
  };

  // On the loop; gives what `f` gives.
  template <typename F>
  auto OnLoop(F f) {
    return loop_.Run(std::move(f)).get();
  }

  WatchScheduleTest() {
    OnLoop([this] { time_.emplace(loop_.context()); });
  }
  ~WatchScheduleTest() override {
    OnLoop([this] {
      for (Taker* taker : {&a_, &b_}) schedule_.Forget(*taker);
      EXPECT_EQ(log_.num_subscribers(), 0u);
    });
    loop_.Join();
  }

  void Wait(Taker& taker) {
    OnLoop([&] { schedule_.Wait(taker); });
    Step();
  }
  // In one step; gives what comes of it time to run.
  void Append(int count) {
    v1::Event event;
    event.mutable_limit_reached();
    OnLoop([&] {
      for (int i = 0; i < count; ++i) log_.Append(event, "");
    });
    Step();
  }
  void Advance(Duration delay) {
    OnLoop([&] { time_->Advance(delay); });
    Step();
  }
  // What was posted until now has run after this.
  void Step() {
    OnLoop([] {});
    OnLoop([] {});
  }
  size_t num_subscribers() {
    return OnLoop([this] { return log_.num_subscribers(); });
  }
  bool timer_is_set() {
    return OnLoop([this] { return time_->earliest() != TimePoint::max(); });
  }

  Loop loop_;
  EventLog log_;
  std::optional<FakeTimeSource> time_;
  WatchSchedule schedule_{loop_, log_};
  Taker a_{*this};
  Taker b_{*this};
};

using Looks = std::vector<int64_t>;
constexpr auto kPause = WatchSchedule::kPause;
constexpr auto kBurstPause = WatchSchedule::kBurstPause;
constexpr auto kBurst = static_cast<int>(WatchSchedule::kBurst);
constexpr auto kManyEvents = static_cast<int>(WatchSchedule::kManyEvents);

TEST_F(WatchScheduleTest, ALoneEventIsLookedAtInTheNextStep) {
  Wait(a_);
  EXPECT_EQ(a_.looks, Looks{});
  Append(1);
  EXPECT_EQ(a_.looks, Looks{1});
  EXPECT_FALSE(timer_is_set());  // Nothing is periodic.
  Advance(kPause);
  Append(1);
  EXPECT_EQ(a_.looks, (Looks{1, 1}));
}

TEST_F(WatchScheduleTest, WhatFollowsWithinThePauseIsLookedAtTogether) {
  Wait(a_);
  Append(1);
  Advance(milliseconds(1));
  for (int i = 0; i < 5; ++i) Append(2);
  Advance(kPause - milliseconds(2));
  EXPECT_EQ(a_.looks, Looks{1});
  Advance(milliseconds(1));
  EXPECT_EQ(a_.looks, (Looks{1, 10}));
  EXPECT_FALSE(timer_is_set());
}

// The API's limit is 10 ms.
TEST_F(WatchScheduleTest, ALoneEventAfterABurstWaitsForThePauseOnly) {
  EXPECT_LT(kPause, milliseconds(10));
  Wait(a_);
  Append(kBurst);
  EXPECT_EQ(a_.looks, Looks{kBurst});
  Append(kBurst - 1);
  Advance(kPause);
  EXPECT_EQ(a_.looks, (Looks{kBurst, kBurst - 1}));
}

TEST_F(WatchScheduleTest, ABurstWaitsForMore) {
  Wait(a_);
  Append(1);
  Append(kBurst);
  Advance(kPause);
  EXPECT_EQ(a_.looks, Looks{1});
  Append(kBurst);
  Advance(kBurstPause - kPause - milliseconds(1));
  EXPECT_EQ(a_.looks, Looks{1});
  Advance(milliseconds(1));
  EXPECT_EQ(a_.looks, (Looks{1, 2 * kBurst}));
}

TEST_F(WatchScheduleTest, ManyEventsDoNotWait) {
  Wait(a_);
  Append(1);
  Append(kManyEvents - 1);
  EXPECT_EQ(a_.looks, Looks{1});
  Append(1);
  EXPECT_EQ(a_.looks, (Looks{1, kManyEvents}));
}

TEST_F(WatchScheduleTest, AllLookInTheSameStep) {
  Wait(a_);
  Append(3);
  Wait(b_);  // It is behind, and comes to the next look.
  EXPECT_EQ(b_.looks, Looks{});
  Append(1);
  Advance(kPause);
  EXPECT_EQ(a_.looks, (Looks{3, 1}));
  EXPECT_EQ(b_.looks, Looks{4});
  Advance(kPause);
  Append(1);
  EXPECT_EQ(a_.looks, (Looks{3, 1, 1}));
  EXPECT_EQ(b_.looks, (Looks{4, 1}));
}

TEST_F(WatchScheduleTest, OneWhoIsBehindNeedsNoFurtherEvent) {
  Append(3);
  Wait(a_);
  EXPECT_EQ(a_.looks, Looks{3});
  Wait(b_);
  Advance(kPause);
  EXPECT_EQ(b_.looks, Looks{3});
}

TEST_F(WatchScheduleTest, TheLogDoesNotKnowOfItWhileNobodyWaits) {
  EXPECT_EQ(num_subscribers(), 0u);
  a_.waits_again = false;
  Wait(a_);
  Wait(b_);
  EXPECT_EQ(num_subscribers(), 1u);
  Append(1);
  EXPECT_EQ(num_subscribers(), 1u);
  OnLoop([this] { schedule_.Forget(b_); });
  EXPECT_EQ(num_subscribers(), 0u);
  Append(kManyEvents);
  EXPECT_FALSE(timer_is_set());
  EXPECT_EQ(a_.looks, Looks{1});
  EXPECT_EQ(b_.looks, Looks{1});
}

// Its pause ends with it.
TEST_F(WatchScheduleTest, WhoIsForgottenIsNotCalled) {
  Wait(a_);
  Append(1);
  Append(1);
  EXPECT_TRUE(timer_is_set());
  OnLoop([this] { schedule_.Forget(a_); });
  EXPECT_FALSE(timer_is_set());
  Advance(kPause);
  // Nor by a look that was posted.
  OnLoop([this] {
    schedule_.Wait(a_);  // It is behind.
    schedule_.Forget(a_);
  });
  Step();
  EXPECT_EQ(a_.looks, Looks{1});
}

}  // namespace
}  // namespace portreeve::server
