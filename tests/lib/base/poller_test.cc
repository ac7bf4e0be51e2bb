#include "lib/base/poller.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/descriptor.h"
#include "tests/testing/loop_fixture.h"

namespace portreeve::testing {
namespace {

class PollerTest : public LoopFixture {
 protected:
  struct Told {
    uint32_t events;
    int tag;
  };
  class Recorder final : public Poller::Watch {
   public:
    void OnReady(uint32_t events, int tag) override {
      told.push_back({events, tag});
      if (then) then();
    }
    std::vector<Told> told;
    std::function<void()> then;
  };

  static std::pair<Descriptor, Descriptor> Pair() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                         ends),
              0);
    return {Descriptor(ends[0]), Descriptor(ends[1])};
  }

  Poller& poller() { return Poller::Of(loop()); }
};

TEST_F(PollerTest, TellsOfADescriptorForAsLongAsItIsRegistered) {
  auto [mine, theirs] = Pair();
  Recorder watch;
  ASSERT_EQ(poller().Add(mine.get(), EPOLLIN | EPOLLET, watch, 1), 0);
  Settle();
  EXPECT_TRUE(watch.told.empty());
  for (size_t i = 1; i <= 3; ++i) {
    ASSERT_EQ(write(theirs.get(), "x", 1), 1);
    RunUntil([&] { return watch.told.size() == i; });
    EXPECT_EQ(watch.told.back().events, static_cast<uint32_t>(EPOLLIN));
    EXPECT_EQ(watch.told.back().tag, 1);
  }
  Settle();
  EXPECT_EQ(watch.told.size(), 3u);
  poller().Remove(watch, 1);
}

TEST_F(PollerTest, AfterARoundAllThatItFoundIsTold) {
  auto [mine, theirs] = Pair();
  Recorder watch;
  ASSERT_EQ(write(theirs.get(), "x", 1), 1);
  ASSERT_EQ(poller().Add(mine.get(), EPOLLIN | EPOLLET, watch, 1), 0);
  poller().CallAfterRound(watch);
  EXPECT_TRUE(watch.told.empty());
  RunUntil([&] { return watch.told.size() == 2; });
  EXPECT_EQ(watch.told[0].events, static_cast<uint32_t>(EPOLLIN));
  EXPECT_EQ(watch.told[0].tag, 1);
  EXPECT_EQ(watch.told[1].events, 0u);
  EXPECT_EQ(watch.told[1].tag, 0);
  Settle();
  EXPECT_EQ(watch.told.size(), 2u);
  poller().Remove(watch, 1);
}

TEST_F(PollerTest, AfterARoundComesWithoutAnyEvent) {
  auto [mine, theirs] = Pair();
  Recorder watch;
  ASSERT_EQ(poller().Add(mine.get(), EPOLLIN | EPOLLET, watch), 0);
  for (size_t i = 1; i <= 20; ++i) {
    poller().CallAfterRound(watch, 1);
    RunUntil([&] { return watch.told.size() == i; });
    EXPECT_EQ(watch.told.back().events, 0u);
    EXPECT_EQ(watch.told.back().tag, 1);
  }
  poller().Remove(watch);
}

// As what accepts, and what it has accepted: known of in the round after.
TEST_F(PollerTest, AskedForInARoundItIsAfterTheNextOne) {
  const auto listening = Pair();
  const auto connected = Pair();
  const int mine = listening.first.get();
  const int second = connected.first.get();
  const int other = connected.second.get();
  Recorder accepted;
  Recorder watch;
  watch.then = [&] {
    char byte;
    if (read(mine, &byte, 1) != 1) return;
    ASSERT_EQ(write(other, "y", 1), 1);
    ASSERT_EQ(poller().Add(second, EPOLLIN | EPOLLET, accepted), 0);
    poller().CallAfterRound(accepted);
    EXPECT_TRUE(accepted.told.empty());
  };
  ASSERT_EQ(poller().Add(mine, EPOLLIN, watch), 0);
  ASSERT_EQ(write(listening.second.get(), "x", 1), 1);
  RunUntil([&] { return accepted.told.size() == 2; });
  EXPECT_EQ(accepted.told[0].events, static_cast<uint32_t>(EPOLLIN));
  EXPECT_EQ(accepted.told[1].events, 0u);
  poller().Remove(watch);
  poller().Remove(accepted);
}

