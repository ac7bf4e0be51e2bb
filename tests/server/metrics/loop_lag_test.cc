// How long a function that is posted to a loop waits.
#include "server/metrics/loop_lag.h"

#include <gtest/gtest.h>

#include <chrono>

namespace portreeve::server {
namespace {

using std::chrono::seconds;

class LoopLagTest : public ::testing::Test {
 protected:
  void Pass(Duration time) { now_ += time; }

  asio::io_context loop_{1};
  TimePoint now_{seconds(100)};
  LoopLag lag_{loop_, [this] { return now_; }};
};

TEST_F(LoopLagTest, IsNothingBeforeTheFirst) {
  EXPECT_EQ(lag_.Read(), Duration::zero());
}

TEST_F(LoopLagTest, IsTheAgeOfWhatWaits) {
  lag_.Post();
  Pass(seconds(3));
  EXPECT_EQ(lag_.Read(), seconds(3));
  // Another one would make it look young.
  lag_.Post();
  Pass(seconds(1));
  EXPECT_EQ(lag_.Read(), seconds(4));
  EXPECT_EQ(loop_.poll(), 1u);
}

TEST_F(LoopLagTest, IsThenWhatTheLastOneHasWaited) {
  lag_.Post();
  Pass(seconds(3));
  loop_.poll();
  Pass(seconds(60));
  EXPECT_EQ(lag_.Read(), seconds(3));
  loop_.restart();
  lag_.Post();
  EXPECT_EQ(lag_.Read(), Duration::zero());
  Pass(seconds(2));
  loop_.poll();
  EXPECT_EQ(lag_.Read(), seconds(2));
}

}  // namespace
}  // namespace portreeve::server
