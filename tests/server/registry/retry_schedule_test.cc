#include "server/registry/retry_schedule.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace portreeve::server {
namespace {

using std::chrono::seconds;

TEST(RetryScheduleTest, TheDelayDoublesUpToThirtySeconds) {
  RetrySchedule retries;
  TimePoint now{};
  int attempts = 0;
  for (const int delay : {1, 2, 4, 8, 16, 30, 30, 30}) {
    retries.OnFailed("web", true, now);
    EXPECT_EQ(retries.attempts("web"), ++attempts);
    EXPECT_EQ(retries.next("web"), now + seconds(delay));
    EXPECT_EQ(retries.earliest(), now + seconds(delay));
    now += seconds(delay);
    EXPECT_EQ(retries.Due(now - Duration(1)), std::vector<std::string>());
    EXPECT_EQ(retries.Due(now), std::vector<std::string>{"web"});
  }
}

TEST(RetryScheduleTest, AnotherProcessGoesOnAsThisOne) {
  RetrySchedule retries;
  TimePoint now{};
  for (int i = 0; i < 9; ++i) {
    retries.OnFailed("web", true, now);
    RetrySchedule next;
    next.Restore("web", retries.attempts("web"), retries.next("web"));
    RetrySchedule last = retries;
    for (int j = 0; j < 4; ++j) {
      EXPECT_EQ(next.attempts("web"), last.attempts("web"));
      EXPECT_EQ(next.next("web"), last.next("web"));
      EXPECT_EQ(next.earliest(), last.earliest());
      const TimePoint later = *last.next("web");
      last.OnFailed("web", true, later);
      next.OnFailed("web", true, later);
    }
    now = *retries.next("web");
  }
  RetrySchedule never;
  never.Restore("web", 3, std::nullopt);
  EXPECT_EQ(never.attempts("web"), 3);
  EXPECT_EQ(never.earliest(), std::nullopt);
  EXPECT_EQ(never.size(), 1);
}

TEST(RetryScheduleTest, WhatCannotPassIsNotTriedByItself) {
  RetrySchedule retries;
  const TimePoint now{};
  retries.OnFailed("web", false, now);
  EXPECT_EQ(retries.attempts("web"), 1);
  EXPECT_EQ(retries.next("web"), std::nullopt);
  EXPECT_EQ(retries.earliest(), std::nullopt);
  EXPECT_TRUE(retries.Due(now + seconds(3600)).empty());
  EXPECT_EQ(retries.All(), std::vector<std::string>{"web"});
  // It may fail in another way when somebody tries it.
  retries.OnFailed("web", true, now);
  EXPECT_EQ(retries.next("web"), now + seconds(1));
  retries.OnFailed("web", false, now);
  EXPECT_EQ(retries.next("web"), std::nullopt);
}

TEST(RetryScheduleTest, TheEarliestOfAllIsNext) {
  RetrySchedule retries;
  const TimePoint now{};
  retries.OnFailed("a", true, now + seconds(5));
  retries.OnFailed("b", true, now);
  retries.OnFailed("c", true, now + seconds(3));
  EXPECT_EQ(retries.earliest(), now + seconds(1));
  EXPECT_EQ(retries.Due(now + seconds(4)),
            (std::vector<std::string>{"b", "c"}));
  retries.Remove("b");
  EXPECT_EQ(retries.earliest(), now + seconds(4));
  EXPECT_EQ(retries.attempts("b"), 0);
  EXPECT_EQ(retries.size(), 2);
  retries.Remove("a");
  retries.Remove("c");
  EXPECT_TRUE(retries.empty());
  EXPECT_EQ(retries.earliest(), std::nullopt);
  // Who comes back begins anew.
  retries.OnFailed("b", true, now);
  EXPECT_EQ(retries.next("b"), now + seconds(1));
}

}  // namespace
}  // namespace portreeve::server
