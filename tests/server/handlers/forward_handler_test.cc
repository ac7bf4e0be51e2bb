// The handler forward, between a client and an upstream that are plain sockets.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "lib/base/descriptor.h"
#include "lib/base/status.h"
#include "server/handlers/handlers.h"
#include "tests/server/handlers_fixture.h"
#include "tests/testing/deaf_listener.h"
#include "tests/testing/raw_listener.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::server {
namespace {

using testing::DeafListener;
using testing::RawClient;
using testing::RawListener;
using testing::TemporaryFolder;

// The descriptor of this process whose peer is `address`; -1 if there is none.
int DescriptorConnectedTo(const Inet::Address& address) {
  for (int fd = 0; fd < 1024; ++fd) {
    Inet::Address peer;
    auto size = static_cast<socklen_t>(peer.capacity());
    if (getpeername(fd, peer.data(), &size) != 0) continue;
    if (peer == address) return fd;
  }
  return -1;
}

int OptionOf(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof(value);
  (void)getsockopt(fd, level, name, &value, &size);
  return value;
}

int KeepaliveOf(int fd) { return OptionOf(fd, SOL_SOCKET, SO_KEEPALIVE); }

class ForwardTest : public testing::HandlersFixture {
 protected:
  ForwardTest()
      : listener_(loop(), [this](const std::function<bool()>& condition) {
          return RunUntil(condition);
        }) {}

  ForwardOptions ToUpstream() {
    ForwardOptions options;
    options.upstream = listener_.where();
    options.on_connected = [this](int64_t id,
                                  std::shared_ptr<const AnyAddress> address) {
      EXPECT_EQ(id, server_->connections().begin()->first);
      connected_to_ = *address;
    };
    TellOfFailure(options);
    return options;
  }

  void TellOfFailure(ForwardOptions& options) {
    options.on_unreached = [this](int64_t id, const absl::Status& why,
                                  std::shared_ptr<const AnyAddress> tried) {
      EXPECT_EQ(id, server_->connections().begin()->first);
      EXPECT_TRUE(unreached_.empty());
      const ErrorDetail detail = DetailOf(why);
      unreached_ = absl::StrCat(ReasonName(detail.reason), " ",
                                detail.error_number, " ", why.message());
      if (tried) tried_ = *tried;
    };
  }

  // Connects a client.
  RawClient Forward(ForwardOptions forward, ServerOptions options = {}) {
    server_ = &Serve(ForwardHandler(std::move(forward)), std::move(options));
    return ClientOf(*server_);
  }
  // ... through to upstream_.
  RawClient Through(ServerOptions options = {}) {
    RawClient client = Forward(ToUpstream(), std::move(options));
    upstream_.emplace(listener_.Accept());
    RunUntil([&] { return connected_to_.has_value(); });
    EXPECT_EQ(*connected_to_, AnyAddress(listener_.inet_address()));
    return client;
  }

  // Why the client's connection was closed, once it is.
  CloseReason Reason() { return ClosedReasons(1).at(0); }

  const AnyConnection& connection() {
    return *server_->connections().begin()->second;
  }

