// When ProgressTimer asks for a sign of life.
#include "server/calls/progress_timer.h"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <optional>

#include "lib/base/time_source.h"

namespace portreeve::server {
namespace {

using std::chrono::seconds;

class ProgressTimerTest : public ::testing::Test {
 protected:
  ProgressTimerTest() {
    timer_.emplace(time_, seconds(10), [this] {
      ++asked_;
      if (destroys_) timer_.reset();
    });
  }

  // Whether it has asked once, or not at all, `after` that.
  bool Asks(Duration after) {
    const int before = asked_;
    time_.Advance(after);
    EXPECT_LE(asked_, before + 1);
    return asked_ > before;
  }
  void Send() {
    timer_->OnSend();
    timer_->OnSent();
  }

  bool destroys_ = false;
  asio::io_context loop_;
  FakeTimeSource time_{loop_};
  int asked_ = 0;
  std::optional<ProgressTimer> timer_;
};

TEST_F(ProgressTimerTest, AMessagePutsItOff) {
  EXPECT_FALSE(Asks(seconds(6)));
  Send();
  EXPECT_FALSE(Asks(seconds(9)));
  EXPECT_TRUE(Asks(seconds(1)));
  Send();
  EXPECT_FALSE(Asks(seconds(9)));
  EXPECT_TRUE(Asks(seconds(1)));
}

TEST_F(ProgressTimerTest, WhereNothingWasSentItAsksAgainAfterAsLong) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(Asks(seconds(9)));
    EXPECT_TRUE(Asks(seconds(1)));
  }
}

TEST_F(ProgressTimerTest, WhileAMessageIsOnItsWayItDoesNotAsk) {
  timer_->OnSend();
  EXPECT_FALSE(Asks(seconds(60)));
  timer_->OnSent();
  EXPECT_FALSE(Asks(seconds(9)));
  EXPECT_TRUE(Asks(seconds(1)));
}

// As a watch that finds no memory for its answer does.
TEST_F(ProgressTimerTest, WhoIsAskedMayDestroyIt) {
  destroys_ = true;
  EXPECT_TRUE(Asks(seconds(10)));
  EXPECT_FALSE(Asks(seconds(60)));
}

}  // namespace
}  // namespace portreeve::server
