// Loops that stop together, and go on.
#include "lib/lane/loop_group.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "lib/base/descriptor.h"
#include "lib/base/poller.h"

namespace portreeve {
namespace {

// The descriptor of it is always ready, so that its loop has one round after
// the other.
class Spinner final : private Poller::Watch {
 public:
  explicit Spinner(Loop& loop) : loop_(loop) {
    loop_
        .Run([this] {
          Poller& poller = Poller::Of(loop_.context());
          ASSERT_EQ(poller.Add(event_.get(), EPOLLIN, *this), 0);
        })
        .get();
  }
  ~Spinner() {
    loop_
        .Run([this] {
          Poller::Of(loop_.context()).RemoveNow(event_.get(), *this);
        })
        .get();
  }

  Loop& loop() { return loop_; }

  // These are the loop's.
  struct State {
    int64_t begun = 0;
    int64_t ended = 0;
    int told = 0;
  };
  State& state() { return state_; }

  // Waits until the loop has had another round.
  void AwaitRound() {
    const auto begun = [this] { return state_.begun; };
    const int64_t before = loop_.Run(begun).get();
    while (loop_.Run(begun).get() == before) {
    }
  }

 private:
  void OnReady(uint32_t, int) override {
    ++state_.begun;
    ++state_.ended;
  }

  Loop& loop_;
  const Descriptor event_{eventfd(1, EFD_CLOEXEC)};
  State state_;
};

class LoopGroupTest : public ::testing::Test {
 protected:
  static constexpr size_t kLoops = 3;

  LoopGroupTest() {
    home_.Run([this] { group_ = std::make_unique<LoopGroup>(home_, kLoops); })
        .get();
    for (size_t i = 0; i < kLoops; ++i) {
      spinners_.push_back(std::make_unique<Spinner>(LoopAt(i)));
    }
  }
  ~LoopGroupTest() override { spinners_.clear(); }

  Loop& LoopAt(size_t i) {
    return i == 0 ? home_ : *group_->others().at(i - 1);
  }

  static TimePoint In(Duration delay) {
    return After(std::chrono::steady_clock::now(), delay);
  }
  absl::StatusOr<FrozenLoops> Freeze() {
    return group_->Freeze(In(std::chrono::minutes(1)));
  }

  // That all loops turn, but for one.
  void ExpectTurning(size_t but = kLoops) {
    for (size_t i = 0; i < kLoops; ++i) {
      if (i != but) spinners_[i]->AwaitRound();
    }
  }

  Loop home_;
  std::unique_ptr<LoopGroup> group_;
  std::vector<std::unique_ptr<Spinner>> spinners_;
};

TEST_F(LoopGroupTest, FrozenLoopsStandStillAndThenGoOn) {
  for (int i = 1; i <= 30; ++i) {
    auto frozen = Freeze();
    ASSERT_TRUE(frozen.ok()) << frozen.status();
    std::vector<int64_t> before;
    for (const auto& spinner : spinners_) {
      Spinner::State& state = spinner->state();
      EXPECT_EQ(state.begun, state.ended);
      // What was written in the last freeze was there in between.
      EXPECT_EQ(state.told, i - 1);
      state.told = i;
      before.push_back(state.begun);
      before.push_back(Poller::Of(spinner->loop().context()).round());
    }
    std::vector<int64_t> after;
    for (const auto& spinner : spinners_) {
      after.push_back(spinner->state().begun);
      after.push_back(Poller::Of(spinner->loop().context()).round());
    }
    EXPECT_EQ(after, before);
    if (i % 2 == 0) {
      frozen->Thaw();
    } else {
      // The end of its life does the same.
      const FrozenLoops ends = *std::move(frozen);
    }
    for (const auto& spinner : spinners_) {
      EXPECT_EQ(
          spinner->loop().Run([&] { return spinner->state().told; }).get(), i);
    }
    ExpectTurning();
  }
}

TEST_F(LoopGroupTest, WhatIsPostedAndWhatComesDueWaits) {
  auto frozen = Freeze();
  ASSERT_TRUE(frozen.ok()) << frozen.status();
  std::vector<std::future<void>> calls;
  std::vector<std::unique_ptr<Timer>> timers;
  std::vector<std::promise<void>> rings(kLoops);
  for (size_t i = 0; i < kLoops; ++i) {
    calls.push_back(LoopAt(i).Run([] {}));
    // As if on the loop.
    timers.push_back(
        std::make_unique<Timer>(TimeSource::Of(LoopAt(i).context())));
    timers.back()->StartAfter(Duration::zero(),
                              [&rings, i] { rings[i].set_value(); });
  }
  constexpr auto kNow = std::chrono::seconds(0);
  for (size_t i = 0; i < kLoops; ++i) {
    calls.push_back(rings[i].get_future());
  }
  for (auto& call : calls) {
    EXPECT_EQ(call.wait_for(kNow), std::future_status::timeout);
  }
  frozen->Thaw();
  frozen->Thaw();
  for (auto& call : calls) call.get();
}

// Wherever the loop is that does not stop.
TEST_F(LoopGroupTest, ALoopInALongStepMakesItFailAndAllGoOn) {
  for (size_t stuck = 0; stuck < kLoops; ++stuck) {
    std::promise<void> begun, release;
    LoopAt(stuck).Post([&begun, go = release.get_future().share()] {
      begun.set_value();
      go.wait();
    });
    begun.get_future().get();
    // As long as it takes the others to stop.
    absl::Status error;
    const std::string name = "loop-" + std::to_string(stuck);
    for (Duration most = std::chrono::milliseconds(1);; most *= 2) {
      const auto frozen = group_->Freeze(In(most));
      ASSERT_FALSE(frozen.ok());
      error = frozen.status();
      EXPECT_EQ(error.code(), absl::StatusCode::kDeadlineExceeded);
      if (error.message() == name + " has not come to rest") break;
    }
    ExpectTurning(stuck);
    release.set_value();
    // Steps of those that failed are still in its queue, and pass by.
    ExpectTurning();
    auto frozen = Freeze();
    EXPECT_TRUE(frozen.ok()) << frozen.status();
  }
  ExpectTurning();
}

TEST_F(LoopGroupTest, AlsoWhereThereIsOneLoopOnly) {
  std::unique_ptr<LoopGroup> alone;
  home_.Run([&] { alone = std::make_unique<LoopGroup>(home_, 1); }).get();
  {
    auto frozen = alone->Freeze(In(std::chrono::minutes(1)));
    ASSERT_TRUE(frozen.ok()) << frozen.status();
    EXPECT_EQ(spinners_[0]->state().begun, spinners_[0]->state().ended);
    ++spinners_[0]->state().told;
  }
  ExpectTurning();
}

}  // namespace
}  // namespace portreeve
