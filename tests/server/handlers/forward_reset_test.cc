// A reset on one side of a forward is never an end of file on the other, in
// whatever step it comes.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <string>
#include <thread>

#include "lib/base/descriptor.h"
#include "lib/net/close_socket.h"
#include "tests/server/forward_fixture.h"

namespace portreeve::testing {
namespace {

// How many handlers of the loop run between what is sent and the reset.
constexpr int kMostSteps = 8;

class ForwardResetTest : public ForwardFixture {
 protected:
  // The next connection of the same listener.
  RawClient Again() {
    connected_ = false;
    RawClient client = ClientOf(*server_);
    upstream_.emplace(listener_->Accept());
    RunUntil([this] { return connected_; });
    return client;
  }

  // What the other side of a reset has seen.
  static void ExpectNoEnd(const RawClient::Drained& seen, bool is_unix) {
    if (!is_unix) {
      EXPECT_EQ(seen.end, "ECONNRESET");
    }
  }
};

// By whom, for a unix socket has no reset but that of unread bytes.
class ResetByClientTest : public ForwardResetTest {};
INSTANTIATE_TEST_SUITE_P(Tcp, ResetByClientTest,
                         ::testing::ValuesIn(kWithTcpClients), NameOfKind);

class ResetByUpstreamTest : public ForwardResetTest {};
INSTANTIATE_TEST_SUITE_P(Tcp, ResetByUpstreamTest,
                         ::testing::ValuesIn(kWithTcpUpstreams), NameOfKind);

class ResetByUnixTest : public ForwardResetTest {};
INSTANTIATE_TEST_SUITE_P(Unix, ResetByUnixTest,
                         ::testing::ValuesIn(kWithUnixSides), NameOfKind);

TEST_P(ResetByClientTest, OfTheClientAfterALittle) {
  RawClient client = Through();
  for (int steps = 0; steps < kMostSteps; ++steps) {
    client.Send(std::string(2000, 'y'));
    Step(steps);
    client.Reset();
    const RawClient::Drained seen = upstream_->Drain();
    ExpectNoEnd(seen, GetParam().unix_upstream);
    EXPECT_LE(seen.bytes, 2000u);
    EXPECT_EQ(ClosedReasons(static_cast<size_t>(steps) + 1).back(),
              CloseReason::kPeerReset)
        << steps;
    client = Again();
  }
}

TEST_P(ResetByUpstreamTest, OfTheUpstreamAfterALittle) {
  RawClient client = Through();
  for (int steps = 0; steps < kMostSteps; ++steps) {
    upstream_->Send(std::string(2000, 'y'));
    Step(steps);
    upstream_->Reset();
    const RawClient::Drained seen = client.Drain();
    ExpectNoEnd(seen, GetParam().unix_client);
    EXPECT_EQ(ClosedReasons(static_cast<size_t>(steps) + 1).back(),
              CloseReason::kUpstreamReset)
        << steps;
    client = Again();
  }
}

// What is sent to a side that has failed takes its error.
TEST_P(ResetByUpstreamTest, OfTheUpstreamWhileTheClientSends) {
  RawClient client = Through();
  for (int steps = 0; steps < kMostSteps; ++steps) {
    client.Send("a");
    upstream_->Send(std::string(2000, 'y'));
    Step(steps);
    client.Send("b");
    upstream_->Reset();
    ExpectNoEnd(client.Drain(), GetParam().unix_client);
    EXPECT_EQ(ClosedReasons(static_cast<size_t>(steps) + 1).back(),
              CloseReason::kUpstreamReset)
        << steps;
    client = Again();
  }
}

TEST_P(ResetByClientTest, OfTheClientWhileTheUpstreamSends) {
  RawClient client = Through();
  for (int steps = 0; steps < kMostSteps; ++steps) {
    upstream_->Send("a");
    client.Send(std::string(2000, 'y'));
    Step(steps);
    upstream_->Send("b");
    client.Reset();
    ExpectNoEnd(upstream_->Drain(), GetParam().unix_upstream);
    EXPECT_EQ(ClosedReasons(static_cast<size_t>(steps) + 1).back(),
              CloseReason::kPeerReset)
        << steps;
    client = Again();
  }
}

// As another process, it may have done so before epoll is asked at all.
TEST_P(ResetByUpstreamTest, OfAnUpstreamThatIsFaster) {
  constexpr size_t kConnections = 100;
  const Descriptor listening(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Inet::Address address(asio::ip::address_v4::loopback(), 0);
  auto size = static_cast<socklen_t>(address.capacity());
  ASSERT_EQ(bind(listening.get(), address.data(), size), 0);
  ASSERT_EQ(listen(listening.get(), 64), 0);
  ASSERT_EQ(getsockname(listening.get(), address.data(), &size), 0);
  std::thread upstream([fd = listening.get()] {
    for (size_t i = 0; i < kConnections; ++i) {
      const Descriptor accepted(accept4(fd, nullptr, nullptr, SOCK_CLOEXEC));
      (void)send(accepted.get(), "welcome", 7, MSG_NOSIGNAL);
      MakeCloseReset(accepted.get());
    }
  });
  server::ForwardOptions options;
  options.upstream = WhereToConnect<Inet>::OfHostAndPort(
      GetParam().by_name ? "localhost" : "127.0.0.1", address.port());
  RawClient client = Forward(std::move(options));
  for (size_t i = 1; i <= kConnections; ++i) {
    ExpectNoEnd(client.Drain(), GetParam().unix_client);
    EXPECT_EQ(ClosedReasons(i).back(), CloseReason::kUpstreamReset) << i;
    if (i < kConnections) client = ClientOf(*server_);
  }
  upstream.join();
}

// The kernel tells the error of the reset to what is sent to it; that the other
// message was sent is told first, and then there seems to be an end.
TEST_P(ResetByUpstreamTest, BetweenTwoSendsOfARound) {
  RawClient client = Through();
  // From now on the upstream is received from until there is nothing.
  ASSERT_EQ(send(upstream_->socket().native_handle(), "!", 1, MSG_OOB), 1);
  upstream_->Send("x");
  EXPECT_EQ(client.ReceiveExactly(1), "x");
  client.Send("y");
  EXPECT_EQ(upstream_->ReceiveExactly(1), "y");
  RoundHook hook(Poller::Of(loop()), [this] { upstream_->Reset(); });
  upstream_->Send("b");
  client.Send("a");
  hook.Ready();
  ExpectNoEnd(client.Drain(), GetParam().unix_client);
  EXPECT_EQ(Reason(), CloseReason::kUpstreamReset);
}

TEST_P(ResetByClientTest, BetweenTwoSendsOfARound) {
  RawClient client = Through();
  // From now on the client is received from until there is nothing.
  ASSERT_EQ(send(client.socket().native_handle(), "!", 1, MSG_OOB), 1);
  client.Send("x");
  EXPECT_EQ(upstream_->ReceiveExactly(1), "x");
  upstream_->Send("y");
  EXPECT_EQ(client.ReceiveExactly(1), "y");
  RoundHook hook(Poller::Of(loop()), [&] { client.Reset(); });
  client.Send("b");
  upstream_->Send("a");
  hook.Ready();
  ExpectNoEnd(upstream_->Drain(), GetParam().unix_upstream);
  EXPECT_EQ(Reason(), CloseReason::kPeerReset);
}

TEST_P(ResetByClientTest, AmidAStreamOfSmallWrites) {
  RawClient client = Through();
  for (int writes = 1; writes < 40; ++writes) {
    for (int i = 0; i < writes; ++i) {
      client.Send(std::string(100, 'y'));
      Step(i % 3);
    }
    client.Reset();
    ExpectNoEnd(upstream_->Drain(), GetParam().unix_upstream);
    EXPECT_EQ(ClosedReasons(static_cast<size_t>(writes)).back(),
              CloseReason::kPeerReset)
        << writes;
    client = Again();
  }
}

// It was connected: that is not the same as unreachable.
TEST_P(ResetByUpstreamTest, OfAnUpstreamThatHasSpokenFirst) {
  RawClient client = Forward();
  RunUntil([&] {
    auto accepted = listener_->TryAccept();
    if (!accepted) return false;
    accepted->Send(std::string(2000, 'y'));
    accepted->Reset();
    return true;
  });
  ExpectNoEnd(client.Drain(), GetParam().unix_client);
  EXPECT_EQ(Reason(), CloseReason::kUpstreamReset);
}

// Before anybody has read the end: the kernel has both.
TEST_P(ResetByClientTest, RightAfterTheClientsEnd) {
  RawClient client = Through();
  client.Send(std::string(2000, 'y'));
  client.CloseSending();
  client.Reset();
  ExpectNoEnd(upstream_->Drain(), GetParam().unix_upstream);
  EXPECT_EQ(Reason(), CloseReason::kPeerReset);
}

// In a flush nothing is read any more from either side.
TEST_P(ResetByClientTest, OfTheClientWhileItIsFlushed) {
  listener_->ShrinkReceiveBuffers();
  RawClient client = Through();
  Flood(client);
  server_->Close(ExistingConnections::kClose);
  Settle();
  ASSERT_TRUE(connection()->is_open());
  client.Reset();
  EXPECT_EQ(Reason(), CloseReason::kListenerClosed);
  ExpectNoEnd(upstream_->Drain(), GetParam().unix_upstream);
}

// All that epoll tells of a unix client's close is a hang-up, as of a reset.
TEST_P(ResetByUnixTest, IsNotAClientThatHasSentAllAndClosed) {
  if (!GetParam().unix_client) return;
  for (const char* host : {"127.0.0.1", "localhost"}) {
    server::ForwardOptions options = ToUpstream();
    options.upstream = WhereToConnect<Inet>::OfHostAndPort(
        host, listener_->inet_address().port());
    RawClient client = Forward(std::move(options));
    client.Send("all of it");
    client.Close();
    upstream_.emplace(listener_->Accept());
    EXPECT_EQ(upstream_->ReceiveExactly(9), "all of it");
    EXPECT_EQ(upstream_->Receive(), "EOF");
    upstream_->Close();
  }
  EXPECT_EQ(ClosedReasons(2).back(), CloseReason::kPeerClosed);
}

// Closed with bytes unread, which is what there is of a reset.
TEST_P(ResetByUnixTest, ShowsOnTheOtherSide) {
  RawClient client = Through();
  RawClient& resets = GetParam().unix_client ? client : *upstream_;
  RawClient& other = GetParam().unix_client ? *upstream_ : client;
  other.Send("never read");
  RunUntil([&] {
    pollfd readable{resets.socket().native_handle(), POLLIN, 0};
    return poll(&readable, 1, 0) == 1;
  });
  resets.Send("last");
  resets.Close();
  EXPECT_EQ(other.Drain().end, "ECONNRESET");
  EXPECT_EQ(Reason(), GetParam().unix_client ? CloseReason::kPeerReset
                                             : CloseReason::kUpstreamReset);
}

}  // namespace
}  // namespace portreeve::testing
