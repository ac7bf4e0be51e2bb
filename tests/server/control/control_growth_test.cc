// ControlAcceptor where the daemon grows, and when it gives memory back.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "tests/server/control_acceptor_fixture.h"

namespace portreeve::server {
namespace {

using std::chrono::milliseconds;

class ControlGrowthTest : public ControlAcceptorTest {
 protected:
  ControlGrowthTest() {
    acceptor_ = std::make_unique<ControlAcceptor>(
        executor(), ControlAcceptor::Limits(), false, table_, limited_);
    Listen(kLoopback);
    Start();
  }
  void SetUp() override {
    taken_ = int64_t{1} << 40;
    ASSERT_NE(limited_.Unaccounted(), 0) << "nobody knows what the heap has";
    taken_ = 0;
  }
  // Before `limited_`, which it uses.
  ~ControlGrowthTest() override {
    for (size_t i = 0; i < given_.size(); ++i) EndGiven(i);
    acceptor_->Close();
    acceptor_.reset();
  }

  // One that has made `calls`, which wait, and sends what it is looked at for.
  RawClient& ConnectAndCall(int calls) {
    RawClient& client = ConnectAndAwait();
    for (int i = 0; i < calls; ++i) {
      EXPECT_TRUE(Plain(given_.size() - 1)->BeginCall());
    }
    return client;
  }
  void Look(RawClient& sends) {
    EXPECT_EQ(sends.Send("x"), "ok");
    Settle();
    time().Advance(milliseconds(25));
    Settle();
  }

  static constexpr int64_t kLimit = 192 << 20;
  // More than an eighth of that, which the process has from now on.
  void Grow() { growth_ = std::vector<char>(64 << 20, 'x'); }

