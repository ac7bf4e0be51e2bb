#include <gtest/gtest.h>

#include <chrono>
#include <optional>

#include "server/control/control_memory.h"

namespace portreeve::server {
namespace {

using Alarm = MemoryPolicy::Alarm;
using std::chrono::milliseconds;
using std::chrono::seconds;

TimePoint At(Duration time) { return TimePoint(std::chrono::hours(1) + time); }

TEST(MemoryPolicy, TheLimitIsTheMostThatIsFine) {
  MemoryPolicy policy(90);
  EXPECT_EQ(policy.Look(At(seconds(0)), 90, 90), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(seconds(0)), 91, 91), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(99)), 91, 91), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(100)), 91, 91), Alarm::kLevel);
  // As long as it lasts.
  for (int second = 1; second <= 9; ++second) {
    EXPECT_EQ(policy.Look(At(seconds(second)), 91, 91), Alarm::kLevel);
  }
  EXPECT_EQ(policy.Look(At(seconds(9)), 90, 90), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(seconds(9)), -1'000, -1'000), Alarm::kNone);
}

TEST(MemoryPolicy, AnEighthOfTheLimitIsTheMostThatMayComeAtOnce) {
  MemoryPolicy policy(240);
  EXPECT_EQ(policy.Look(At(milliseconds(0)), 10, 10), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(25)), 40, 40), Alarm::kNone);
  EXPECT_FALSE(policy.IsOnAlert(At(milliseconds(50))));
  EXPECT_EQ(policy.Look(At(milliseconds(50)), 41, 41), Alarm::kGrowth);
}