// In a step that asks again and again, also beyond its last round.
TEST_F(PollerTest, AfterARoundForAsLongAsItIsAskedFor) {
  auto [mine, theirs] = Pair();
  Recorder watch;
  watch.then = [&] {
    if (watch.told.size() < 100) poller().CallAfterRound(watch);
  };
  ASSERT_EQ(poller().Add(mine.get(), EPOLLIN | EPOLLET, watch), 0);
  poller().CallAfterRound(watch);
  RunUntil([&] { return watch.told.size() == 100; });
  Settle();
  EXPECT_EQ(watch.told.size(), 100u);
  poller().Remove(watch);
}

TEST_F(PollerTest, WhatIsRemovedIsNotCalledAfterTheRound) {
  auto [mine, theirs] = Pair();
  auto [second, other] = Pair();
  Recorder first;
  Recorder removed;
  ASSERT_EQ(poller().Add(mine.get(), EPOLLIN | EPOLLET, first), 0);
  ASSERT_EQ(poller().Add(second.get(), EPOLLIN | EPOLLET, removed), 0);
  first.then = [&] { poller().Remove(removed); };
  poller().CallAfterRound(first);
  poller().CallAfterRound(removed);
  RunUntil([&] { return first.told.size() == 1; });
  Settle();
  EXPECT_TRUE(removed.told.empty());
  poller().Remove(first);
}

TEST_F(PollerTest, AskedForByOneThatIsCalledAgainItIsAfterTheNextRound) {
  auto [mine, theirs] = Pair();
  Recorder watch;
  watch.then = [&] {
    if (watch.told.size() == 1) poller().CallAfterRound(watch, 1);
  };
  ASSERT_EQ(poller().Add(mine.get(), EPOLLIN | EPOLLET, watch), 0);
  Settle();
  poller().CallAgain(watch);
  RunUntil([&] { return watch.told.size() == 2; });
  EXPECT_EQ(watch.told[1].events, 0u);
  EXPECT_EQ(watch.told[1].tag, 1);
  poller().Remove(watch);
}

// Wherever the last one is removed.
TEST_F(PollerTest, TheLoopRunsDry) {
  using Ask = void (Poller::*)(Poller::Watch&, int);
  for (const Ask ask : {&Poller::CallAgain, &Poller::CallAfterRound}) {
    auto [mine, theirs] = Pair();
    Recorder watch;
    watch.then = [&] { poller().Remove(watch); };
    ASSERT_EQ(poller().Add(mine.get(), EPOLLIN | EPOLLET, watch), 0);
    Settle();
    (poller().*ask)(watch, 0);
    RunUntil([&] { return watch.told.size() == 1; });
    loop().restart();
    loop().poll();
    EXPECT_TRUE(loop().stopped());
  }
}

TEST_F(PollerTest, LevelTriggeredItTellsInEveryRound) {
  auto [mine, theirs] = Pair();
  Recorder watch;
  std::vector<int64_t> rounds;
  watch.then = [&] { rounds.push_back(poller().round()); };
  ASSERT_EQ(poller().Add(mine.get(), EPOLLIN, watch), 0);
  ASSERT_EQ(write(theirs.get(), "x", 1), 1);
  RunUntil([&] { return rounds.size() >= 3; });
  EXPECT_EQ(rounds[1], rounds[0] + 1);
  EXPECT_EQ(rounds[2], rounds[1] + 1);
  EXPECT_EQ(poller().Change(mine.get(), 0, watch), 0);
  const size_t before = rounds.size();
  Settle();
  EXPECT_EQ(rounds.size(), before);
  poller().Remove(watch);
}