  int64_t taken_ = 0;  // As if the process had grown by it.
  std::vector<char> growth_;
  std::vector<char> more_growth_;
  ControlMemory limited_{kLimit, [this] { return -taken_; }};
};

// Within the limit: the next eighth might come before anybody is looked at.
TEST_F(ControlGrowthTest, WhoIsBusyGoesWhereAnEighthOfTheLimitCameAtOnce) {
  RawClient& little = ConnectAndCall(1);
  RawClient& busy = ConnectAndCall(500);
  RawClient& as_busy = ConnectAndCall(400);
  Look(busy);
  EXPECT_EQ(Seen(busy), "nothing");
  Grow();
  Look(busy);
  EXPECT_EQ(busy.Receive(), "ECONNRESET");
  EXPECT_EQ(as_busy.Receive(), "ECONNRESET");
  EXPECT_EQ(Seen(little), "nothing");
  const auto log = TakeLog();
  ASSERT_FALSE(log.empty());
  EXPECT_NE(log[0].find("it makes the daemon grow (--max-control-memory)"),
            std::string::npos)
      << log[0];
}

// The connections that clients serve have memory of their own.
TEST_F(ControlGrowthTest, WhatServedConnectionsMayHoldIsNoGrowth) {
  RawClient& busy = ConnectAndCall(500);
  ConnectAndCall(1);
  Look(busy);
  for (int i = 0; i < 4'000; ++i) Plain(1)->BeginCarrying();
  Grow();
  Look(busy);
  EXPECT_EQ(Seen(busy), "nothing");
}

// They had been served for a while when they began to take it.
TEST_F(ControlGrowthTest, WhoServesManyMaySendToAllOfThemAtOnce) {
  RawClient& serves = ConnectAndCall(1);
  for (int i = 0; i < 100; ++i) Plain(0)->BeginCarrying();
  Look(serves);
  time().Advance(std::chrono::seconds(5));
  Look(serves);
  // A part of a message for each, of which nobody has heard.
  const auto send_to_all = [&](size_t bytes) {
    const std::string part(bytes, 'x');
    for (int i = 0; i < 100; ++i) {
      EXPECT_EQ(serves.Send(part), "ok");
      ReadGiven(0);
    }
  };
  RawClient& calls = ConnectAndCall(500);
  send_to_all(256 << 10);
  Grow();
  Look(serves);
  EXPECT_EQ(Seen(serves), "nothing");
  // Nor is it that of who calls beside it.
  EXPECT_EQ(Seen(calls), "nothing");
  // What none of them may hold is something else.
  send_to_all(300 << 10);
  more_growth_ = std::vector<char>(8 << 20, 'x');
  Look(serves);
  EXPECT_EQ(Seen(serves), "ECONNRESET");
  (void)TakeLog();
}

// Nobody else sends.
TEST_F(ControlGrowthTest, WhatAClientThatServedManyHasLeftIsGivenBack) {
  const auto& policy = limited_.policy();
  RawClient& serves = ConnectAndCall(1);
  for (int i = 0; i < 24; ++i) Plain(0)->BeginCarrying();
  Look(serves);
  time().Advance(std::chrono::seconds(60));
  EndGiven(0);
  Settle();
  EXPECT_FALSE(policy.next_trim().has_value());
  RawClient& serves_more = ConnectAndCall(1);
  for (int i = 0; i < 25; ++i) Plain(1)->BeginCarrying();
  Look(serves_more);
  time().Advance(std::chrono::seconds(60));
  for (int i = 0; i < 25; ++i) Plain(1)->EndCarrying();
  EndGiven(1);
  Settle();
  ASSERT_TRUE(policy.next_trim().has_value());
  // Again and again, and then no more.
  int num_trims = 0;
  for (; policy.next_trim(); ++num_trims) {
    const TimePoint next = *policy.next_trim();
    time().Advance(next - time().Now());
    ASSERT_TRUE(!policy.next_trim() || *policy.next_trim() > next);
  }
  EXPECT_EQ(num_trims, 6);
}

// What is left of a flood that is over.
TEST_F(ControlGrowthTest, WhoAsksForLittleIsNotEndedForWhatOthersTook) {
  RawClient& client = ConnectAndCall(1);
  taken_ = int64_t{1} << 40;
  Look(client);
  EXPECT_TRUE(limited_.policy().next_trim().has_value());
  time().Advance(milliseconds(200));
  Settle();
  EXPECT_EQ(Seen(client), "nothing");
  // Who asks for much is.
  constexpr int64_t kMuch =
      ControlActivity::kFreeWaiting +
      ControlTable::kLeastHeld / ControlActivity::kWeightOfWaiting;
  for (int i = 1; i < kMuch; ++i) ASSERT_TRUE(Plain(0)->BeginCall());
  Look(client);
  EXPECT_EQ(client.Receive(), "ECONNRESET");
  (void)TakeLog();
}

TEST_F(ControlGrowthTest, TheHeapIsTrimmedAfterAShutdown) {
  const auto& policy = limited_.policy();
  const int64_t before = limited_.Unaccounted();
  {
    // Of small pieces, the last of which stays: the heap keeps the rest.
    std::vector<std::unique_ptr<char[]>> pieces(64 << 10);
    for (auto& piece : pieces) piece = std::make_unique<char[]>(1 << 10);
    const auto last = std::move(pieces.back());
    pieces.clear();
    ConnectAndAwait();
    table_.ShutDown(*Plain(0), "so says the test");
    EndGiven(0);
    Settle();
    time().Advance(milliseconds(25));
    ASSERT_TRUE(policy.next_trim().has_value());
    EXPECT_GT(limited_.Unaccounted(), before + (32 << 20));
    time().Advance(milliseconds(250));
    // On another thread.
    const auto end = std::chrono::steady_clock::now() + kDeadline;
    while (limited_.Unaccounted() > before + (32 << 20)) {
      ASSERT_LT(std::chrono::steady_clock::now(), end);
    }
  }
  // And again and again, though nobody sends.
  time().Advance(std::chrono::seconds(30));
  EXPECT_FALSE(policy.next_trim().has_value());
  (void)TakeLog();
}

}  // namespace
}  // namespace portreeve::server
