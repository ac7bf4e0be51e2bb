#include "server/upgrade/held_channel.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "lib/serve/listening_socket.h"
#include "server/handover/handover_channel.h"
#include "tests/server/handover/handover_pair.h"
#include "tests/server/upgrade/upgrade_parts.h"

namespace portreeve::server {
namespace {

TimePoint Soon() {
  return After(std::chrono::steady_clock::now(), std::chrono::seconds(20));
}

// One end is the reporter's, and the other one is read by the test itself.
class HeldReporterTest : public ::testing::Test {
 protected:
  HeldReporterTest() {
    auto [ours, theirs] = SocketPair();
    ours_.emplace(*HandoverChannel::Open(std::move(ours)));
    theirs_.emplace(*HandoverChannel::Open(std::move(theirs)));
    process_.Run([this] {
      reporter_ = std::make_unique<HeldReporter>(
          process_.loop, *process_.registry, [this] { ++drains_; });
    });
  }
  ~HeldReporterTest() override {
    process_.Run([this] { reporter_.reset(); });
  }

  void Start(bool is_deaf = false) {
    process_.Run([&] { reporter_->Start(*std::move(ours_), is_deaf); });
  }
  void Report(const std::string& text) {
    process_.Run([&] {
      reporter_->OnHandlerError(7, "web", "uid", text,
                                HandlerErrorOutcome::kReturned);
    });
  }
  // Gives the text of the next error that is told; "none" where none comes.
  std::string NextText() {
    for (;;) {
      const auto packet = theirs_->Receive(Soon());
      if (!packet.ok()) return "none";
      if (packet->message.has_raised())
        return packet->message.raised().message();
    }
  }

  Process process_{1};
  std::optional<HandoverChannel> ours_;
  std::optional<HandoverChannel> theirs_;
  std::unique_ptr<HeldReporter> reporter_;
  int drains_ = 0;
};

TEST_F(HeldReporterTest, WhatComesBeforeTheStartIsToldThen) {
  // Much more than the socket takes at a time.
  constexpr int kMany = 3000;
  const std::string text(1000, 'x');
  for (int i = 0; i < kMany; ++i) Report(text);
  Start();
  for (int i = 0; i < kMany; ++i) ASSERT_EQ(NextText(), text) << i;
}

TEST_F(HeldReporterTest, ATextThatIsTooLongIsCut) {
  Start();
  Report(std::string(1 << 20, 'x'));
  Report("next");
  const std::string cut = NextText();
  EXPECT_EQ(cut, std::string(cut.size(), 'x'));
  EXPECT_GT(cut.size(), 1000u);
  EXPECT_EQ(NextText(), "next");
}

TEST_F(HeldReporterTest, OneThatIsNotHeardIsStillTold) {
  ours_->RefuseMore();
  Start(/*is_deaf=*/true);
  Report("one");
  EXPECT_EQ(NextText(), "one");
  Handover close;
  close.mutable_drain_now();
  EXPECT_EQ(FaultOf(theirs_->Send(std::move(close), {}, Soon())),
            ChannelFault::kEnded);
  Report("two");
  EXPECT_EQ(NextText(), "two");
  EXPECT_EQ(drains_, 0);
  // Much more than the socket takes at a time.
  constexpr int kMany = 3000;
  const std::string text(1000, 'x');
  for (int i = 0; i < kMany; ++i) Report(text);
  for (int i = 0; i < kMany; ++i) ASSERT_EQ(NextText(), text) << i;
  theirs_.reset();
  EXPECT_TRUE(
      process_.AwaitOnLoop([this] { return !reporter_->has_successor(); }));
}

TEST_F(HeldReporterTest, TheOtherProcessEndsTheDrain) {
  Start();
  Handover drain;
  drain.mutable_drain_now();
  EXPECT_TRUE(theirs_->Send(std::move(drain), {}, Soon()).ok());
  EXPECT_TRUE(process_.AwaitOnLoop([this] { return drains_ == 1; }));
}

TEST_F(HeldReporterTest, ItMayEndInTheStepInWhichItsChannelHas) {
  Start();
  process_.Run([this] {
    theirs_.reset();
    // Both before what the channel's end has posted.
    Handover message;
    for (int i = 0; i < 100 && reporter_->has_successor(); ++i) {
      process_.loop.context().poll_one();
    }
    reporter_.reset();
  });
}

// A connection to somebody: what is given away, and the other end.
struct Wire {
  Wire() {
    auto socket = ListeningSocket::Open(process.loop.executor(),
                                        WhereToListen<Inet>::OfLocalhost(0), 5);
    peer.emplace(socket->address());
    given = Descriptor(
        accept4(socket->native_handle(), nullptr, nullptr, SOCK_CLOEXEC));
  }