TEST_F(PollerTest, AStepEndsWhereWhatWasPostedIsDue) {
  auto [mine, theirs] = Pair();
  Recorder watch;
  std::string order;
  watch.then = [&, fd = mine.get()] {
    order += 'r';
    if (order.size() > 4) return (void)poller().Change(fd, 0, watch);
    asio::post(loop(), [&] { order += 'p'; });
    poller().EndStep();
  };
  ASSERT_EQ(poller().Add(mine.get(), EPOLLIN, watch), 0);
  ASSERT_EQ(write(theirs.get(), "x", 1), 1);
  RunUntil([&] { return order.size() >= 5; });
  EXPECT_EQ(order, "rprpr");
  poller().Remove(watch);
}

// Both are ready in one round, and the first one told of closes the other.
TEST_F(PollerTest, WhatIsRemovedMayBeToldOfOnceMoreInThisRoundOnly) {
  auto [a, a_peer] = Pair();
  auto [b, b_peer] = Pair();
  auto recorder = std::make_shared<Recorder>();
  const std::weak_ptr<Recorder> weak = recorder;
  Recorder closer;
  closer.then = [&, &fd = b] {
    if (recorder == nullptr) return;
    poller().Remove(*recorder);
    fd = Descriptor();
    poller().KeepForThisStep(std::exchange(recorder, nullptr));
    EXPECT_FALSE(weak.expired());
  };
  ASSERT_EQ(poller().Add(a.get(), EPOLLIN | EPOLLET, closer), 0);
  ASSERT_EQ(poller().Add(b.get(), EPOLLIN | EPOLLET, *recorder), 0);
  ASSERT_EQ(write(a_peer.get(), "x", 1), 1);
  ASSERT_EQ(write(b_peer.get(), "x", 1), 1);
  RunUntil([&] { return !closer.told.empty(); });
  Settle();
  EXPECT_TRUE(weak.expired());
  poller().Remove(closer);
}

TEST_F(PollerTest, CallsAgainInALaterStepUnlessRemoved) {
  auto [a, a_peer] = Pair();
  auto [b, b_peer] = Pair();
  Recorder stays, goes;
  ASSERT_EQ(poller().Add(a.get(), EPOLLIN | EPOLLET, stays), 0);
  ASSERT_EQ(poller().Add(b.get(), EPOLLIN | EPOLLET, goes), 0);
  poller().CallAgain(stays, 1);
  poller().CallAgain(goes);
  EXPECT_TRUE(stays.told.empty());
  poller().Remove(goes);
  Settle();
  ASSERT_EQ(stays.told.size(), 1u);
  EXPECT_EQ(stays.told[0].events, 0u);
  EXPECT_EQ(stays.told[0].tag, 1);
  EXPECT_TRUE(goes.told.empty());
  poller().Remove(stays);
}

TEST_F(PollerTest, OneThatAlwaysAsksAgainHoldsUpNobody) {
  auto [a, a_peer] = Pair();
  Recorder greedy;
  greedy.then = [&] { poller().CallAgain(greedy); };
  ASSERT_EQ(poller().Add(a.get(), EPOLLIN | EPOLLET, greedy), 0);
  poller().CallAgain(greedy);
  bool posted = false;
  asio::post(loop(), [&] { posted = true; });
  RunUntil([&] { return posted; });
  EXPECT_LE(greedy.told.size(), 2u);
  poller().Remove(greedy);
  Settle();
}

