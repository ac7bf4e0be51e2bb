// What the daemon ends of a forward, an echo and a discard: in order where it
// was asked to, though the peers send on; else with a reset for whoever has not
// got all.
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <chrono>
#include <string>
#include <variant>

#include "tests/server/forward_fixture.h"

namespace portreeve::testing {
namespace {

using std::chrono::seconds;

class ForwardCloseTest : public ForwardFixture {
 protected:
  // Sends into a connection of which nobody reads the other end, so that input
  // is left unread in the daemon.
  void FloodBoth(RawClient& client) {
    for (int i = 0; i < 2; ++i) {
      Flood(client);
      Flood(*upstream_);
    }
  }

  // Closes it in order, and has the upstream read until the kernel has all that
  // is left for it.  From then on the upstream's end alone lingers, of which
  // nothing is unread: the client's descriptor is closed.
  void CloseUntilTheUpstreamLingers(RawClient& client) {
    Flood(client);
    const auto closing = connection();
    server_->Close(ExistingConnections::kClose);
    Settle();
    // Nobody listens any more; the connection has all of its own.
    const int with_client = CountDescriptors();
    while (CountDescriptors() == with_client) {
      upstream_->Receive(1 << 14);
      Settle();
    }
    ASSERT_TRUE(closing->is_open());
  }

  // The daemon's socket to `peer`, which is this process's.
  static int SocketTo(const RawClient& peer) {
    const auto address = std::get<Inet::Address>(peer.local_address());
    for (int fd = 0; fd < 1024; ++fd) {
      Inet::Address to;
      auto size = static_cast<socklen_t>(to.capacity());
      if (getpeername(fd, to.data(), &size) == 0 && to == address) return fd;
    }
    ADD_FAILURE() << "no socket to " << address;
    return -1;
  }

  // Whether it has ended what it sends, so that the kernel alone has something
  // left for the peer.
  static bool HasEnded(int socket) {
    tcp_info info{};
    socklen_t size = sizeof info;
    if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) {
      return true;
    }
    return info.tcpi_state != TCP_ESTABLISHED;
  }

  // It is being closed in order: has both read until it lingers, and nothing is
  // held any more.  Neither has read all then.
  void ReadUntilBothLinger(RawClient& client) {
    const auto closing = connection();
    const int to_client = SocketTo(client);
    const int to_upstream = SocketTo(*upstream_);
    Settle();
    while (!HasEnded(to_client) || !HasEnded(to_upstream)) {
      if (!HasEnded(to_client)) client.Peek();
      if (!HasEnded(to_upstream)) upstream_->Peek();
      Settle();
    }
    ASSERT_TRUE(closing->is_open());
  }

  ServerOptions WithAge(Duration age) {
    ServerOptions options;
    options.buffer_age_limit = BufferAgeLimit::AtMost(age);
    return options;
  }