  RawListener listener_;
  AnyServer* server_ = nullptr;
  std::optional<AnyAddress> connected_to_;
  // "REASON ERRNO MESSAGE", and what was tried.
  std::string unreached_;
  std::optional<AnyAddress> tried_;
  std::optional<RawClient> upstream_;
};

TEST_F(ForwardTest, CopiesBothWaysAndTheClientEndsFirst) {
  RawClient client = Through();
  client.Send("up");
  EXPECT_EQ(upstream_->ReceiveExactly(2), "up");
  client.CloseSending();
  EXPECT_EQ(upstream_->Receive(), "EOF");
  upstream_->Send("down");
  EXPECT_EQ(client.ReceiveExactly(4), "down");
  Settle();
  EXPECT_EQ(client.Peek(), "nothing");
  upstream_->Close();
  EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_EQ(Reason(), CloseReason::kPeerClosed);
}

TEST_F(ForwardTest, TheUpstreamEndsFirst) {
  RawClient client = Through();
  upstream_->Send("down");
  upstream_->CloseSending();
  EXPECT_EQ(client.ReceiveExactly(4), "down");
  EXPECT_EQ(client.Receive(), "EOF");
  client.Send("up");
  EXPECT_EQ(upstream_->ReceiveExactly(2), "up");
  client.Close();
  EXPECT_EQ(upstream_->Receive(), "EOF");
  EXPECT_EQ(Reason(), CloseReason::kUpstreamClosed);
}

TEST_F(ForwardTest, WhatTheClientSentBeforeItWasConnectedArrives) {
  RawClient client = Forward(ToUpstream());
  client.Send("early");
  client.CloseSending();
  upstream_.emplace(listener_.Accept());
  EXPECT_EQ(upstream_->ReceiveExactly(5), "early");
  EXPECT_EQ(upstream_->Receive(), "EOF");
  upstream_->Close();
  EXPECT_EQ(client.Receive(), "EOF");
}

// What it says is there when epoll tells that it is connected.
TEST_F(ForwardTest, AnUpstreamMaySpeakFirst) {
  RawClient client = Forward(ToUpstream());
  RunUntil([&] {
    auto accepted = listener_.TryAccept();
    if (!accepted) return false;
    upstream_.emplace(std::move(*accepted));
    return upstream_->Send("welcome") == "ok";
  });
  EXPECT_EQ(client.ReceiveExactly(7), "welcome");
}

TEST_F(ForwardTest, AResetOfTheUpstreamResetsTheClient) {
  RawClient client = Through();
  upstream_->Reset();
  EXPECT_EQ(client.Receive(), "ECONNRESET");
  EXPECT_EQ(Reason(), CloseReason::kUpstreamReset);
}

TEST_F(ForwardTest, AResetOfTheClientResetsTheUpstream) {
  RawClient client = Through();
  client.Reset();
  EXPECT_EQ(upstream_->Receive(), "ECONNRESET");
  EXPECT_EQ(Reason(), CloseReason::kPeerReset);
}

// After a FIN nobody reads from that side any more.
TEST_F(ForwardTest, AResetAfterTheClientsFinResetsTheUpstream) {
  RawClient client = Through();
  client.CloseSending();
  EXPECT_EQ(upstream_->Receive(), "EOF");
  upstream_->Send("on its way");
  EXPECT_EQ(client.ReceiveExactly(10), "on its way");
  client.Reset();
  EXPECT_EQ(Reason(), CloseReason::kPeerClosed);
  ExpectReset(*upstream_);
}

TEST_F(ForwardTest, AResetAfterTheUpstreamsFinResetsTheClient) {
  RawClient client = Through();
  upstream_->CloseSending();
  EXPECT_EQ(client.Receive(), "EOF");
  client.Send("up");
  EXPECT_EQ(upstream_->ReceiveExactly(2), "up");
  upstream_->Reset();
  EXPECT_EQ(Reason(), CloseReason::kUpstreamClosed);
  ExpectReset(client);
}

// Nobody reads from the client while the upstream takes nothing.
TEST_F(ForwardTest, AResetBehindAStalledUpstreamIsSeenAtOnce) {
  listener_.ShrinkReceiveBuffers();
  RawClient client = Through();
  Flood(client);
  EXPECT_EQ(client.Peek(), "nothing");
  client.Reset();
  EXPECT_EQ(Reason(), CloseReason::kPeerReset);
  EXPECT_EQ(upstream_->Drain().end, "ECONNRESET");
}

TEST_F(ForwardTest, AnUpstreamThatRefusesResetsTheClient) {
  listener_.Close();
  RawClient client = Forward(ToUpstream());
  EXPECT_EQ(client.Receive(), "ECONNRESET");
  EXPECT_EQ(Reason(), CloseReason::kUpstreamUnreachable);
  EXPECT_EQ(unreached_, absl::StrCat("CONNECT_REFUSED 111 connect ",
                                     ToString(listener_.inet_address()),
                                     ": Connection refused"));
  EXPECT_EQ(tried_, AnyAddress(listener_.inet_address()));
}

// Its last address is the one that was tried last.
TEST_F(ForwardTest, ANameThatRefusesIsToldWithTheAddress) {
  const int port = listener_.inet_address().port();
  ForwardOptions options = ToUpstream();
  auto where = WhereToConnect<Inet>::OfHostAndPort("localhost", port);
  where.bind_to_address = asio::ip::address_v4::loopback();  // IPv4 only.
  options.upstream = where;
  listener_.Close();
  RawClient client = Forward(std::move(options));
  EXPECT_EQ(client.Receive(), "ECONNRESET");
  EXPECT_EQ(Reason(), CloseReason::kUpstreamUnreachable);
  EXPECT_EQ(unreached_, absl::StrCat("CONNECT_REFUSED 111 connect tcp:127.0.0.1"
                                     ":",
                                     port, ": Connection refused"));
  EXPECT_EQ(tried_, AnyAddress(Inet::Address(asio::ip::address_v4::loopback(),
                                             static_cast<uint16_t>(port))));
}

TEST_F(ForwardTest, AFileThatIsMissingIsRefused) {
  TemporaryFolder folder;
  const std::string path = folder.File("missing");
  ForwardOptions options = ToUpstream();
  options.upstream = WhereToConnect<Unix>::OfFile(path);
  RawClient client = Forward(std::move(options));
  EXPECT_EQ(client.Receive(), "ECONNRESET");
  EXPECT_EQ(Reason(), CloseReason::kUpstreamUnreachable);
  EXPECT_EQ(unreached_, "CONNECT_REFUSED 2 connect unix:" + path +
                            ": No such file or directory");
  EXPECT_EQ(tried_, AnyAddress(Unix::Address(path)));
}

// Whoever opens the file for the handler finds out first that it is missing.
TEST_F(ForwardTest, AFileThatCannotBeOpenedWasTriedUnlessItIsRefused) {
  TemporaryFolder folder;
  const std::string path = folder.File("s");
  for (const bool is_refused : {false, true}) {
    ForwardOptions options = ToUpstream();
    options.upstream = WhereToConnect<Unix>::OfFile(path);
    options.open = [=](const Unix::Address&) -> absl::StatusOr<Descriptor> {
      if (is_refused) return absl::PermissionDeniedError("outside the policy");
      return ErrnoError(ENOENT, "connect", "unix:" + path);
    };
    unreached_.clear();
    tried_.reset();
    RawClient client = Forward(std::move(options));
    EXPECT_EQ(client.Receive(), "ECONNRESET");
    RunUntil([&] { return server_->num_connections() == 0; });
    EXPECT_EQ(unreached_, is_refused
                              ? " 0 outside the policy"
                              : "CONNECT_REFUSED 2 connect unix:" + path +
                                    ": No such file or directory");
    EXPECT_EQ(tried_.has_value(), !is_refused);
  }
}

// What ends a connection that does not connect yet is no failure of the
// upstream.
TEST_F(ForwardTest, WhoIsClosedWhileItConnectsHasNoFailure) {
  DeafListener deaf;
  ForwardOptions options = ToUpstream();
  options.upstream = WhereToConnect<Inet>::OfInetAddress(deaf.address());
  RawClient client = Forward(std::move(options));
  RunUntil([&] { return server_->num_connections() == 1; });
  server_->Close(ExistingConnections::kClose);
  EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_EQ(Reason(), CloseReason::kListenerClosed);
  EXPECT_EQ(unreached_, "");
}

TEST_F(ForwardTest, AnAddressThatIsNotAdmittedIsUnreachable) {
  ForwardOptions options = ToUpstream();
  options.admit = [](const Inet::Address&) {
    return absl::PermissionDeniedError("outside the policy");
  };
  RawClient client = Forward(std::move(options));
  EXPECT_EQ(client.Receive(), "ECONNRESET");
  EXPECT_EQ(Reason(), CloseReason::kUpstreamUnreachable);
  EXPECT_FALSE(listener_.TryAccept().has_value());
  EXPECT_EQ(unreached_, " 0 outside the policy");
  EXPECT_FALSE(tried_.has_value());
}

TEST_F(ForwardTest, HoldsLittleForASideThatDoesNotRead) {
  RawClient client = Through();
  Flood(*upstream_);
  EXPECT_GT(connection().bytes_to_write(), 0u);
  // The contract's bound; how much of it depends on what the kernel takes last.
  EXPECT_LE(connection().bytes_to_write(), 64u * 1024);
}

TEST_F(ForwardTest, AClientThatDoesNotReadIsClosedAndTheUpstreamReset) {
  ServerOptions options;
  options.buffer_age_limit = BufferAgeLimit::AtMost(std::chrono::seconds(10));
  RawClient client = Through(std::move(options));
  Flood(*upstream_);
  time().Advance(std::chrono::seconds(11));
  EXPECT_EQ(Reason(), CloseReason::kBufferAge);
  EXPECT_EQ(upstream_->Receive(), "ECONNRESET");
  EXPECT_FALSE(server_->is_closed());
}

TEST_F(ForwardTest, AnUpstreamThatDoesNotReadIsClosedAndTheClientReset) {
  listener_.ShrinkReceiveBuffers();
  ForwardOptions options = ToUpstream();
  options.buffer_age_limit = BufferAgeLimit::AtMost(std::chrono::seconds(10));
  RawClient client = Forward(std::move(options));
  upstream_.emplace(listener_.Accept());
  Flood(client);
  time().Advance(std::chrono::seconds(11));
  EXPECT_EQ(Reason(), CloseReason::kBufferAge);
  EXPECT_EQ(client.Drain().end, "ECONNRESET");
}

TEST_F(ForwardTest, ClosedInOrderTheUpstreamSeesItsEnd) {
  RawClient client = Through();
  client.Send("up");
  EXPECT_EQ(upstream_->ReceiveExactly(2), "up");
  server_->Close(ExistingConnections::kClose);
  EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_EQ(upstream_->Receive(), "EOF");
  EXPECT_EQ(Reason(), CloseReason::kListenerClosed);
  EXPECT_TRUE(RunUntil(server_->close_finished_and_handlers_determined()));
}

TEST_F(ForwardTest, ResetFromInsideTheUpstreamIsResetToo) {
  RawClient client = Through();
  server_->Close(ExistingConnections::kReset);
  EXPECT_EQ(client.Receive(), "ECONNRESET");
  EXPECT_EQ(upstream_->Receive(), "ECONNRESET");
  EXPECT_EQ(Reason(), CloseReason::kListenerClosed);
}

TEST_F(ForwardTest, CopiesMuchUnchangedBothWays) {
  RawClient client = Through();
  for (int i = 0; i < 32; ++i) {
    std::string block(50'000 + 2'000 * i, '\0');
    for (size_t j = 0; j < block.size(); ++j) {
      block[j] = static_cast<char>(j * 37 + j / 241 + i);
    }
    ASSERT_EQ(client.Send(block), "ok");
    ASSERT_EQ(upstream_->ReceiveExactly(block.size()), block);
    ASSERT_EQ(upstream_->Send(block), "ok");
    ASSERT_EQ(client.ReceiveExactly(block.size()), block);
  }
  EXPECT_EQ(connection().bytes_received(), connection().bytes_sent());
}

// A pipe takes as many pieces of memory as it has slots, however small.
TEST_F(ForwardTest, ManySmallSegmentsBehindMuchAllArrive) {
  RawClient client = Through();
  SetNoDelay(client.socket().native_handle());
  // What this sends lies in between in the kernel's memory.
  RawClient other = ClientOf(Serve(DiscardHandler()));
  SetNoDelay(other.socket().native_handle());
  const std::string much(64 * 1024, 'x');
  const std::string little(200, 'y');
  for (int i = 0; i < 20; ++i) {
    client.Send(much);
    ASSERT_EQ(upstream_->ReceiveExactly(much.size()), much);
    size_t size = 0;
    for (int j = 0; j < 200; ++j, size += little.size()) {
      client.Send(little);
      other.Send(little);
    }
    ASSERT_EQ(upstream_->ReceiveExactly(size).size(), size);
  }
}

TEST_F(ForwardTest, AnUpstreamThatDoesNotAnswerIsGivenUpAtTheTimeout) {
  for (const auto timeout :
       {std::chrono::milliseconds(300), std::chrono::milliseconds(5000)}) {
    DeafListener deaf;
    ForwardOptions options;
    options.upstream = WhereToConnect<Inet>::OfInetAddress(deaf.address());
    options.connect_timeout = timeout;
    unreached_.clear();
    TellOfFailure(options);
    RawClient client = Forward(std::move(options));
    RunUntil([&] { return server_->num_connections() == 1; });
    time().Advance(timeout - std::chrono::milliseconds(1));
    Settle();
    EXPECT_EQ(client.Peek(), "nothing");
    time().Advance(std::chrono::milliseconds(1));
    EXPECT_EQ(client.Receive(), "ECONNRESET");
    EXPECT_EQ(Reason(), CloseReason::kUpstreamUnreachable);
    EXPECT_EQ(unreached_, "CONNECT_TIMEOUT 0 connection attempt timeout " +
                              ToString(deaf.address()));
    EXPECT_EQ(tried_, AnyAddress(deaf.address()));
  }
}

// So short connections are spared four system calls.
TEST_F(ForwardTest, TheUpstreamsKeepaliveIsSwitchedOnAfterASecond) {
  RawClient client = Through();
  const int fd = DescriptorConnectedTo(listener_.inet_address());
  ASSERT_GE(fd, 0);
  EXPECT_EQ(KeepaliveOf(fd), 0);
  time().Advance(std::chrono::seconds(1));
  EXPECT_EQ(KeepaliveOf(fd), 1);
}

// Nothing is in flight before, for which a small segment would wait.
TEST_F(ForwardTest, NodelayIsSetBeforeTheSecondMessage) {
  RawClient client = Through();
  const int fd = DescriptorConnectedTo(listener_.inet_address());
  ASSERT_GE(fd, 0);
  client.Send("first");
  EXPECT_EQ(upstream_->ReceiveExactly(5), "first");
  EXPECT_EQ(OptionOf(fd, IPPROTO_TCP, TCP_NODELAY), 0);
  client.Send("second");
  EXPECT_EQ(upstream_->ReceiveExactly(6), "second");
  EXPECT_NE(OptionOf(fd, IPPROTO_TCP, TCP_NODELAY), 0);
}

TEST_F(ForwardTest, AClientThatHasResetIsNotConnectedToTheUpstream) {
  server_ = &Serve(ForwardHandler(ToUpstream()));
  RawClient client = ClientOf(*server_);
  client.Reset();
  EXPECT_EQ(Reason(), CloseReason::kPeerReset);
  EXPECT_FALSE(listener_.TryAccept().has_value());
}

TEST_F(ForwardTest, ReachesAUnixSocket) {
  TemporaryFolder folder;
  const auto run_until = [this](const std::function<bool()>& condition) {
    return RunUntil(condition);
  };
  RawListener listener(loop(), run_until, Unix::Address(folder.File("s")));
  ForwardOptions options;
  options.upstream = listener.where_unix();
  RawClient client = Forward(std::move(options));
  RawClient upstream = listener.Accept();
  client.Send("up");
  EXPECT_EQ(upstream.ReceiveExactly(2), "up");
  upstream.Send("down");
  EXPECT_EQ(client.ReceiveExactly(4), "down");
  upstream.Close();
  EXPECT_EQ(client.Receive(), "EOF");
  client.Close();
  EXPECT_EQ(Reason(), CloseReason::kUpstreamClosed);
}

TEST_F(ForwardTest, ReachesAName) {
  ForwardOptions options = ToUpstream();
  options.upstream = WhereToConnect<Inet>::OfHostAndPort(
      "localhost", listener_.inet_address().port());
  RawClient client = Forward(std::move(options));
  upstream_.emplace(listener_.Accept());
  client.Send("up");
  EXPECT_EQ(upstream_->ReceiveExactly(2), "up");
  upstream_->Send("down");
  EXPECT_EQ(client.ReceiveExactly(4), "down");
  client.Reset();
  EXPECT_EQ(upstream_->Receive(), "ECONNRESET");
  EXPECT_EQ(Reason(), CloseReason::kPeerReset);
}

TEST_F(ForwardTest, ClosedInOrderEachSideGetsWhatWasSentToIt) {
  RawClient client = Through();
  Flood(*upstream_);
  const auto forwarded = server_->connections().begin()->second;
  ASSERT_GT(forwarded->bytes_to_write(), 0u);
  server_->Close(ExistingConnections::kClose);
  const RawClient::Drained drained = client.Drain();
  EXPECT_EQ(drained.end, "EOF");
  EXPECT_EQ(static_cast<int64_t>(drained.bytes), forwarded->bytes_sent());
  EXPECT_EQ(Reason(), CloseReason::kListenerClosed);
}

TEST_F(ForwardTest, ClosedInOrderItIsForcedToEndAfterThirtySeconds) {
  RawClient client = Through();
  Flood(*upstream_);
  server_->Close(ExistingConnections::kClose);
  time().Advance(std::chrono::seconds(29));
  Settle();
  EXPECT_TRUE(connection().is_open());
  time().Advance(std::chrono::seconds(1));
  EXPECT_EQ(Reason(), CloseReason::kForced);
}

TEST_F(ForwardTest, TornDownBothSidesAreClosed) {
  RawClient client = Through();
  Run(server_->TearDown());
  EXPECT_EQ(client.Receive(), "ECONNRESET");
  EXPECT_NE(upstream_->Receive(), "nothing");
}

TEST_F(ForwardTest, TornDownWhileItConnects) {
  // A name that nobody looks up in this step.
  ForwardOptions options;
  options.upstream = WhereToConnect<Inet>::OfHostAndPort("localhost", 1);
  RawClient client = Forward(std::move(options));
  RunUntil([&] { return server_->num_connections() == 1; });
  Run(server_->TearDown());
  EXPECT_EQ(client.Receive(), "ECONNRESET");
}

}  // namespace
}  // namespace portreeve::server
