#include "server/watch/snapshot_queue.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>

#include "lib/base/loop.h"

namespace portreeve::server {
namespace {

class SnapshotQueueTest : public ::testing::Test {
 protected:
  // One whose snapshot takes so many steps.
  class Taker : public SnapshotQueue::Watcher {
   public:
    Taker(SnapshotQueueTest& test, char name) : test_(test), name_(name) {}
    bool TakeStep() override {
      test_.taken_ += name_;
      if (then) std::exchange(then, nullptr)();
      return --steps > 0;
    }
    int steps = 0;
    std::function<void()> then;  // In its next step.

   private:
    SnapshotQueueTest& test_;
    const char name_;
  };

  ~SnapshotQueueTest() override { loop_.Join(); }

  void Wait(Taker& taker, int steps) {
    taker.steps = steps;
    queue_.Wait(taker);
  }
  // Runs `begin` on the loop, and then what comes of it; gives the names of
  // those who took a step, in order.
  std::string Taken(const std::function<void()>& begin) {
    // Each of these comes after a step that was posted before, if there is one.
    constexpr int kMore = 20;
    loop_
        .Run([&] {
          taken_.clear();
          begin();
        })
        .get();
    for (int i = 0; i < kMore; ++i) loop_.Run([] {}).get();
    return loop_.Run([this] { return taken_; }).get();
  }

  Loop loop_;
  SnapshotQueue queue_{loop_};
  std::string taken_;
  Taker a_{*this, 'a'};
  Taker b_{*this, 'b'};
  Taker c_{*this, 'c'};
};

TEST_F(SnapshotQueueTest, TakesOneAfterTheOther) {
  for (int a = 1; a <= 3; ++a) {
    for (int b = 1; b <= 3; ++b) {
      EXPECT_EQ(Taken([&] {
                  Wait(a_, a);
                  Wait(b_, b);
                }),
                std::string(a, 'a') + std::string(b, 'b'));
    }
  }
}

TEST_F(SnapshotQueueTest, EachStepIsAStepOfTheLoop) {
  std::function<void()> other = [&] {
    taken_ += '.';
    if (taken_.size() < 6) loop_.Post(other);
  };
  EXPECT_EQ(Taken([&] {
              Wait(a_, 2);
              Wait(b_, 1);
              loop_.Post(other);
            }),
            "a.a.b.");
}

TEST_F(SnapshotQueueTest, WhoIsForgottenTakesNoStep) {
  // `who` is forgotten in the first step of `in`, which has another one.
  const auto taken = [this](Taker& who, Taker& in) {
    return Taken([&] {
      for (Taker* taker : {&a_, &b_, &c_}) Wait(*taker, 2);
      in.then = [&] { queue_.Forget(who); };
    });
  };
  EXPECT_EQ(taken(a_, a_), "abbcc");
  EXPECT_EQ(taken(b_, b_), "aabcc");
  EXPECT_EQ(taken(c_, c_), "aabbc");
  EXPECT_EQ(taken(b_, a_), "aacc");
  EXPECT_EQ(taken(c_, a_), "aabb");
  EXPECT_EQ(taken(c_, b_), "aabb");
  EXPECT_EQ(taken(a_, b_), "aabbcc");  // It does not wait any more.
}

TEST_F(SnapshotQueueTest, WhoIsForgottenBeforeItsFirstStepTakesNone) {
  EXPECT_EQ(Taken([&] {
              Wait(a_, 2);
              Wait(b_, 2);
              queue_.Forget(a_);
            }),
            "bb");
  EXPECT_EQ(Taken([&] {
              Wait(a_, 2);
              queue_.Forget(a_);
            }),
            "");
}

TEST_F(SnapshotQueueTest, WhoComesLaterIsTheLast) {
  EXPECT_EQ(Taken([&] {
              Wait(a_, 2);
              a_.then = [&] { Wait(b_, 2); };
            }),
            "aabb");
}

}  // namespace
}  // namespace portreeve::server
