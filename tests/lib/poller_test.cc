#include "lib/poller.h"

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

#include "lib/descriptor.h"
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
  poller().Remove(watch);
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
  poller().Change(mine.get(), 0, watch);
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
    if (order.size() > 4) return poller().Change(fd, 0, watch);
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

TEST_F(PollerTest, WhatCannotBeWatchedIsAnError) {
  const Descriptor folder(open("/", O_RDONLY | O_CLOEXEC));
  Recorder watch;
  EXPECT_EQ(poller().Add(folder.get(), EPOLLIN, watch), EPERM);
}

}  // namespace
}  // namespace portreeve::testing