// As a forward connection in bulk, which is told of more bytes while it has to
// go on with those before, and asks again each time.
TEST_F(PollerTest, WhoeverAsksSeveralTimesIsCalledOnce) {
  auto [mine, theirs] = Pair();
  Recorder watch;
  watch.then = [&] { poller().CallAgain(watch, watch.told.back().tag); };
  ASSERT_EQ(poller().Add(mine.get(), EPOLLIN | EPOLLET, watch), 0);
  for (int i = 0; i < 100; ++i) {
    poller().CallAgain(watch);
    poller().CallAgain(watch, 1);
  }
  bool posted = false;
  asio::post(loop(), [&] { posted = true; });
  RunUntil([&] { return posted; });
  EXPECT_LE(watch.told.size(), 4u);
  // Each tag is called, in the order in which they were asked for.
  ASSERT_GE(watch.told.size(), 2u);
  EXPECT_EQ(watch.told[0].tag, 0);
  EXPECT_EQ(watch.told[1].tag, 1);
  // Whoever asks while it is called is called in the next step.
  RunUntil([&] { return watch.told.size() >= 8; });
  poller().Remove(watch);
  Settle();
}

// What was taken back is not taken for what is still to come.
TEST_F(PollerTest, WhoeverIsRemovedAndAddedIsCalledAgain) {
  auto [mine, theirs] = Pair();
  Recorder watch;
  ASSERT_EQ(poller().Add(mine.get(), EPOLLIN | EPOLLET, watch), 0);
  poller().CallAgain(watch);
  poller().CallAgain(watch, 1);
  poller().RemoveNow(mine.get(), watch);
  ASSERT_EQ(poller().Add(mine.get(), EPOLLIN | EPOLLET, watch), 0);
  poller().CallAgain(watch);
  poller().CallAgain(watch, 1);
  Settle();
  EXPECT_EQ(watch.told.size(), 2u);
  poller().Remove(watch);
}

TEST_F(PollerTest, WhatCannotBeWatchedIsAnError) {
  const Descriptor folder(open("/", O_RDONLY | O_CLOEXEC));
  Recorder watch;
  EXPECT_EQ(poller().Add(folder.get(), EPOLLIN, watch), EPERM);
}

// As where a child of fork(2) holds it: the registration outlives the close.
TEST_F(PollerTest, WhatIsToldOfACopyAfterTheCloseIsThrownAway) {
  auto [mine, theirs] = Pair();
  const Descriptor copy(dup(mine.get()));
  auto gone = std::make_unique<Recorder>();
  ASSERT_EQ(poller().Add(mine.get(), EPOLLIN | EPOLLET, *gone, 1), 0);
  Settle();
  poller().Remove(*gone, 1);
  mine = Descriptor();
  gone.reset();
  // Another one in the meantime, with the place of the first.
  auto [next, other] = Pair();
  Recorder watch;
  ASSERT_EQ(poller().Add(next.get(), EPOLLIN | EPOLLET, watch), 0);
  ASSERT_EQ(write(theirs.get(), "x", 1), 1);
  Settle();
  EXPECT_TRUE(watch.told.empty());
  ASSERT_EQ(write(other.get(), "y", 1), 1);
  RunUntil([&] { return watch.told.size() == 1; });
  poller().Remove(watch);
}

TEST_F(PollerTest, ACopyOfWhatIsRemovedNowKeepsNobodyBusy) {
  auto [mine, theirs] = Pair();
  const Descriptor copy(dup(mine.get()));
  Recorder watch;
  ASSERT_EQ(poller().Add(mine.get(), EPOLLIN, watch), 0);
  auto [next, other] = Pair();
  Recorder second;
  ASSERT_EQ(poller().Add(next.get(), EPOLLIN | EPOLLET, second), 0);
  poller().RemoveNow(mine.get(), watch);
  mine = Descriptor();
  ASSERT_EQ(write(theirs.get(), "x", 1), 1);
  Settle();
  const int64_t rounds = poller().round();
  for (int i = 0; i < 10; ++i) Settle();
  EXPECT_EQ(poller().round(), rounds);
  poller().Remove(second);
}

TEST_F(PollerTest, AnotherWatchTakesOver) {
  auto [mine, theirs] = Pair();
  Recorder first;
  Recorder second;
  ASSERT_EQ(poller().Add(mine.get(), EPOLLIN | EPOLLET, first, 1), 0);
  ASSERT_EQ(write(theirs.get(), "x", 1), 1);
  RunUntil([&] { return first.told.size() == 1; });
  ASSERT_EQ(poller().Move(mine.get(), EPOLLIN | EPOLLET, first, 1, second), 0);
  RunUntil([&] { return second.told.size() == 1; });
  EXPECT_EQ(second.told[0].tag, 0);
  EXPECT_EQ(first.told.size(), 1u);
  poller().Remove(second);
}

