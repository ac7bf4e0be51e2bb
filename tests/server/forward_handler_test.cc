// The handler forward, between a client and an upstream that are plain sockets.
#include <gtest/gtest.h>

#include <optional>

#include "server/handlers.h"
#include "tests/server/handlers_fixture.h"
#include "tests/testing/raw_listener.h"

namespace portreeve::server {
namespace {

using testing::RawClient;
using testing::RawListener;

class ForwardTest : public testing::HandlersFixture {
 protected:
  ForwardTest()
      : listener_(loop(), [this](const std::function<bool()>& condition) {
          return RunUntil(condition);
        }) {}

  ForwardOptions ToUpstream() {
    ForwardOptions options;
    options.upstream = listener_.where();
    options.on_connected = [this](int64_t id, const AnyAddress& address) {
      EXPECT_EQ(id, server_->connections().begin()->first);
      connected_to_ = address;
    };
    return options;
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
}

TEST_F(ForwardTest, HoldsLittleForASideThatDoesNotRead) {
  RawClient client = Through();
  client.ShrinkReceiveBuffer();
  Flood(*upstream_);
  EXPECT_GT(connection().bytes_to_write(), 0u);
  EXPECT_LE(connection().bytes_to_write(), 32u * 1024);
}

TEST_F(ForwardTest, AClientThatDoesNotReadIsClosedAndTheUpstreamReset) {
  ServerOptions options;
  options.buffer_age_limit = BufferAgeLimit::AtMost(std::chrono::seconds(10));
  RawClient client = Through(std::move(options));
  client.ShrinkReceiveBuffer();
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
