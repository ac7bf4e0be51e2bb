#include "client/retry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>

namespace portreeve::client {
namespace {

const absl::Time kStart = absl::UnixEpoch();

TEST(RetryTest, WaitsLongerEachTimeUpToTheMost) {
  Retry retry;
  retry.OnStart(kStart);
  absl::Duration expected = Retry::kFirstWait;
  for (int i = 0; i < 20; ++i) {
    ASSERT_EQ(retry.OnEnd(kStart, 0), expected);
    expected = std::min(2 * expected, Retry::kMostWait);
  }
  EXPECT_EQ(expected, Retry::kMostWait);
}

TEST(RetryTest, ChanceMakesAWaitShorterByUpToAHalf) {
  Retry retry;
  EXPECT_EQ(retry.OnEnd(kStart, 0.5), 0.75 * Retry::kFirstWait);
  const auto shortest = retry.OnEnd(kStart, 0.999999);
  EXPECT_GE(*shortest, Retry::kFirstWait);  // Half of twice the first.
}

TEST(RetryTest, ZeroIsNotAtAll) {
  Retry retry{absl::ZeroDuration()};
  retry.OnStart(kStart);
  EXPECT_EQ(retry.OnEnd(kStart + absl::Hours(1), 0), std::nullopt);
}

// Every sequence of: a stream starts (s), one ends (e), a little time passes
// (l), much does (m); against a model.
void ForEverySequence(const std::string& steps, size_t length) {
  const absl::Duration limit = absl::Seconds(1);
  Retry retry(limit);
  absl::Time now = kStart;
  std::optional<absl::Time> started;
  std::optional<absl::Time> broken;
  absl::Duration wait = Retry::kFirstWait;
  for (const char step : steps) {
    if (step == 's') {
      retry.OnStart(now);
      started = now;
      broken.reset();
    } else if (step == 'e') {
      if (started && now - *started > Retry::kMostWait) {
        wait = Retry::kFirstWait;
      }
      started.reset();
      if (!broken) broken = now;
      const auto next = retry.OnEnd(now, 0);
      if (now - *broken >= limit) {
        ASSERT_EQ(next, std::nullopt) << steps;
      } else {
        // The last try is at the limit.
        ASSERT_EQ(next, std::min(wait, *broken + limit - now)) << steps;
        wait = std::min(2 * wait, Retry::kMostWait);
      }
    } else {
      now += step == 'l' ? absl::Milliseconds(400) : absl::Seconds(11);
    }
  }
  if (steps.size() == length) return;
  for (const char step : {'s', 'e', 'l', 'm'}) {
    ForEverySequence(steps + step, length);
  }
}

TEST(RetryTest, OfEverySequence) { ForEverySequence("", 7); }

}  // namespace
}  // namespace portreeve::client
