#include "server/daemon/loop_health.h"

#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/loop.h"
#include "tests/testing/loop_fixture.h"

namespace portreeve::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// What a probe is to say, by keeping all that has happened.
class ProbeModel {
 public:
  // What Ask() has to give: "send", "wait", or "stuck".
  std::string Ask(TimePoint now) {
    if (!since_) {
      since_ = now;
      return "send";
    }
    return now - *since_ >= seconds(1) ? "stuck" : "wait";
  }
  void OnBack() { since_.reset(); }
  bool under_way() const { return since_.has_value(); }
  TimePoint since() const { return *since_; }

 private:
  std::optional<TimePoint> since_;
};

// Over every sequence of asking, of a probe that comes back, and of half a
// second.
TEST(LoopProbeTest, SaysHowLongTheOldestProbeIsAway) {
  constexpr int kLength = 8;
  constexpr int kSequences = 6561;  // 3^8
  for (int sequence = 0; sequence < kSequences; ++sequence) {
    SCOPED_TRACE(sequence);
    LoopProbe probe;
    ProbeModel model;
    TimePoint now{seconds(100)};
    for (int i = 0, rest = sequence; i < kLength; ++i, rest /= 3) {
      if (rest % 3 == 0) {
        const std::string expected = model.Ask(now);
        const LoopProbe::Asked asked = probe.Ask(now);
        ASSERT_EQ(asked.send, expected == "send");
        ASSERT_EQ(asked.stuck_for.has_value(), expected == "stuck");
        ASSERT_EQ(asked.latest, model.since() + seconds(1));
        if (asked.stuck_for) {
          ASSERT_EQ(*asked.stuck_for, now - model.since());
        }
      } else if (rest % 3 == 1) {
        if (!model.under_way()) continue;
        probe.OnBack();
        model.OnBack();
      } else {
        now += milliseconds(500);
      }
    }
  }
}

class LoopHealthTest : public ::portreeve::testing::LoopFixture {
 protected:
  void TearDown() override { work_.reset(); }

  // The daemon's loop takes nothing until Free().
  void Hold() {
    std::promise<void> held;
    std::future<void> is_held = held.get_future();
    daemon_loop_.Post([this, &held] {
      held.set_value();
      free_.get_future().wait();
      free_ = std::promise<void>();
      freed_.set_value();
    });
    is_held.wait();
  }
  void Free() {
    free_.set_value();
    freed_.get_future().wait();
    freed_ = std::promise<void>();
  }

  void Ask() {
    if (health_ == nullptr) {
      health_ = std::make_shared<LoopHealth>(daemon_loop_, executor());
    }
    health_->Ask([this](HttpAnswer answer) {
      answers_.push_back(std::to_string(answer.status) + " " + answer.body);
    });
  }
  void Advance(Duration by) {
    Settle();
    time().Advance(by);
    Settle();
  }

  // What comes from the other loop is waited for.
  asio::executor_work_guard<asio::io_context::executor_type> work_{
      loop().get_executor()};
  Loop daemon_loop_;
  std::promise<void> free_;
  std::promise<void> freed_;
  std::shared_ptr<LoopHealth> health_;
  std::vector<std::string> answers_;
};

TEST_F(LoopHealthTest, ALoopThatTurnsIsOk) {
  for (size_t i = 1; i <= 3; ++i) {
    Ask();
    RunUntil([&] { return answers_.size() == i; });
    EXPECT_EQ(answers_.back(), "200 ok\n");
    // Each time it is asked anew.
    Advance(seconds(10));
  }
  health_.reset();
}

TEST_F(LoopHealthTest, ALoopThatHangsIsStuckAfterASecond) {
  Hold();
  Ask();
  Advance(milliseconds(999));
  Ask();
  Settle();
  EXPECT_EQ(answers_.size(), 0u);
  Advance(milliseconds(1));
  EXPECT_EQ(answers_, (std::vector<std::string>{"503 loop stuck for 1.0 s\n",
                                                "503 loop stuck for 1.0 s\n"}));
  Advance(milliseconds(2200));
  Ask();
  ASSERT_EQ(answers_.size(), 3u);
  EXPECT_EQ(answers_.back(), "503 loop stuck for 3.2 s\n");
  Free();
  // The probe comes back, and the next one is taken.
  RunUntil([&] {
    answers_.clear();
    Ask();
    return answers_.empty();
  });
  RunUntil([&] { return !answers_.empty(); });
  EXPECT_EQ(answers_, std::vector<std::string>{"200 ok\n"});
  health_.reset();
}

TEST_F(LoopHealthTest, AProbeThatComesBackTooLateIsNobodys) {
  Hold();
  Ask();
  Settle();
  health_.reset();
  Free();
  daemon_loop_.Run([] {}).get();
  Settle();
  EXPECT_TRUE(answers_.empty());
}

}  // namespace
}  // namespace portreeve::server
