#include "lib/base/delay_queue.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/testing/loop_fixture.h"

namespace portreeve::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class DelayQueueTest : public LoopFixture {
 protected:
  class Named final : public DelayQueue::Entry {
   public:
    Named(char name, std::string& calls) : name_(name), calls_(calls) {}
    void OnDelayOver() override { calls_ += name_; }

   private:
    const char name_;
    std::string& calls_;
  };

  std::string calls_;
  DelayQueue queue_{time(), seconds(1)};
  Named a_{'a', calls_}, b_{'b', calls_}, c_{'c', calls_};
};

TEST_F(DelayQueueTest, CallsEachADelayAfterItJoined) {
  queue_.Join(a_);
  time().Advance(milliseconds(400));
  queue_.Join(b_);
  time().Advance(milliseconds(599));
  EXPECT_EQ(calls_, "");
  time().Advance(milliseconds(1));
  EXPECT_EQ(calls_, "a");
  time().Advance(milliseconds(399));
  EXPECT_EQ(calls_, "a");
  time().Advance(milliseconds(1));
  EXPECT_EQ(calls_, "ab");
}

TEST_F(DelayQueueTest, DoesNotCallWhatHasLeft) {
  queue_.Join(a_);
  queue_.Join(b_);
  queue_.Join(c_);
  queue_.Leave(a_);
  queue_.Leave(c_);
  queue_.Leave(c_);
  time().Advance(seconds(2));
  EXPECT_EQ(calls_, "b");
}

TEST_F(DelayQueueTest, WhatOneThrowsIsNoneOfTheOthersBusiness) {
  class Thrower final : public DelayQueue::Entry {
    void OnDelayOver() override { throw std::runtime_error("thrown"); }
  };
  Thrower thrower;
  queue_.Join(a_);
  queue_.Join(thrower);
  queue_.Join(b_);
  time().Advance(milliseconds(400));
  queue_.Join(c_);
  time().Advance(milliseconds(600));
  EXPECT_EQ(calls_, "ab");
  EXPECT_EQ(TakeLog(),
            std::vector<std::string>{"error: unhandled error: thrown"});
  time().Advance(milliseconds(400));
  EXPECT_EQ(calls_, "abc");
}

TEST_F(DelayQueueTest, EmptyItKeepsNoTimer) {
  queue_.Join(a_);
  EXPECT_EQ(time().earliest(), time().Now() + seconds(1));
  queue_.Leave(a_);
  EXPECT_EQ(time().earliest(), TimePoint::max());
}

TEST_F(DelayQueueTest, TheNextOnesTimeCountsWhenTheFirstHasLeft) {
  queue_.Join(a_);
  time().Advance(milliseconds(500));
  queue_.Join(b_);
  queue_.Leave(a_);
  time().Advance(milliseconds(999));
  EXPECT_EQ(calls_, "");
  time().Advance(milliseconds(1));
  EXPECT_EQ(calls_, "b");
}

// The timer is set for whoever is due next, or goes off in vain at most.
TEST_F(DelayQueueTest, TheTimerMovesWithTheFirstIfThatIsWanted) {
  const auto expect_next = [this](DelayQueue& queue, milliseconds next) {
    queue.Join(a_);
    time().Advance(milliseconds(500));
    queue.Join(b_);
    queue.Leave(a_);
    EXPECT_EQ(time().earliest(), time().Now() + next);
    queue.Leave(b_);
    EXPECT_EQ(time().earliest(), TimePoint::max());
  };
  expect_next(queue_, milliseconds(500));
  DelayQueue moving(time(), seconds(1), DelayQueue::OnLeave::kMoveTimer);
  expect_next(moving, seconds(1));
}

TEST_F(DelayQueueTest, WhoJoinsAgainMakesNobodyWait) {
  struct Again final : DelayQueue::Entry {
    void OnDelayOver() override { queue->Join(*this); }
    DelayQueue* queue = nullptr;
  } again;
  again.queue = &queue_;
  queue_.Join(again);
  time().Advance(milliseconds(10));
  queue_.Join(a_);
  time().Advance(seconds(1));
  EXPECT_EQ(calls_, "a");
  queue_.Leave(again);
}

TEST_F(DelayQueueTest, ManyAreNotCalledInOneStep) {
  std::vector<std::unique_ptr<Named>> many;
  for (int i = 0; i < 2 * DelayQueue::kPerStep + 1; ++i) {
    many.push_back(std::make_unique<Named>('m', calls_));
    queue_.Join(*many.back());
  }
  time().Advance(seconds(1));
  EXPECT_EQ(calls_.size(), size_t{DelayQueue::kPerStep});
  // Who joins meanwhile has its own time.
  queue_.Join(a_);
  time().Advance(milliseconds(1));
  EXPECT_EQ(calls_.size(), size_t{2 * DelayQueue::kPerStep});
  time().Advance(milliseconds(1));
  EXPECT_EQ(calls_, std::string(many.size(), 'm'));
  time().Advance(milliseconds(997));
  EXPECT_EQ(calls_.back(), 'm');
  time().Advance(milliseconds(1));
  EXPECT_EQ(calls_.back(), 'a');
}

TEST_F(DelayQueueTest, WhatIsCalledMayJoinAgainAndTakeOthersAway) {
  struct Again : DelayQueue::Entry {
    void OnDelayOver() override {
      ++calls;
      queue->Leave(*other);
      if (calls < 3) queue->Join(*this);
    }
    DelayQueue* queue = nullptr;
    Entry* other = nullptr;
    int calls = 0;
  } again;
  again.queue = &queue_;
  again.other = &a_;
  queue_.Join(again);
  queue_.Join(a_);
  for (int i = 1; i <= 5; ++i) {
    time().Advance(seconds(1));
    EXPECT_EQ(again.calls, std::min(i, 3));
  }
  EXPECT_EQ(calls_, "");
}

}  // namespace
}  // namespace portreeve::testing
