#include "lib/connect/extra_attempts.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <cerrno>
#include <memory>

#include "tests/lib/connect_sock_fixture.h"

namespace portreeve::testing {
namespace {

TEST(ExtraAttemptsTest, TheProcessHasSoMany) {
  ExtraAttempts all;
  while (all.Take()) {
  }
  const int most = all.num_taken();
  EXPECT_GE(most, 4);
  EXPECT_LE(most, 1024);
  EXPECT_FALSE(all.Take());
  EXPECT_EQ(all.num_taken(), most);

  auto other = std::make_unique<ExtraAttempts>();
  EXPECT_FALSE(other->Take());
  all.KeepAtMost(most);
  EXPECT_FALSE(other->Take());
  all.KeepAtMost(most - 2);
  EXPECT_EQ(all.num_taken(), most - 2);
  EXPECT_TRUE(other->Take());
  EXPECT_TRUE(other->Take());
  EXPECT_FALSE(other->Take());
  EXPECT_FALSE(all.Take());
  other.reset();
  EXPECT_TRUE(all.Take());
  EXPECT_TRUE(all.Take());
  EXPECT_FALSE(all.Take());
}

int CountExtra() {
  ExtraAttempts extra;
  while (extra.Take()) {
  }
  return extra.num_taken();
}

// One attempt beside another takes a descriptor that nobody has counted.
TEST_F(ConnectSockTest, WhatRunsBesideTheFirstAttemptIsGivenBack) {
  Acceptor acceptor = Listen("127.0.0.5");
  const int port = acceptor.local_endpoint().port();
  const int before = CountExtra();
  {
    const BlackHole one(loop_, "127.0.0.2", port);
    const BlackHole two(loop_, "127.0.0.3", port);
    const int fds = CountDescriptors();
    resolver_.Answer(Family::kV6, {});
    // Nobody listens at 127.0.0.4.
    resolver_.Answer(Family::kV4, {A("127.0.0.2"), A("127.0.0.3"),
                                   A("127.0.0.4"), A("127.0.0.5")});
    InetRunner runner(loop_, Connect("four.example", port, Options()));
    RunReady();
    EXPECT_EQ(CountDescriptors(), fds + 1);
    EXPECT_EQ(CountExtra(), before);
    time_.Advance(milliseconds(250));
    RunReady();
    EXPECT_EQ(CountDescriptors(), fds + 2);
    EXPECT_EQ(CountExtra(), before - 1);
    time_.Advance(milliseconds(250));
    RunToEnd(runner);
    ASSERT_TRUE(runner.status().ok()) << runner.status();
    EXPECT_EQ(runner.value().peer_address().address(), A("127.0.0.5"));
  }
  EXPECT_EQ(CountExtra(), before);
}

// Nobody listens at one of them, and to the other there is no way.
TEST_F(ConnectSockTest, AnAttemptThatHasFailedGivesBackWhatItTook) {
  const int before = CountExtra();
  for (const char* second : {"127.0.0.3", "255.255.255.255"}) {
    const BlackHole first(loop_, "127.0.0.2");
    resolver_.Answer(Family::kV6, {});
    resolver_.Answer(Family::kV4, {A("127.0.0.2"), A(second)});
    InetRunner runner(loop_, Connect("two.example", first.port(), Options()));
    RunReady();
    time_.Advance(milliseconds(250));
    RunReady();
    EXPECT_FALSE(runner.ended());
    EXPECT_EQ(CountExtra(), before) << second;
    time_.Advance(seconds(60));
    RunToEnd(runner);
  }
}

TEST_F(ConnectSockTest, OneThatHasMadeRoomIsNotWaitedFor) {
  ExtraAttempts all;
  while (all.Take()) {
  }
  const BlackHole first(loop_, "127.0.0.2");
  resolver_.Answer(Family::kV6, {});
  // Nobody listens at 127.0.0.3.
  resolver_.Answer(Family::kV4, {A("127.0.0.2"), A("127.0.0.3")});
  InetRunner runner(loop_, Connect("two.example", first.port(), Options()));
  RunReady();
  time_.Advance(milliseconds(250));
  RunReady();
  EXPECT_TRUE(runner.ended());
  time_.Advance(seconds(60));
  RunToEnd(runner);
  EXPECT_EQ(DetailOf(runner.status()).error_number, ECONNREFUSED);
}

TEST_F(ConnectSockTest, WhereNoMoreMayRunTheOldestAttemptMakesRoom) {
  ExtraAttempts all;
  while (all.Take()) {
  }
  Acceptor acceptor = Listen("127.0.0.5");
  const int port = acceptor.local_endpoint().port();
  const BlackHole one(loop_, "127.0.0.2", port);
  const BlackHole two(loop_, "127.0.0.3", port);
  const BlackHole three(loop_, "127.0.0.4", port);
  const int fds = CountDescriptors();
  resolver_.Answer(Family::kV6, {});
  resolver_.Answer(Family::kV4, {A("127.0.0.2"), A("127.0.0.3"), A("127.0.0.4"),
                                 A("127.0.0.5")});
  InetRunner runner(loop_, Connect("four.example", port, Options()));
  RunReady();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(CountDescriptors(), fds + 1);
    time_.Advance(milliseconds(250));
    RunReady();
  }
  EXPECT_EQ(CountDescriptors(), fds + 1);
  time_.Advance(milliseconds(250));
  RunToEnd(runner);
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(runner.value().peer_address().address(), A("127.0.0.5"));
}

// The last one that was begun is waited for.
TEST_F(ConnectSockTest, WhereNoMoreMayRunTheLastAttemptRunsOn) {
  ExtraAttempts all;
  while (all.Take()) {
  }
  BlackHole last(loop_, "127.0.0.3");
  const BlackHole first(loop_, "127.0.0.2", last.port());
  resolver_.Answer(Family::kV6, {});
  resolver_.Answer(Family::kV4, {A("127.0.0.2"), A("127.0.0.3")});
  InetRunner runner(loop_, Connect("two.example", last.port(), Options()));
  RunReady();
  time_.Advance(milliseconds(250));
  RunReady();
  time_.Advance(seconds(10));
  RunReady();
  EXPECT_FALSE(runner.ended());
  last.Drain();
  RunToEnd(runner);  // When the kernel sends the SYN again.
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(runner.value().peer_address().address(), A("127.0.0.3"));
}

// One that cannot even begin, as there is no way to it, takes nobody's place.
TEST_F(ConnectSockTest, WhatDoesNotBeginMakesNobodyGiveWay) {
  ExtraAttempts all;
  while (all.Take()) {
  }
  BlackHole slow(loop_, "127.0.0.2");
  resolver_.Answer(Family::kV6, {});
  resolver_.Answer(Family::kV4, {A("127.0.0.2"), A("255.255.255.255")});
  InetRunner runner(loop_, Connect("two.example", slow.port(), Options()));
  RunReady();
  time_.Advance(milliseconds(250));
  RunReady();
  EXPECT_FALSE(runner.ended());
  slow.Drain();
  RunToEnd(runner);  // When the kernel sends the SYN again.
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(runner.value().peer_address().address(), A("127.0.0.2"));
}

// It is connected, and the loop has only not heard of it.
TEST_F(ConnectSockTest, OneThatIsConnectedDoesNotGiveWay) {
  ExtraAttempts all;
  while (all.Take()) {
  }
  BlackHole first(loop_, "127.0.0.2");
  const BlackHole second(loop_, "127.0.0.3", first.port());
  resolver_.Answer(Family::kV6, {});
  resolver_.Answer(Family::kV4, {A("127.0.0.2"), A("127.0.0.3")});
  int fd = -1;
  ConnectOptions options = Options();
  options.around_connect = [&](const Inet::Address&,
                               absl::FunctionRef<int()> connect) {
    if (fd == -1) {
      fd = connect();
      return;
    }
    first.Drain();
    pollfd connected{fd, POLLOUT, 0};  // When the kernel sends the SYN again.
    EXPECT_EQ(poll(&connected, 1, 20'000), 1);
    connect();
  };
  InetRunner runner(loop_, Connect("two.example", first.port(), options));
  RunReady();
  time_.Advance(milliseconds(250));
  RunToEnd(runner);
  ASSERT_TRUE(runner.status().ok()) << runner.status();
  EXPECT_EQ(runner.value().peer_address().address(), A("127.0.0.2"));
}

}  // namespace
}  // namespace portreeve::testing