  void CloseForShutdown() {
    server_->CloseAs(ExistingConnections::kClose, CloseCause::kShutdown,
                     CloseReason::kShutdown);
  }
};

INSTANTIATE_TEST_SUITE_P(Kinds, ForwardCloseTest,
                         ::testing::ValuesIn(kForwardKinds), NameOfKind);

TEST_P(ForwardCloseTest, InOrderBothGetAllThoughBothSendOn) {
  listener_->ShrinkReceiveBuffers();
  RawClient client = Through();
  FloodBoth(client);
  const auto forwarded = connection();
  server_->Close(ExistingConnections::kClose);
  // They send on in the midst of the close.
  Flood(client);
  Flood(*upstream_);
  const RawClient::Drained of_client = client.Drain();
  EXPECT_EQ(of_client.end, "EOF");
  EXPECT_EQ(static_cast<int64_t>(of_client.bytes), forwarded->bytes_sent());
  const RawClient::Drained of_upstream = upstream_->Drain();
  EXPECT_EQ(of_upstream.end, "EOF");
  EXPECT_EQ(static_cast<int64_t>(of_upstream.bytes),
            forwarded->bytes_received());
  EXPECT_EQ(Reason(), CloseReason::kListenerClosed);
}

// Nobody reads: what was not acknowledged is lost, and told to be.
TEST_P(ForwardCloseTest, InOrderItIsAResetAfterThirtySeconds) {
  listener_->ShrinkReceiveBuffers();
  RawClient client = Through();
  FloodBoth(client);
  const auto forwarded = connection();
  server_->Close(ExistingConnections::kClose);
  time().Advance(seconds(29));
  Settle();
  ASSERT_TRUE(forwarded->is_open());
  EXPECT_EQ(server_->num_connections(), 1);
  time().Advance(seconds(1));
  EXPECT_EQ(Reason(), CloseReason::kForced);
  if (!GetParam().unix_client) {
    const RawClient::Drained of_client = client.Drain();
    EXPECT_EQ(of_client.end, "ECONNRESET");
    // It may not have acknowledged all that it has.
    EXPECT_GE(static_cast<int64_t>(of_client.bytes), forwarded->bytes_sent());
    EXPECT_GT(forwarded->bytes_sent(), 0);
    // So it was when the server was told.
    EXPECT_EQ(server_->bytes_sent_total(), forwarded->bytes_sent());
  }
  if (!GetParam().unix_upstream) {
    EXPECT_EQ(upstream_->Drain().end, "ECONNRESET");
  }
}

// The one that has read all has its FIN all the while.
TEST_P(ForwardCloseTest, OnlyTheSideThatLosesIsReset) {
  if (GetParam().unix_client) return;
  RawClient client = Through();
  Flood(*upstream_);
  server_->Close(ExistingConnections::kClose);
  EXPECT_EQ(upstream_->Receive(), "EOF");
  time().Advance(seconds(30));
  EXPECT_EQ(Reason(), CloseReason::kForced);
  EXPECT_EQ(client.Drain().end, "ECONNRESET");
}

TEST_P(ForwardCloseTest, ResetWhileItLingers) {
  if (GetParam().unix_client || GetParam().unix_upstream) return;
  listener_->ShrinkReceiveBuffers();
  RawClient client = Through();
  FloodBoth(client);
  server_->Close(ExistingConnections::kClose);
  ASSERT_NO_FATAL_FAILURE(ReadUntilBothLinger(client));
  server_->Close(ExistingConnections::kReset);
  EXPECT_EQ(client.Drain().end, "ECONNRESET");
  EXPECT_EQ(upstream_->Drain().end, "ECONNRESET");
  EXPECT_EQ(Reason(), CloseReason::kListenerClosed);
}

// They run from the close on, not from where the kernel alone has the rest.
TEST_P(ForwardCloseTest, ItLingersForTheRestOfTheThirtySeconds) {
  if (GetParam().unix_client || GetParam().unix_upstream) return;
  listener_->ShrinkReceiveBuffers();
  RawClient client = Through();
  FloodBoth(client);
  const auto forwarded = connection();
  server_->Close(ExistingConnections::kClose);
  time().Advance(seconds(10));
  ASSERT_NO_FATAL_FAILURE(ReadUntilBothLinger(client));
  time().Advance(seconds(19));
  Settle();
  ASSERT_TRUE(forwarded->is_open());
  time().Advance(seconds(1));
  Settle();
  EXPECT_FALSE(forwarded->is_open());
  EXPECT_EQ(Reason(), CloseReason::kForced);
  EXPECT_EQ(client.Drain().end, "ECONNRESET");
}

// It reads nothing, and has nothing unread that would make a reset of a close.
TEST_P(ForwardCloseTest, ResetWhileOnlyTheUpstreamLingers) {
  if (GetParam().unix_client || GetParam().unix_upstream) return;
  listener_->ShrinkReceiveBuffers();
  RawClient client = Through();
  ASSERT_NO_FATAL_FAILURE(CloseUntilTheUpstreamLingers(client));
  server_->Close(ExistingConnections::kReset);
  EXPECT_EQ(upstream_->Drain().end, "ECONNRESET");
  EXPECT_EQ(Reason(), CloseReason::kListenerClosed);
}

// What the upstream has lost was not sent to the client.
TEST_P(ForwardCloseTest, WhatAnUpstreamLosesThatResetsIsNoneOfTheBytesSent) {
  if (GetParam().unix_client || GetParam().unix_upstream) return;
  listener_->ShrinkReceiveBuffers();
  RawClient client = Through();
  upstream_->Send("hello");
  EXPECT_EQ(client.ReceiveExactly(5), "hello");
  const auto forwarded = connection();
  ASSERT_NO_FATAL_FAILURE(CloseUntilTheUpstreamLingers(client));
  upstream_->Reset();
  EXPECT_EQ(Reason(), CloseReason::kListenerClosed);
  EXPECT_EQ(forwarded->bytes_sent(), 5);
}

TEST_P(ForwardCloseTest, WhereOnlyTheUpstreamLingersItIsForcedToEnd) {
  if (GetParam().unix_client || GetParam().unix_upstream) return;
  listener_->ShrinkReceiveBuffers();
  RawClient client = Through();
  upstream_->Send("hello");
  EXPECT_EQ(client.ReceiveExactly(5), "hello");
  const auto forwarded = connection();
  ASSERT_NO_FATAL_FAILURE(CloseUntilTheUpstreamLingers(client));
  upstream_->Send("late");
  Settle();
  time().Advance(seconds(29));
  Settle();
  EXPECT_TRUE(forwarded->is_open());
  time().Advance(seconds(1));
  EXPECT_EQ(Reason(), CloseReason::kForced);
  EXPECT_EQ(upstream_->Drain().end, "ECONNRESET");
  EXPECT_EQ(forwarded->bytes_sent(), 5);
}

TEST_P(ForwardCloseTest, TooOldBothAreReset) {
  RawClient client = Through(WithAge(seconds(10)));
  Flood(*upstream_);
  time().Advance(seconds(11));
  EXPECT_EQ(Reason(), CloseReason::kBufferAge);
  if (!GetParam().unix_client) {
    EXPECT_EQ(client.Drain().end, "ECONNRESET");
  }
  if (!GetParam().unix_upstream) {
    EXPECT_EQ(upstream_->Drain().end, "ECONNRESET");
  }
}

// It has got all that the client had to say: that is no cut.
TEST_P(ForwardCloseTest, TooOldTheUpstreamHasItsEnd) {
  if (GetParam().unix_client) return;
  RawClient client = Through(WithAge(seconds(10)));
  client.Send("all");
  client.CloseSending();
  EXPECT_EQ(upstream_->ReceiveExactly(3), "all");
  Flood(*upstream_);
  time().Advance(seconds(11));
  EXPECT_EQ(Reason(), CloseReason::kBufferAge);
  EXPECT_EQ(client.Drain().end, "ECONNRESET");
  EXPECT_EQ(upstream_->Receive(), "EOF");
}

TEST_P(ForwardCloseTest, AtShutdownBothAreReset) {
  RawClient client = Through();
  client.Send("up");
  EXPECT_EQ(upstream_->ReceiveExactly(2), "up");
  CloseForShutdown();
  if (!GetParam().unix_client) {
    EXPECT_EQ(client.Receive(), "ECONNRESET");
  }
  if (!GetParam().unix_upstream) {
    EXPECT_EQ(upstream_->Receive(), "ECONNRESET");
  }
  EXPECT_EQ(Reason(), CloseReason::kShutdown);
}

TEST_P(ForwardCloseTest, AtShutdownTheSideThatHasAllHasItsEnd) {
  if (GetParam().unix_client) return;
  RawClient client = Through();
  client.Send("all");
  client.CloseSending();
  EXPECT_EQ(upstream_->ReceiveExactly(3), "all");
  EXPECT_EQ(upstream_->Receive(), "EOF");
  CloseForShutdown();
  EXPECT_EQ(client.Receive(), "ECONNRESET");
  Settle();
  EXPECT_EQ(upstream_->Peek(), "EOF");
}

class HandlersCloseTest : public HandlersFixture {};

TEST_F(HandlersCloseTest, EchoGetsAllBackThoughItSendsOn) {
  AnyServer& server = Serve(server::EchoHandler());
  RawClient client = ClientOf(server);
  Flood(client);
  const auto echoed = server.connections().begin()->second;
  server.Close(ExistingConnections::kClose);
  Flood(client);
  const RawClient::Drained drained = client.Drain();
  EXPECT_EQ(drained.end, "EOF");
  EXPECT_EQ(static_cast<int64_t>(drained.bytes), echoed->bytes_sent());
  EXPECT_EQ(ClosedReasons(1).at(0), CloseReason::kListenerClosed);
}

// As the original has it: FIN.
TEST_F(HandlersCloseTest, EchoIsFlushedAtShutdown) {
  AnyServer& server = Serve(server::EchoHandler());
  RawClient client = ClientOf(server);
  client.Send("x");
  EXPECT_EQ(client.ReceiveExactly(1), "x");
  server.CloseAs(ExistingConnections::kClose, CloseCause::kShutdown,
                 CloseReason::kShutdown);
  EXPECT_EQ(client.Receive(), "EOF");
}

TEST_F(HandlersCloseTest, DiscardEndsThoughItsPeerSendsOn) {
  AnyServer& server = Serve(server::DiscardHandler());
  RawClient client = ClientOf(server);
  RunUntil([&] { return server.num_connections() == 1; });
  EXPECT_TRUE(SendNow(client, std::string(100'000, 'x')));
  server.Close(ExistingConnections::kClose);
  EXPECT_TRUE(SendNow(client, std::string(100'000, 'x')));
  EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_EQ(ClosedReasons(1).at(0), CloseReason::kListenerClosed);
}

TEST_F(HandlersCloseTest, NoDelayMayBeLeftOff) {
  for (const bool no_delay : {true, false}) {
    ServerOptions options;
    options.socket_options.no_delay = no_delay;
    AnyServer& server = Serve(server::EchoHandler(), std::move(options));
    RawClient client = ClientOf(server);
    for (int i = 0; i < 3; ++i) {
      client.Send("x");
      EXPECT_EQ(client.ReceiveExactly(1), "x");
    }
    EXPECT_EQ(NoDelayOf(client.local_address()), no_delay);
  }
}

}  // namespace
}  // namespace portreeve::testing