// The descriptor of another kernel object by then.
TEST_F(PollerTest, ADescriptorThatIsNotRegisteredCannotBeChanged) {
  auto [mine, theirs] = Pair();
  Recorder watch;
  Recorder other;
  ASSERT_EQ(poller().Add(mine.get(), EPOLLIN | EPOLLET, watch), 0);
  EXPECT_EQ(poller().Change(theirs.get(), EPOLLIN, watch), ENOENT);
  EXPECT_EQ(poller().Move(theirs.get(), EPOLLIN, watch, 0, other), ENOENT);
  ASSERT_EQ(write(theirs.get(), "x", 1), 1);
  RunUntil([&] { return watch.told.size() == 1; });
  poller().Remove(watch);
}

TEST_F(PollerTest, WhileItIsHeldNobodyIsCalledAndAfterwardsEverybodyIs) {
  auto [mine, theirs] = Pair();
  auto [late, other] = Pair();
  Recorder before, meanwhile, again, after_round;
  ASSERT_EQ(poller().Add(mine.get(), EPOLLIN | EPOLLET, before), 0);
  Settle();
  poller().Hold();
  ASSERT_EQ(write(theirs.get(), "x", 1), 1);
  ASSERT_EQ(write(other.get(), "x", 1), 1);
  ASSERT_EQ(poller().Add(late.get(), EPOLLIN | EPOLLET, meanwhile), 0);
  poller().CallAgain(again);
  poller().CallAfterRound(after_round);
  bool posted = false;
  asio::post(loop(), [&] { posted = true; });
  const int64_t round = poller().round();
  Settle();
  EXPECT_TRUE(posted);
  EXPECT_EQ(poller().round(), round);
  for (const Recorder* watch : {&before, &meanwhile, &again, &after_round}) {
    EXPECT_TRUE(watch->told.empty());
  }
  poller().GoOn();
  RunUntil([&] { return !before.told.empty() && !meanwhile.told.empty(); });
  Settle();
  for (const Recorder* watch : {&before, &meanwhile, &again, &after_round}) {
    EXPECT_EQ(watch->told.size(), 1u);
  }
  // It goes on to wait.
  ASSERT_EQ(write(theirs.get(), "x", 1), 1);
  RunUntil([&] { return before.told.size() == 2; });
  poller().Remove(before);
  poller().Remove(meanwhile);
}

// What was asked for before is done afterwards, though the step for it has come
// meanwhile.
TEST_F(PollerTest, CallsThatWereAskedForBeforeItIsHeldComeAfterwards) {
  Recorder again, after_round;
  poller().CallAgain(again);
  poller().CallAfterRound(after_round);
  poller().Hold();
  poller().Hold();
  Settle();
  EXPECT_TRUE(again.told.empty());
  EXPECT_TRUE(after_round.told.empty());
  poller().GoOn();
  poller().GoOn();
  Settle();
  EXPECT_EQ(again.told.size(), 1u);
  EXPECT_EQ(after_round.told.size(), 1u);
}

// The loop must come to its end once nothing is registered.
TEST_F(PollerTest, WhatIsRemovedWhileItIsHeldIsNotWaitedFor) {
  auto [mine, theirs] = Pair();
  Recorder watch;
  ASSERT_EQ(poller().Add(mine.get(), EPOLLIN | EPOLLET, watch), 0);
  Settle();
  poller().Hold();
  poller().Remove(watch);
  mine = Descriptor();
  Settle();
  poller().GoOn();
  Settle();
  EXPECT_TRUE(loop().stopped());
  EXPECT_TRUE(watch.told.empty());
}

}  // namespace
}  // namespace portreeve::testing
