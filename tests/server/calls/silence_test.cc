#include "server/calls/silence.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace portreeve::server {
namespace {

constexpr std::chrono::seconds kLimit{3};
constexpr TimePoint kStart{std::chrono::hours(1)};

// Every sequence of: a message goes (s), one has gone (g), a second passes (t).
void ForEverySequence(const std::string& steps, size_t length) {
  Silence silence(kLimit, kStart);
  TimePoint now = kStart;
  TimePoint since = kStart;
  int going = 0;
  for (const char step : steps) {
    if (step == 's') {
      silence.OnSend();
      ++going;
    } else if (step == 'g') {
      silence.OnSent(now);
      --going;
      since = now;
    } else {
      now += std::chrono::seconds(1);
    }
    ASSERT_EQ(silence.due(), going > 0 ? TimePoint::max() : since + kLimit)
        << steps;
  }
  if (steps.size() == length) return;
  ForEverySequence(steps + 's', length);
  ForEverySequence(steps + 't', length);
  if (going > 0) ForEverySequence(steps + 'g', length);
}

TEST(SilenceTest, LastsSinceTheLastMessageHasGone) { ForEverySequence("", 8); }

}  // namespace
}  // namespace portreeve::server
