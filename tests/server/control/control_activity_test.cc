#include "server/control/control_activity.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <vector>

namespace portreeve::server {
namespace {

using Totals = FloodPolicy::Totals;
using A = ControlActivity;
using std::chrono::milliseconds;

TimePoint At(int64_t ms) {
  return TimePoint(std::chrono::hours(1) + milliseconds(ms));
}

TEST(ControlActivity, WhatIsFreeIsNoActivity) {
  const ControlActivity activity;
  Totals totals;
  EXPECT_EQ(activity.Level(At(0), totals), 0);
  totals.received_bytes = A::kFreeBytes;
  totals.unread_bytes = A::kFreeBytes;
  totals.begun = totals.in_flight = A::kFreeWaiting + A::kFreeAnswered;
  totals.answered = A::kFreeAnswered;
  totals.cancelled = A::kFreeCancelled;
  EXPECT_EQ(activity.Level(At(0), totals), 0);
  EXPECT_EQ(activity.Held(At(0), totals), 0);
}

// They are not what the process grows by, but what it may have grown by.
TEST(ControlActivity, CallsThatHaveWaitedForLongAreHeldOnly) {
  ControlActivity activity;
  Totals totals;
  totals.begun = 1'000;
  totals.in_flight = 900;
  activity.Look(At(0), totals, false);
  const int64_t held = (900 - A::kFreeWaiting) * A::kWeightOfWaiting;
  EXPECT_EQ(activity.Level(At(999), totals), held);
  activity.Look(At(1'000), totals, false);
  EXPECT_EQ(activity.Level(At(1'000), totals), 0);
  EXPECT_EQ(activity.Held(At(1'000), totals), held);
  // Of those that begin as many as wait.
  totals.begun += A::kFreeWaiting + 3;
  EXPECT_EQ(activity.Level(At(1'000), totals), 3 * A::kWeightOfWaiting);
  totals.begun += 10'000;
  EXPECT_EQ(activity.Level(At(1'000), totals), held);
}

TEST(ControlActivity, OneMoreOfEachCounts) {
  const ControlActivity activity;
  const auto level_of = [&](const std::function<void(Totals&)>& change) {
    Totals totals;
    change(totals);
    return activity.Level(At(0), totals);
  };
  EXPECT_EQ(level_of([](Totals& t) { t.received_bytes = A::kFreeBytes + 1; }),
            1);
  EXPECT_EQ(level_of([](Totals& t) { t.unread_bytes = A::kFreeBytes + 1; }), 1);
  EXPECT_EQ(
      level_of([](Totals& t) { t.begun = t.in_flight = A::kFreeWaiting + 1; }),
      A::kWeightOfWaiting);
  EXPECT_EQ(level_of([](Totals& t) {
              t.in_flight = t.answered = A::kFreeAnswered + 1;
            }),
            A::kWeightOfAnswered);
  EXPECT_EQ(level_of([](Totals& t) { t.cancelled = A::kFreeCancelled + 1; }),
            A::kWeightOfCancelled);
}

TEST(ControlActivity, WhatWasReadAndWhatWaitsIsCountedOnce) {
  const ControlActivity activity;
  Totals totals;
  totals.received_bytes = 100'000;
  totals.unread_bytes = 60'000;
  EXPECT_EQ(activity.Level(At(0), totals), 100'000 - A::kFreeBytes);
  // It came long ago, and waits all the same.
  totals.received_bytes = 0;
  EXPECT_EQ(activity.Level(At(0), totals), 60'000 - A::kFreeBytes);
}

TEST(ControlActivity, CallsAndMessagesExplainBytes) {
  const ControlActivity activity;
  Totals totals;
  totals.begun = 10;
  totals.messages = 20;
  totals.message_bytes = 5'000;
  totals.sent = 30;
  const int64_t explained = 10 * A::kBytesOfCall + 20 * A::kBytesOfMessage +
                            5'000 + 30 * A::kBytesOfSent;
  totals.received_bytes = A::kFreeBytes + explained;
  EXPECT_EQ(activity.Level(At(0), totals), 0);
  ++totals.received_bytes;
  EXPECT_EQ(activity.Level(At(0), totals), 1);
}

TEST(ControlActivity, CallsThatCarryAreFree) {
  const ControlActivity activity;
  Totals totals;
  totals.begun = 10'000;
  totals.in_flight = totals.carrying = 1'000;
  EXPECT_EQ(activity.Level(At(0), totals), 0);
  totals.in_flight += A::kFreeWaiting;
  EXPECT_EQ(activity.Level(At(0), totals), 0);
  ++totals.in_flight;
  EXPECT_EQ(activity.Level(At(0), totals), A::kWeightOfWaiting);
}

TEST(ControlActivity, TwoMarksLaterItIsOld) {
  ControlActivity activity;
  Totals totals;
  totals.received_bytes = 50'000;
  totals.cancelled = 1'000;
  EXPECT_TRUE(activity.Look(At(0), totals, false));
  const int64_t level = activity.Level(At(0), totals);
  EXPECT_EQ(level, 50'000 - A::kFreeBytes +
                       (1'000 - A::kFreeCancelled) * A::kWeightOfCancelled);
  EXPECT_FALSE(activity.Look(At(999), totals, false));
  EXPECT_EQ(activity.Level(At(999), totals), level);
  EXPECT_FALSE(activity.Look(At(1'000), totals, false));
  EXPECT_EQ(activity.Level(At(1'000), totals), 0);
}

// Nobody looks at who is silent.
TEST(ControlActivity, WhatIsOldIsOldThoughNobodyLooks) {
  ControlActivity activity;
  Totals totals;
  totals.received_bytes = 50'000;
  totals.carrying = totals.in_flight = 3;
  EXPECT_TRUE(activity.Look(At(0), totals, false));
  totals.carrying = totals.in_flight = 0;
  EXPECT_EQ(activity.Level(At(999), totals), 50'000 - A::kFreeBytes);
  EXPECT_EQ(activity.Level(At(1'000), totals), 0);
  EXPECT_EQ(activity.Carried(At(1'999), 0), 3);
  EXPECT_EQ(activity.Carried(At(2'000), 0), 0);
  EXPECT_EQ(activity.Carried(At(2'000), 2), 2);
  // What comes without a look counts.
  totals.received_bytes += 20'000;
  EXPECT_EQ(activity.Level(At(60'000), totals), 20'000 - A::kFreeBytes);
}

TEST(ControlActivity, WhatWaitedToBeReadIsOldThoughNobodyLooks) {
  ControlActivity activity;
  Totals totals;
  totals.unread_bytes = 50'000;
  activity.Look(At(0), totals, true);
  activity.Look(At(500), totals, true);
  totals.unread_bytes = 0;
  EXPECT_EQ(activity.Level(At(1'999), totals), 50'000 - A::kFreeBytes);
  EXPECT_EQ(activity.Level(At(2'000), totals), 0);
  totals.unread_bytes = 40'000;
  EXPECT_EQ(activity.Level(At(2'000), totals), 40'000 - A::kFreeBytes);
}

TEST(ControlActivity, WhatIsUnexplainedIsSoForEver) {
  Totals totals;
  totals.received_bytes = 100'000;
  EXPECT_EQ(A::Unexplained(totals), 100'000);
  totals.begun = 10;
  totals.messages = 20;
  totals.message_bytes = 5'000;
  totals.sent = 30;
  EXPECT_EQ(A::Unexplained(totals), 100'000 - 10 * A::kBytesOfCall -
                                        20 * A::kBytesOfMessage - 5'000 -
                                        30 * A::kBytesOfSent);
}

TEST(ControlActivity, TheMostUnreadIsRememberedForASecondOrTwo) {
  ControlActivity activity;
  Totals totals;
  totals.unread_bytes = 50'000;
  activity.Look(At(0), totals, true);
  activity.Look(At(1'000), totals, true);  // A mark.
  totals.unread_bytes = 0;
  activity.Look(At(1'025), totals, false);
  EXPECT_EQ(activity.Level(At(1'025), totals), 50'000 - A::kFreeBytes);
  activity.Look(At(2'000), totals, false);
  EXPECT_EQ(activity.Level(At(2'000), totals), 0);
}

TEST(ControlActivity, ArrivalsOfWhichNothingComesCount) {
  ControlActivity activity;
  const Totals totals;
  for (int i = 0; i < A::kFreeArrivals; ++i) {
    EXPECT_FALSE(activity.Look(At(i), totals, true));
  }
  EXPECT_EQ(activity.Level(At(100), totals), 0);
  EXPECT_FALSE(activity.Look(At(100), totals, false));
  EXPECT_EQ(activity.Level(At(100), totals), 0);
  activity.Look(At(101), totals, true);
  EXPECT_EQ(activity.Level(At(101), totals), A::kWeightOfArrival);
}

TEST(ControlActivity, ACallAMessageEitherWayAndBytesExplainAnArrival) {
  const std::vector<std::function<void(Totals&)>> reasons = {
      [](Totals& t) { ++t.begun; }, [](Totals& t) { ++t.messages; },
      [](Totals& t) { ++t.sent; }, [](Totals& t) { ++t.received_bytes; },
      [](Totals& t) { t.unread_bytes = 1; }};
  for (const auto& reason : reasons) {
    ControlActivity activity;
    Totals totals;
    for (int i = 0; i < 10 * A::kFreeArrivals; ++i) {
      reason(totals);
      activity.Look(At(i), totals, true);
    }
    EXPECT_EQ(activity.Level(At(100), totals), 0);
  }
}

TEST(ControlActivity, WhatWaitsToBeReadIsNewEachTime) {
  ControlActivity activity;
  Totals totals;
  EXPECT_FALSE(activity.Look(At(0), totals, false));
  totals.unread_bytes = 1;
  EXPECT_TRUE(activity.Look(At(1), totals, false));
  EXPECT_TRUE(activity.Look(At(2), totals, false));
  totals.unread_bytes = 0;
  EXPECT_FALSE(activity.Look(At(3), totals, false));
}

TEST(ControlActivity, AnAnswerToAPingIsQuiet) {
  ControlActivity activity;
  Totals totals;
  totals.received_bytes = 5'000;
  activity.Look(At(0), totals, false);
  totals.received_bytes += 17;
  EXPECT_TRUE(activity.IsQuiet(totals));
  totals.received_bytes += 1'024;
  EXPECT_FALSE(activity.IsQuiet(totals));
  activity.Look(At(1), totals, false);
  EXPECT_TRUE(activity.IsQuiet(totals));
  ++totals.begun;
  EXPECT_FALSE(activity.IsQuiet(totals));
  activity.Look(At(2), totals, false);
  ++totals.messages;
  EXPECT_FALSE(activity.IsQuiet(totals));
}

TEST(ControlActivity, WhatWasCarriedOfLateIsRemembered) {
  ControlActivity activity;
  Totals totals;
  totals.carrying = 3;
  activity.Look(At(0), totals, false);
  totals.carrying = 1;
  activity.Look(At(1'000), totals, false);
  EXPECT_EQ(activity.Carried(At(1'000), 0), 3);
  EXPECT_EQ(activity.Carried(At(1'000), 4), 4);
  activity.Look(At(2'000), totals, false);
  EXPECT_EQ(activity.Carried(At(2'000), 0), 1);
  totals.carrying = 0;
  activity.Look(At(3'000), totals, false);
  activity.Look(At(4'000), totals, false);
  EXPECT_EQ(activity.Carried(At(4'000), 0), 0);
}

// Whatever happens in whatever order: no level is negative, one that asks for
// more is not less busy, and who rests for two seconds is not busy, but for
// what waits.
TEST(ControlActivity, EverySequenceOfSixEvents) {
  const std::vector<std::function<void(Totals&)>> events = {
      [](Totals& t) { t.received_bytes += 20'000; },
      [](Totals& t) { ++t.begun, t.in_flight += 20; },
      [](Totals& t) { t.answered = t.in_flight; },
      [](Totals& t) {
        t.cancelled += t.in_flight;
        t.in_flight = t.answered = t.carrying = 0;
      },
      [](Totals& t) { t.messages += 2, t.message_bytes += 9'000; },
      [](Totals& t) { t.carrying = t.in_flight - t.answered; },
      [](Totals& t) { t.unread_bytes = 30'000; },
      [](Totals& t) { t.unread_bytes = 0; },
  };
  constexpr int kSteps = 6;
  int count = 1;
  for (int i = 0; i < kSteps; ++i) count *= static_cast<int>(events.size());
  for (int sequence = 0; sequence < count; ++sequence) {
    ControlActivity activity;
    Totals totals;
    int rest = sequence;
    int64_t time = 0;
    for (int step = 0; step < kSteps; ++step) {
      events[rest % events.size()](totals);
      rest /= static_cast<int>(events.size());
      activity.Look(At(time += 400), totals, step % 2 == 0);
      const int64_t level = activity.Level(At(time), totals);
      ASSERT_GE(level, 0) << sequence;
      Totals more = totals;
      more.received_bytes += 1;
      more.unread_bytes += 1;
      more.in_flight += 1;
      more.cancelled += 1;
      ASSERT_GE(activity.Level(At(time), more), level) << sequence;
    }
    totals.unread_bytes = 0;
    totals.in_flight = totals.answered = totals.carrying = 0;
    for (int i = 0; i < 3; ++i) activity.Look(At(time += 1'000), totals, false);
    ASSERT_EQ(activity.Level(At(time), totals), 0) << sequence;
  }
}

}  // namespace
}  // namespace portreeve::server
