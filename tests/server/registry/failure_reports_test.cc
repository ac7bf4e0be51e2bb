// Which failures are told, over every short sequence of them.
#include "server/registry/failure_reports.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>

namespace portreeve::server {
namespace {

constexpr int kLength = 7;
const char* const kReasons[] = {"CONNECT_REFUSED", "DNS_FAILURE"};

// A step: the time goes on, or a connection fails for a reason.
enum Step { kShortTime, kLongTime, kFirstReason, kSecondReason, kNumSteps };

// What the rule says, written down from scratch: a reason is told if it was not
// within the last minute, with all failures since.
class Expected {
 public:
  int64_t OnFailure(const std::string& reason, TimePoint now) {
    One& one = ones_[reason];
    ++one.untold;
    if (one.told && now < *one.told + std::chrono::minutes(1)) return 0;
    one.told = now;
    const int64_t untold = one.untold;
    one.untold = 0;
    return untold;
  }

 private:
  struct One {
    int64_t untold = 0;
    std::optional<TimePoint> told;
  };
  std::map<std::string, One> ones_;
};

TEST(FailureReportsTest, EverySequenceIsToldByTheRule) {
  int num_sequences = 1;
  for (int i = 0; i < kLength; ++i) num_sequences *= kNumSteps;
  for (int sequence = 0; sequence < num_sequences; ++sequence) {
    FailureReports reports;
    Expected expected;
    TimePoint now;
    std::map<std::string, int64_t> failed, told;
    int rest = sequence;
    for (int i = 0; i < kLength; ++i, rest /= kNumSteps) {
      const int step = rest % kNumSteps;
      if (step == kShortTime) now += std::chrono::seconds(30);
      if (step == kLongTime) now += std::chrono::seconds(59);
      if (step < kFirstReason) continue;
      const char* const reason = kReasons[step - kFirstReason];
      const int64_t count = reports.OnFailure(reason, now);
      ASSERT_EQ(count, expected.OnFailure(reason, now))
          << sequence << " at " << i;
      ++failed[reason];
      told[reason] += count;
      // A new reason is told at once, and none is counted twice.
      ASSERT_GT(told[reason], 0) << sequence << " at " << i;
      ASSERT_LE(told[reason], failed[reason]) << sequence << " at " << i;
    }
  }
}

TEST(FailureReportsTest, TheFirstIsToldAtOnceAndThenOnceAMinuteWithTheNumber) {
  FailureReports reports;
  const TimePoint start;
  EXPECT_EQ(reports.OnFailure("CONNECT_REFUSED", start), 1);
  for (int i = 0; i < 59; ++i) {
    const TimePoint now = start + std::chrono::seconds(i);
    EXPECT_EQ(reports.OnFailure("CONNECT_REFUSED", now), 0);
  }
  EXPECT_EQ(reports.OnFailure("NO_ROUTE", start + std::chrono::seconds(59)), 1);
  EXPECT_EQ(
      reports.OnFailure("CONNECT_REFUSED", start + std::chrono::seconds(60)),
      60);
}

}  // namespace
}  // namespace portreeve::server
