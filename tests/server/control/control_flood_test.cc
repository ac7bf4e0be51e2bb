// Who asks for too much is ended, and nobody else.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tests/server/control_acceptor_fixture.h"

namespace portreeve::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

using ControlFloodTest = ControlAcceptorTest;

TEST_F(ControlFloodTest, WhoSendsWhatNoCallExplainsIsEnded) {
  StartOne({});
  RawClient& flood = ConnectAndAwait();
  RawClient& other = ConnectAndAwait();
  ASSERT_TRUE(Plain(0)->BeginCall());
  ASSERT_TRUE(Plain(1)->BeginCall());
  const auto connection = Plain(0);
  std::vector<char> read(1 << 16);
  const std::string data(1 << 16, 'x');
  int64_t sent = 0;
  // As gRPC does it, without an end.
  while (!connection->is_shut_down() && sent < 16 << 20) {
    if (flood.Send(data) != "ok") break;
    sent += static_cast<int64_t>(data.size());
    Settle();
    while (recv(given_[0].fd, read.data(), read.size(), MSG_DONTWAIT) > 0) {
    }
    time().Advance(milliseconds(25));
  }
  EXPECT_TRUE(connection->is_shut_down());
  EXPECT_GT(sent, 1 << 20);
  EXPECT_LT(sent, 4 << 20);
  EXPECT_EQ(flood.Receive(), "ECONNRESET");
  EXPECT_EQ(Seen(other), "nothing");
  const auto log = TakeLog();
  ASSERT_EQ(log.size(), 1u);
  EXPECT_EQ(log[0], "warning: OVERLOADED: the control connection of " +
                        connection->Who() +
                        " is shut down: too many bytes that are no calls (1 "
                        "since the start)");
}

TEST_F(ControlFloodTest, ManyThatSendWhatNoCallExplainsAreEndedTogether) {
  constexpr size_t kMany = 10;
  StartOne({});
  RawClient& other = ConnectAndAwait();
  for (size_t i = 1; i <= kMany; ++i) ConnectAndAwait();
  EXPECT_EQ(other.Send(std::string(60 << 10, 'x')), "ok");
  std::vector<char> read(1 << 16);
  const std::string data(50 << 10, 'x');
  int rounds = 0;
  while (Plain(1)->is_open()) {
    ASSERT_LT(++rounds, 10);
    for (size_t i = 1; i <= kMany; ++i) {
      EXPECT_EQ(clients_[i]->Send(data), "ok");
    }
    Settle();
    for (const Given& given : given_) {
      while (recv(given.fd, read.data(), read.size(), MSG_DONTWAIT) > 0) {
      }
    }
    time().Advance(milliseconds(25));
  }
  // Each has sent far less than one alone might; for 50 ms it might have been
  // whole requests on their way.
  EXPECT_EQ(rounds, 7);
  for (size_t i = 1; i <= kMany; ++i) {
    EXPECT_EQ(clients_[i]->Receive(), "ECONNRESET");
  }
  EXPECT_EQ(Seen(other), "nothing");
  const auto log = TakeLog();
  ASSERT_EQ(log.size(), 1u);
  EXPECT_NE(log[0].find("too many bytes of all clients"), log[0].npos);
}

// Though all of it came in one look.
TEST_F(ControlFloodTest, WhatOneHasSentThatIsEndedIsNobodyElsesFault) {
  StartOne({});
  RawClient& flood = ConnectAndAwait();
  RawClient& other = ConnectAndAwait();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Plain(1)->BeginCall());
  EXPECT_EQ(other.Send("x"), "ok");
  const auto connection = Plain(0);
  ASSERT_TRUE(connection->BeginCall());
  std::vector<char> read(1 << 16);
  const std::string data(1 << 16, 'x');
  for (int i = 0; i < 64; ++i) {
    ASSERT_EQ(flood.Send(data), "ok");
    Settle();
    while (recv(given_[0].fd, read.data(), read.size(), MSG_DONTWAIT) > 0) {
    }
  }
  time().Advance(milliseconds(25));
  EXPECT_TRUE(connection->is_shut_down());
  EXPECT_EQ(Seen(other), "nothing");
  EXPECT_EQ(table_.num_shut_down(), 1);
  (void)TakeLog();
}

TEST_F(ControlFloodTest, WhoIsSilentIsNotLookedAt) {
  StartOne({});
  RawClient& client = ConnectAndAwait();
  ASSERT_TRUE(Plain(0)->BeginCall());
  time().Advance(seconds(20));
  Settle();
  EXPECT_EQ(time().earliest(), TimePoint::max());
  EXPECT_EQ(client.Send("x"), "ok");
  ASSERT_TRUE(RunUntil([&] { return time().earliest() != TimePoint::max(); }));
  // As long as it waits to be read.
  for (int i = 0; i < 10; ++i) {
    time().Advance(milliseconds(10));
    EXPECT_NE(time().earliest(), TimePoint::max());
  }
  ReadGiven(0);
  time().Advance(milliseconds(10));
  EXPECT_EQ(time().earliest(), TimePoint::max());
}

// A client that has sent all it could, and waits; or that leaves at once: what
// it has sent is enough for thousands of calls.
TEST_F(ControlFloodTest, WhatWaitsToBeReadIsFoundThoughNothingMoreComes) {
  StartOne({});
  RawClient& client = ConnectAndAwait();
  RawClient& other = ConnectAndAwait();
  ASSERT_TRUE(Plain(0)->BeginCall());
  ASSERT_TRUE(Plain(1)->BeginCall());
  EXPECT_EQ(client.Send(std::string(100 << 10, 'x')), "ok");
  Settle();
  for (int i = 0; i < 500; ++i) time().Advance(milliseconds(10));
  EXPECT_GT(Plain(0)->Activity(time().Now()), 50 << 10);
  table_.ShutDownBusiest(ControlTable::Whom::kAllAsBusy, "so says the test");
  EXPECT_EQ(client.Receive(), "ECONNRESET");
  EXPECT_EQ(Seen(other), "nothing");
  (void)TakeLog();
}

// Of a unix socket an arrival is all that is known.
TEST_F(ControlFloodTest, EachArrivalOfAUnixSocketCounts) {
  const testing::TemporaryFolder folder;
  Make({});
  Listen(Unix::Address(folder.File("control")));
  Start();
  RawClient& client = ConnectAndAwait();
  ASSERT_TRUE(Plain(0)->BeginCall());
  constexpr int kArrivals = 100;
  for (int i = 0; i < kArrivals; ++i) {
    EXPECT_EQ(client.Send("x"), "ok");
    Settle();
    ReadGiven(0);
    time().Advance(milliseconds(5));
  }
  // With the first one came the call.
  EXPECT_EQ(Plain(0)->Activity(time().Now()),
            (kArrivals - 1 - ControlActivity::kFreeArrivals) *
                ControlActivity::kWeightOfArrival);
}

}  // namespace
}  // namespace portreeve::server