TEST(MemoryPolicy, OnTheAlertLittleIsTooMuch) {
  MemoryPolicy policy(480);
  EXPECT_EQ(policy.Look(At(milliseconds(0)), 0, 0), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(10)), 61, 61), Alarm::kGrowth);
  EXPECT_TRUE(policy.IsOnAlert(At(milliseconds(10))));
  // It counts from there on.
  EXPECT_EQ(policy.Look(At(milliseconds(20)), 71, 71), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(30)), 72, 72), Alarm::kGrowth);
  EXPECT_EQ(policy.Look(At(milliseconds(40)), 82, 82), Alarm::kNone);
  // Three seconds after the last alarm it is over.
  EXPECT_TRUE(policy.IsOnAlert(At(milliseconds(3'029))));
  EXPECT_FALSE(policy.IsOnAlert(At(milliseconds(3'030))));
  EXPECT_EQ(policy.Look(At(milliseconds(3'030)), 82, 82), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(3'040)), 142, 142), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(3'050)), 143, 143), Alarm::kGrowth);
}

TEST(MemoryPolicy, TooMuchMemoryIsAnAlertToo) {
  MemoryPolicy policy(480);
  EXPECT_EQ(policy.Look(At(milliseconds(0)), 475, 475), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(10)), 481, 481), Alarm::kNone);
  EXPECT_TRUE(policy.IsOnAlert(At(milliseconds(20))));
  EXPECT_EQ(policy.Look(At(milliseconds(20)), 486, 486), Alarm::kGrowth);
}

// What a flood that is over has left is nobody's fault who is there now.
TEST(MemoryPolicy, BeforeAnybodyHasToGoTheHeapIsTrimmed) {
  MemoryPolicy policy(960);
  for (int time = 0; time < 10; ++time) {
    const auto begin = seconds(time);
    EXPECT_EQ(policy.Look(At(begin), 970, 970), Alarm::kNone);
    ASSERT_EQ(policy.next_trim(), At(begin)) << time;
    policy.OnTrimmed(At(begin));
    EXPECT_EQ(policy.Look(At(begin + milliseconds(99)), 970, 970),
              Alarm::kNone);
    EXPECT_EQ(policy.Look(At(begin + milliseconds(101)), 960, 960),
              Alarm::kNone);
    // Without another shutdown or more memory it is not trimmed for ever.
    while (policy.next_trim()) policy.OnTrimmed(*policy.next_trim());
    EXPECT_EQ(policy.Look(At(begin + milliseconds(102)), 960, 960),
              Alarm::kNone);
  }
}

// Nobody has sent anything since, and what is left may be somebody else's.
TEST(MemoryPolicy, AfterAPauseTheHeapIsTrimmedFirstOnceMore) {
  MemoryPolicy policy(960);
  EXPECT_EQ(policy.Look(At(seconds(0)), 970, 970), Alarm::kNone);
  policy.OnTrimmed(At(seconds(0)));
  EXPECT_EQ(policy.Look(At(seconds(1)), 970, 970), Alarm::kLevel);
  EXPECT_EQ(policy.Look(At(seconds(2)), 970, 970), Alarm::kLevel);
  const auto later = seconds(3) + milliseconds(1);
  EXPECT_EQ(policy.Look(At(later), 970, 970), Alarm::kNone);
  ASSERT_TRUE(policy.next_trim().has_value());
  EXPECT_LE(*policy.next_trim(), At(later));
  EXPECT_EQ(policy.Look(At(later + milliseconds(99)), 970, 970), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(later + milliseconds(100)), 970, 970),
            Alarm::kLevel);
}

// A flood that goes on would take more meanwhile.
TEST(MemoryPolicy, WhatIsFarTooLargeIsNotTrimmedFirst) {
  MemoryPolicy policy(960);
  EXPECT_EQ(policy.Look(At(seconds(0)), 990, 990), Alarm::kNone);
  MemoryPolicy another(960);
  EXPECT_EQ(another.Look(At(seconds(0)), 991, 991), Alarm::kLevel);
}

TEST(MemoryPolicy, GrowthOfTheLastSecondCountsToo) {
  MemoryPolicy policy(240);
  EXPECT_EQ(policy.Look(At(milliseconds(0)), 0, 0), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(975)), 20, 20), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(1'000)), 20, 20), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(1'500)), 31, 31), Alarm::kGrowth);
}

TEST(MemoryPolicy, GrowthInPassingIsFine) {
  MemoryPolicy policy(900);
  for (int second = 0; second <= 9; ++second) {
    EXPECT_EQ(policy.Look(At(seconds(second)), second * 100, second * 100),
              Alarm::kNone)
        << second;
  }
  EXPECT_EQ(policy.Look(At(seconds(10)), 901, 901), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(seconds(11)), 901, 901), Alarm::kLevel);
}

TEST(MemoryPolicy, WhatCameWhileNobodySentIsNoGrowth) {
  MemoryPolicy policy(90);
  EXPECT_EQ(policy.Look(At(seconds(0)), 0, 0), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(seconds(2)), 80, 80), Alarm::kNone);
  // Shorter than that, it is.
  EXPECT_EQ(policy.Look(At(milliseconds(3'999)), 90, 90), Alarm::kNone);
  MemoryPolicy another(90);
  EXPECT_EQ(another.Look(At(seconds(0)), 0, 0), Alarm::kNone);
  EXPECT_EQ(another.Look(At(milliseconds(1'999)), 80, 80), Alarm::kGrowth);
}

// A flood goes on where the heap of its beginning is trimmed.
TEST(MemoryPolicy, WhatIsGivenBackAndComesAgainIsGrowth) {
  MemoryPolicy policy(240);
  EXPECT_EQ(policy.Look(At(milliseconds(0)), 200, 900), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(10)), 80, 780), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(20)), 110, 810), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(30)), 111, 811), Alarm::kGrowth);
  // In the second before, too.
  MemoryPolicy another(240);
  EXPECT_EQ(another.Look(At(milliseconds(0)), 200, 900), Alarm::kNone);
  EXPECT_EQ(another.Look(At(milliseconds(1'000)), 200, 900), Alarm::kNone);
  EXPECT_EQ(another.Look(At(milliseconds(1'990)), 80, 780), Alarm::kNone);
  EXPECT_EQ(another.Look(At(milliseconds(2'000)), 80, 780), Alarm::kNone);
  EXPECT_EQ(another.Look(At(milliseconds(2'010)), 111, 811), Alarm::kGrowth);
}

// Calls that begin to carry connections, and end.
TEST(MemoryPolicy, WhatIsOnlyAccountedForIsNotGivenBack) {
  MemoryPolicy policy(240);
  EXPECT_EQ(policy.Look(At(milliseconds(0)), 0, 100), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(10)), -500, 100), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(20)), 0, 9'000), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(30)), 31, 9'000), Alarm::kGrowth);
}

// Connections that close, whose memory is given back, and others that open.
TEST(MemoryPolicy, WhatIsAccountedForMayComeAgain) {
  MemoryPolicy policy(240);
  EXPECT_EQ(policy.Look(At(milliseconds(0)), 0, 500), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(10)), 0, 100), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(20)), 30, 500), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(30)), 31, 500), Alarm::kGrowth);
}

// Connections that close leave the account all at once.
TEST(MemoryPolicy, WhatLeavesTheAccountIsNoGrowth) {
  MemoryPolicy policy(240);
  EXPECT_EQ(policy.Look(At(milliseconds(0)), -1'000, 500), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(25)), 100, 530), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(50)), 100, 531), Alarm::kGrowth);
  // Nor is what the account explains.
  EXPECT_EQ(policy.Look(At(milliseconds(75)), 105, 9'000), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(75)), 106, 9'000), Alarm::kGrowth);
}

TEST(MemoryPolicy, TheHeapIsTrimmedForAWhileAfterTheLastShutdown) {
  MemoryPolicy policy(90);
  EXPECT_EQ(policy.next_trim(), std::nullopt);
  policy.OnShutDown(At(seconds(0)));
  EXPECT_EQ(policy.next_trim(), At(milliseconds(200)));
  policy.OnTrimmed(At(milliseconds(210)));
  EXPECT_EQ(policy.next_trim(), At(milliseconds(1'210)));
  policy.OnShutDown(At(seconds(1)));
  EXPECT_EQ(policy.next_trim(), At(milliseconds(1'200)));
  policy.OnTrimmed(At(milliseconds(1'200)));
  EXPECT_EQ(policy.next_trim(), At(milliseconds(2'200)));
  policy.OnTrimmed(At(milliseconds(2'200)));
  EXPECT_EQ(policy.next_trim(), At(milliseconds(5'200)));
  policy.OnTrimmed(At(milliseconds(5'200)));
  EXPECT_EQ(policy.next_trim(), At(milliseconds(11'200)));
  policy.OnTrimmed(At(milliseconds(11'200)));
  EXPECT_EQ(policy.next_trim(), At(milliseconds(21'200)));
  policy.OnTrimmed(At(milliseconds(21'200)));
  EXPECT_EQ(policy.next_trim(), At(milliseconds(31'200)));
  policy.OnTrimmed(At(milliseconds(31'200)));
  EXPECT_EQ(policy.next_trim(), std::nullopt);
}

// Or connections that are ended one after another would put it off for ever.
TEST(MemoryPolicy, AFurtherShutdownPutsNoTrimOff) {
  MemoryPolicy policy(90);
  for (int ms = 0; ms < 200; ms += 50) {
    policy.OnShutDown(At(milliseconds(ms)));
    EXPECT_EQ(policy.next_trim(), At(milliseconds(200)));
  }
}

TEST(MemoryPolicy, WhileThereIsTooMuchItIsTrimmedEachSecondForAWhile) {
  MemoryPolicy policy(90);
  int num_trims = 0;
  for (int ms = 0; ms <= 60'000; ms += 10) {
    EXPECT_EQ(policy.Look(At(milliseconds(ms)), 91, 91),
              ms < 100 ? Alarm::kNone : Alarm::kLevel);
    if (!policy.next_trim()) continue;
    EXPECT_LE(*policy.next_trim(), At(milliseconds(ms + 1'000)));
    if (*policy.next_trim() > At(milliseconds(ms))) continue;
    policy.OnTrimmed(At(milliseconds(ms)));
    ++num_trims;
  }
  // It is no flood's, then.
  EXPECT_EQ(num_trims, 6);
  EXPECT_EQ(policy.next_trim(), std::nullopt);
}

TEST(MemoryPolicy, WhatIsForConnectionsThatAreServedIsNoGrowth) {
  MemoryPolicy policy(80);
  EXPECT_EQ(policy.Look(At(seconds(0)), 0, 0), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(1)), 30, 30, 20), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(2)), 31, 31, 20), Alarm::kGrowth);
  EXPECT_EQ(policy.Look(At(milliseconds(3)), 100, 31, 20), Alarm::kNone);
  EXPECT_EQ(policy.next_trim(), std::nullopt);
  EXPECT_EQ(policy.Look(At(milliseconds(4)), 101, 31, 20), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(104)), 101, 31, 20), Alarm::kLevel);
}

TEST(MemoryPolicy, WhatConnectionsThatHaveEndedLeaveIsNoGrowth) {
  MemoryPolicy policy(80);
  EXPECT_EQ(policy.Look(At(seconds(0)), 0, 0), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(1)), 40, 40, 40), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(2)), 40, 40, 0), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(3)), 120, 40, 0), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(200)), 120, 40, 0), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(10'000)), 120, 40, 0), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(19'999)), 120, 40, 0), Alarm::kNone);
  // It was trimmed by then, and is somebody else's.
  EXPECT_EQ(policy.Look(At(milliseconds(20'000)), 81, 40, 0), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(20'100)), 81, 40, 0), Alarm::kLevel);
}

// Nobody had sent anything for a while.
TEST(MemoryPolicy, AfterAPauseWhatConnectionsHaveLeftIsTrimmedFirst) {
  MemoryPolicy policy(80);
  EXPECT_EQ(policy.Look(At(seconds(0)), 180, 180, 100), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(seconds(60)), 180, 180, 0), Alarm::kNone);
  EXPECT_EQ(policy.next_trim(), At(milliseconds(60'200)));
  EXPECT_EQ(policy.Look(At(seconds(61)), 180, 180, 0), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(seconds(70)), 81, 81, 0), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(70'100)), 81, 81, 0), Alarm::kLevel);
}

TEST(MemoryPolicy, TheHeapIsTrimmedWhereAClientHasEndedThatServedMany) {
  MemoryPolicy policy(80);
  policy.OnServerEnded(At(seconds(0)), 10);
  EXPECT_EQ(policy.next_trim(), std::nullopt);
  policy.OnServerEnded(At(seconds(0)), 11);
  EXPECT_EQ(policy.next_trim(), At(milliseconds(200)));
}

TEST(MemoryPolicy, TheHeapIsTrimmedForAWhileAfterManyConnectionsHaveEnded) {
  MemoryPolicy policy(80);
  EXPECT_EQ(policy.Look(At(seconds(0)), 40, 40, 40), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(seconds(1)), 40, 40, 30), Alarm::kNone);
  EXPECT_EQ(policy.next_trim(), std::nullopt);
  EXPECT_EQ(policy.Look(At(seconds(2)), 40, 40, 29), Alarm::kNone);
  EXPECT_EQ(policy.next_trim(), At(milliseconds(2'200)));
  // Once for all of them.
  EXPECT_EQ(policy.Look(At(milliseconds(2'100)), 40, 40, 0), Alarm::kNone);
  EXPECT_EQ(policy.next_trim(), At(milliseconds(2'200)));
  int num_trims = 0;
  for (; policy.next_trim(); ++num_trims) {
    policy.OnTrimmed(*policy.next_trim());
    EXPECT_EQ(policy.Look(At(seconds(3)), 40, 40, 0), Alarm::kNone);
  }
  EXPECT_EQ(num_trims, 6);
  // And for the next.
  EXPECT_EQ(policy.Look(At(seconds(40)), 40, 40, 40), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(seconds(41)), 40, 40, 0), Alarm::kNone);
  EXPECT_EQ(policy.next_trim(), At(milliseconds(41'200)));
}

// They were served for a while before they took it.
TEST(MemoryPolicy, WhatThoseThatAreServedBeginToTakeIsGrowthWithinTheirCredit) {
  MemoryPolicy policy(80);
  EXPECT_EQ(policy.Look(At(seconds(0)), 0, 0, 100), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(seconds(5)), 0, 0, 100), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(seconds(5)), 11, 11, 100),
            Alarm::kGrowthWithinCredit);
  EXPECT_EQ(policy.Look(At(seconds(5)), 110, 110, 100),
            Alarm::kGrowthWithinCredit);
  // That is no alert.
  EXPECT_FALSE(policy.IsOnAlert(At(seconds(5))));
  // Beyond an eighth of the limit it is not theirs.
  EXPECT_EQ(policy.Look(At(seconds(5)), 121, 121, 100), Alarm::kGrowth);
  // Nor is it where the account had too much.
  MemoryPolicy another(80);
  EXPECT_EQ(another.Look(At(seconds(0)), -50, 0, 100), Alarm::kNone);
  EXPECT_EQ(another.Look(At(seconds(1)), 60, 110, 100),
            Alarm::kGrowthWithinCredit);
  MemoryPolicy third(80);
  EXPECT_EQ(third.Look(At(seconds(0)), -50, 0, 100), Alarm::kNone);
  EXPECT_EQ(third.Look(At(seconds(1)), 61, 111, 100), Alarm::kGrowth);
}

// New ones may take it again, once it was given back.
TEST(MemoryPolicy, WhatWasGivenBackOfThemMayComeAgainWithOthers) {
  MemoryPolicy policy(80);
  EXPECT_EQ(policy.Look(At(seconds(0)), 40, 40, 40), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(1)), 5, 5, 0), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(2)), 45, 45, 40), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(3)), 55, 55, 40), Alarm::kNone);
  EXPECT_EQ(policy.Look(At(milliseconds(4)), 56, 56, 40), Alarm::kGrowth);
}

// It may be something else that is left then.
TEST(MemoryPolicy, OnceThereIsLittleItMayBeTrimmedAnew) {
  MemoryPolicy policy(90);
  int64_t ms = 0;
  const auto trim_all = [&] {
    int num_trims = 0;
    for (int i = 0; i < 6'000; ++i) {
      EXPECT_EQ(policy.Look(At(milliseconds(ms += 10)), 91, 91),
                i < 10 ? Alarm::kNone : Alarm::kLevel);
      if (!policy.next_trim() || *policy.next_trim() > At(milliseconds(ms))) {
        continue;
      }
      policy.OnTrimmed(At(milliseconds(ms)));
      ++num_trims;
    }
    return num_trims;
  };
  EXPECT_EQ(trim_all(), 6);
  EXPECT_EQ(policy.Look(At(milliseconds(ms += 10)), 90, 90), Alarm::kNone);
  EXPECT_EQ(policy.next_trim(), std::nullopt);
  EXPECT_EQ(trim_all(), 6);
}

TEST(ControlMemory, WhatIsAccountedForDoesNotCount) {
  int64_t accounted = 0;
  const ControlMemory memory(1 << 20, [&] { return accounted; });
  const int64_t before = memory.Unaccounted();
  accounted = int64_t{1} << 40;
  // Nobody knows under a sanitizer.
  if (before != 0 || memory.Unaccounted() != 0) {
    EXPECT_LT(memory.Unaccounted(), -(int64_t{1} << 39));
  }
}

}  // namespace
}  // namespace portreeve::server