  Process process{1};
  std::optional<Caller> peer;
  Descriptor given;
};

internal::v1::HandoverMovedOn MovedOn(int64_t id) {
  internal::v1::HandoverMovedOn record;
  record.set_id(id);
  return record;
}

TEST_F(HeldReporterTest, OneThatMovesOnComesWithItsBytesAndItsDescriptor) {
  Wire wire;
  const std::string bytes(100'000, 'x');
  // It may come before the start, as the others.
  process_.Run(
      [&] { reporter_->OnMovedOn(MovedOn(7), bytes, std::move(wire.given)); });
  Start();
  std::string came;
  for (;;) {
    auto packet = theirs_->Receive(Soon());
    ASSERT_TRUE(packet.ok()) << packet.status();
    if (packet->message.has_moved_bytes()) {
      EXPECT_EQ(packet->message.moved_bytes().id(), 7);
      came += packet->message.moved_bytes().bytes();
    }
    if (!packet->message.has_moved_on()) continue;
    EXPECT_EQ(packet->message.moved_on().num_bytes(), 100'000);
    ASSERT_EQ(packet->descriptors.size(), 1u);
    EXPECT_EQ(send(packet->descriptors[0].get(), "hello", 5, MSG_NOSIGNAL), 5);
    EXPECT_EQ(wire.peer->Receive(), "hello");
    break;
  }
  EXPECT_EQ(came, bytes);
}

// Nobody is to take for whole what nobody goes on with.
TEST_F(HeldReporterTest, WhatIsOnItsWayToNobodyIsReset) {
  for (const bool has_started : {false, true}) {
    Wire wire;
    if (has_started) {
      // As much as the channel does not take.
      process_.Run([&] {
        auto [ours, theirs] = SocketPair();
        theirs_.emplace(*HandoverChannel::Open(std::move(theirs)));
        reporter_ = std::make_unique<HeldReporter>(process_.loop,
                                                   *process_.registry, [] {});
        reporter_->Start(*HandoverChannel::Open(std::move(ours)), false);
        reporter_->OnMovedOn(MovedOn(6), std::string(10'000'000, 'x'),
                             Descriptor());
      });
    }
    process_.Run([&] {
      EXPECT_TRUE(reporter_->TakesMore());
      reporter_->OnMovedOn(MovedOn(7), "", std::move(wire.given));
      reporter_.reset();
    });
    EXPECT_EQ(wire.peer->Receive(), "error");
  }
}

// Both ends are on one loop.
class HeldChannelTest : public ::testing::Test {
 protected:
  struct Owner final : HeldChannel::Owner {
    void OnMessage(const Handover& message, std::vector<Descriptor>) override {
      ids.push_back(message.close_held().id());
      if (ids.size() == 1) on_first();
    }
    void OnLost() override { ++losses; }
    void OnEnd(bool has_failed) override {
      ++ends;
      failures += has_failed;
    }
    std::vector<int64_t> ids;
    std::function<void()> on_first = [] {};
    int losses = 0;
    int ends = 0;
    int failures = 0;
  };

  HeldChannelTest() {
    process_.Run([this] {
      auto [a, b] = SocketPair();
      HeldChannel::Owner& of_a = of_a_;
      HeldChannel::Owner& of_b = of_b_;
      a_ = std::make_unique<HeldChannel>(
          process_.loop, *HandoverChannel::Open(std::move(a)), of_a);
      b_ = std::make_unique<HeldChannel>(
          process_.loop, *HandoverChannel::Open(std::move(b)), of_b);
      b_->Start();
    });
  }
  ~HeldChannelTest() override {
    process_.Run([this] {
      a_.reset();
      b_.reset();
    });
  }

  static Handover Close(int64_t id) {
    Handover message;
    message.mutable_close_held()->set_id(id);
    message.mutable_close_held()->set_mode(v1::CLOSE_MODE_CLOSE);
    return message;
  }

  Process process_{1};
  Owner of_a_, of_b_;
  std::unique_ptr<HeldChannel> a_, b_;
};

TEST_F(HeldChannelTest, AllArrivesInOrderAndThenTheEnd) {
  constexpr size_t kMany = 5000;
  process_.Run([this] {
    for (size_t i = 0; i < kMany; ++i) a_->Send(Close(static_cast<int>(i)));
    EXPECT_FALSE(a_->is_sent());
    a_->Start();
  });
  EXPECT_TRUE(
      process_.AwaitOnLoop([this] { return of_b_.ids.size() == kMany; }));
  process_.Run([this] {
    for (size_t i = 0; i < kMany; ++i) {
      ASSERT_EQ(of_b_.ids[i], static_cast<int64_t>(i));
    }
    EXPECT_TRUE(a_->is_sent());
    EXPECT_EQ(of_b_.ends, 0);
    a_.reset();
  });
  EXPECT_TRUE(process_.AwaitOnLoop([this] { return of_b_.ends == 1; }));
  process_.Run([this] {
    EXPECT_TRUE(b_->has_ended());
    b_->Send(Close(1));  // To nobody.
  });
}

TEST_F(HeldChannelTest, WhoSendsToOneThatDoesNotHearWaitsForNothing) {
  process_.Run([this] { a_->StartDeaf(); });
  process_.Run([this] {
    // As its process has done before.
    shutdown(a_->native_handle(), SHUT_RD);
    b_->Send(Close(1));
    EXPECT_TRUE(b_->is_sent());
    EXPECT_FALSE(b_->has_ended());
    a_->Send(Close(2));
  });
  EXPECT_TRUE(process_.AwaitOnLoop([this] { return of_b_.ids.size() == 1; }));
  process_.Run([this] {
    EXPECT_TRUE(of_a_.ids.empty());
    b_.reset();
  });
  EXPECT_TRUE(process_.AwaitOnLoop([this] { return of_a_.ends == 1; }));
}

// There are others who wait for their turn.
TEST_F(HeldChannelTest, OneTurnTakesSomeOfMany) {
  struct Other final : Poller::Watch {
    void OnReady(uint32_t, int) override { on_turn(); }
    std::function<void()> on_turn;
  };
  process_.Run([this] {
    a_->Start();
    Poller& poller = Poller::Of(process_.loop.context());
    Other other;
    const Descriptor silent(eventfd(0, EFD_CLOEXEC));
    ASSERT_EQ(poller.Add(silent.get(), EPOLLIN, other), 0);
    size_t before_its_turn = 0;
    other.on_turn = [&] { before_its_turn = of_b_.ids.size(); };
    of_b_.on_first = [&] { poller.CallAfterRound(other); };
    for (int i = 0; i < 400; ++i) a_->Send(Close(i));
    for (int i = 0; i < 10'000 && of_b_.ids.size() < 400; ++i) {
      process_.loop.context().poll_one();
    }
    EXPECT_EQ(of_b_.ids.size(), 400u);
    poller.Remove(other);
    EXPECT_GT(before_its_turn, 0u);
    EXPECT_LT(before_its_turn, 200u);
  });
}

// That has room for more, and acknowledges nothing.
TEST_F(HeldChannelTest, WhileTheOtherProcessStandsStillTheLoopRests) {
  process_.Run([this] {
    auto [ours, theirs] = SocketPair();
    const HandoverChannel still = *HandoverChannel::Open(std::move(theirs));
    HeldChannel::Owner& owner = of_a_;
    HeldChannel channel(process_.loop, *HandoverChannel::Open(std::move(ours)),
                        owner);
    channel.Start();
    for (int i = 0; i < 10; ++i) {
      channel.Send(Close(i), Descriptor(dup(still.native_handle())));
    }
    EXPECT_FALSE(channel.is_sent());
    // It comes to rest, or else has something to do at all times.
    int num_steps = 0;
    while (num_steps < 1000 && process_.loop.context().poll_one() > 0) {
      ++num_steps;
    }
    EXPECT_LT(num_steps, 1000);
    EXPECT_FALSE(channel.has_ended());
  });
}

// They cost those connections, whose peers are reset, and not the channel,
// which has more of them on its way than are sent without an acknowledgement.
TEST_F(HeldChannelTest, DescriptorsForWhichThereIsNoRoomAreLostAlone) {
  std::vector<Wire> wires(HandoverChannel::kWindow + 2);
  process_.Run([this] { a_->Start(); });
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  // All below are in use, and stay so: their own are free once they are on
  // their way.
  Descriptor lowest(dup(wires[0].given.get()));
  rlimit low = before;
  low.rlim_cur = static_cast<rlim_t>(lowest.get());
  for (const Wire& wire : wires) {
    low.rlim_cur =
        std::min(low.rlim_cur, static_cast<rlim_t>(wire.given.get()));
  }
  lowest = Descriptor();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  process_.Run([&] {
    for (Wire& wire : wires) a_->Send(Close(7), std::move(wire.given));
    a_->Send(Close(8));
  });
  const bool is_told = process_.AwaitOnLoop(
      [this] { return !of_b_.ids.empty() || of_b_.ends > 0; });
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_TRUE(is_told);
  for (Wire& wire : wires) EXPECT_EQ(wire.peer->Receive(), "error");
  process_.Run([&] {
    EXPECT_EQ(of_b_.ids, std::vector<int64_t>{8});
    EXPECT_EQ(of_b_.losses, static_cast<int>(wires.size()));
    EXPECT_EQ(of_b_.ends, 0);
  });
}

// What else is wrong with a message costs that one.
TEST_F(HeldChannelTest, WhatCannotBeUnderstoodIsLostAlone) {
  process_.Run([this] {
    EXPECT_EQ(send(a_->native_handle(), "\xff\xff", 2, MSG_NOSIGNAL), 2);
    a_->Start();
    a_->Send(Close(8));
  });
  EXPECT_TRUE(process_.AwaitOnLoop([this] { return !of_b_.ids.empty(); }));
  process_.Run([this] {
    EXPECT_EQ(of_b_.losses, 1);
    EXPECT_EQ(of_b_.ends, 0);
  });
}

// A watch of nothing, which keeps another one of `fd` out: the kernel does not
// take it twice.
class Obstacle final : Poller::Watch {
 public:
  Obstacle(Process& process, int fd)
      : poller_(Poller::Of(process.loop.context())) {
    EXPECT_EQ(poller_.Add(fd, 0, *this), 0);
  }
  ~Obstacle() { poller_.Remove(*this); }

 private:
  void OnReady(uint32_t, int) override {}
  Poller& poller_;
};

// The other process is not to believe that it is heard.
TEST_F(HeldChannelTest, OneThatCannotBeWatchedIsClosed) {
  process_.Run([&] {
    const Obstacle obstacle(process_, a_->native_handle());
    a_->Start();
    EXPECT_TRUE(a_->has_ended());
    EXPECT_EQ(of_a_.failures, 1);
  });
  EXPECT_TRUE(process_.AwaitOnLoop([this] { return of_b_.ends == 1; }));
  process_.Run([this] { EXPECT_EQ(of_b_.failures, 0); });
}

// It must not go on with what is told to be lost, on whichever side it fails.
TEST_F(HeldReporterTest, OneThatCannotBeFollowedIsToldToEnd) {
  std::unique_ptr<HeldFollower> follower;
  bool has_ended = false;
  process_.Run([&] {
    const Obstacle obstacle(process_, ours_->native_handle());
    follower = std::make_unique<HeldFollower>(
        process_.loop, *process_.registry, *std::move(ours_), std::nullopt,
        std::chrono::hours(1), [&] { has_ended = true; });
    follower->Start();
    EXPECT_FALSE(follower->is_there());
  });
  auto packet = theirs_->Receive(Soon());
  ASSERT_TRUE(packet.ok()) << packet.status();
  EXPECT_TRUE(packet->message.has_drain_now());
  EXPECT_EQ(FaultOf(theirs_->Receive(Soon()).status()), ChannelFault::kEnded);
  process_.Run([&] { follower.reset(); });
  EXPECT_FALSE(has_ended);
}

TEST_F(HeldReporterTest, WhoCanTellNothingDrainsAtOnce) {
  process_.Run([&] {
    const Obstacle obstacle(process_, ours_->native_handle());
    reporter_->Start(*std::move(ours_), false);
    EXPECT_FALSE(reporter_->has_successor());
    EXPECT_EQ(drains_, 1);
  });
  EXPECT_EQ(FaultOf(theirs_->Receive(Soon()).status()), ChannelFault::kEnded);
}

}  // namespace
}  // namespace portreeve::server
