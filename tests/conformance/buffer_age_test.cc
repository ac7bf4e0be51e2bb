// Scenarios (h): the greatest age of a Writer's unflushed bytes.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/connect_fixture.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {
namespace {

// How much later than the limit it may fire, and does not yet before.
constexpr milliseconds kJust{1};
constexpr milliseconds kTolerance{100};

// A server with the limit, whose handler the test steers, and a client that
// does not read.
class BufferAge : public InetServerTest {
 protected:
  void CreateWith(std::optional<BufferAgeLimit> limit) {
    ServerOptions options;
    if (limit) options.buffer_age_limit = *limit;
    auto on_error = [this](const Inet::Address&, std::exception_ptr error) {
      handler_errors_.push_back(DescribeException(error));
    };
    server_ = &Create(Steered(), options, CallHandlerError<Inet>{on_error});
    client_.emplace(ConnectedClient(*server_));
    call_ = &WaitForCall(0);
  }
  void CreateWith(Duration limit) { CreateWith(BufferAgeLimit::AtMost(limit)); }

  // It must fire within kTolerance after `limit`, and not before.
  void ExpectFiresAt(Duration limit) {
    const Deferred<> closed = writer().close_finished();
    Settle();
    time().Advance(limit - kJust);
    Settle();
    EXPECT_TRUE(handler_errors_.empty());
    EXPECT_FALSE(closed.determined());
    EXPECT_EQ(server().num_connections(), 1);
    time().Advance(kJust + kTolerance);
    Settle();
    EXPECT_TRUE(closed.determined());
    EXPECT_EQ(server().num_connections(), 0);
    // Without its handler, the Writer is gone by now.
    if (call().over) return;
    EXPECT_TRUE(writer().is_closed());
    EXPECT_GT(writer().bytes_to_write(), 0u);
    EXPECT_THROW(writer().Write("more"), StatusError);
  }

  void ExpectPartThenEof() {
    const RawClient::Drained drained = client().Drain();
    EXPECT_GT(drained.bytes, 0u);
    EXPECT_LT(drained.bytes, kLargeWrite);
    EXPECT_EQ(drained.end, "EOF");
  }

  Server<Inet>& server() { return *server_; }
  RawClient& client() { return *client_; }
  Call& call() { return *call_; }
  Writer& writer() { return *call_->writer; }
  std::vector<std::string> handler_errors_;

 private:
  Server<Inet>* server_ = nullptr;
  std::optional<RawClient> client_;
  Call* call_ = nullptr;
};

// In the original, it fires after 2 s, and the text holds up to 1024 bytes of
// user data.
TEST_F(BufferAge, H1_TheHandlerWaitsForEver) {
  CreateWith(milliseconds(200));
  writer().Write(std::string(kLargeWrite, 'x'));
  ExpectFiresAt(milliseconds(200));
  EXPECT_FALSE(call().over);
  EXPECT_EQ(handler_errors_, std::vector<std::string>{
                                 "writer buffer has data older than 200ms"});
  ExpectPartThenEof();
}

// In the original, flushed is never determined.
TEST_F(BufferAge, H2_TheHandlerWaitsForTheFlush) {
  CreateWith(milliseconds(200));
  writer().Write(std::string(kLargeWrite, 'x'));
  const Deferred<FlushResult> flushed = writer().Flushed();
  ExpectFiresAt(milliseconds(200));
  ASSERT_TRUE(flushed.determined());
  EXPECT_EQ(flushed.value(), FlushResult::kLost);
  EXPECT_EQ(handler_errors_, std::vector<std::string>{
                                 "writer buffer has data older than 200ms"});
}

TEST_F(BufferAge, H3_TheHandlerHasReturned) {
  CreateWith(milliseconds(200));
  writer().Write(std::string(kLargeWrite, 'x'));
  call().end.Fill("");
  Settle();
  EXPECT_TRUE(writer().is_closed());
  ExpectFiresAt(milliseconds(200));
  EXPECT_TRUE(call().over);
  EXPECT_TRUE(handler_errors_.empty());
  // The error that nobody awaits is not lost (C6).
  EXPECT_EQ(TakeErrors(), std::vector<std::string>{
                              "writer buffer has data older than 200ms"});
  ExpectPartThenEof();
}

TEST_F(BufferAge, H4_Unlimited) {
  CreateWith(BufferAgeLimit::Unlimited());
  writer().Write(std::string(kLargeWrite, 'x'));
  Settle();
  time().Advance(std::chrono::hours(24 * 365));
  Settle();
  EXPECT_EQ(server().num_connections(), 1);
  EXPECT_FALSE(writer().is_closed());
  EXPECT_GT(writer().bytes_to_write(), 0u);
  writer().Write("!");
  const std::string received = client().ReceiveExactly(kLargeWrite + 1);
  EXPECT_EQ(received.size(), kLargeWrite + 1);
  EXPECT_EQ(client().Peek(), "nothing");
  EXPECT_TRUE(handler_errors_.empty());
}

TEST_F(BufferAge, H6_ProgressDoesNotResetTheAge) {
  CreateWith(milliseconds(2500));
  writer().Write(std::string(kLargeWrite, 'x'));
  size_t received = 0;
  for (int i = 0; i < 24; ++i) {
    time().Advance(milliseconds(100));
    received += client().ReceiveExactly(100'000).size();
    Settle();
    ASSERT_FALSE(writer().is_closed());
  }
  EXPECT_EQ(received, 2'400'000u);
  EXPECT_GT(writer().bytes_to_write(), 0u);
  ExpectFiresAt(milliseconds(100));
  EXPECT_EQ(handler_errors_,
            std::vector<std::string>{"writer buffer has data older than 2.5s"});
}

// The age is that of the oldest unflushed byte, not of the first byte ever.
TEST_F(BufferAge, H6_WhatIsFlushedDoesNotCount) {
  CreateWith(seconds(1));
  for (int i = 0; i < 10; ++i) {
    writer().Write(std::string(100'000, 'x'));
    time().Advance(milliseconds(600));
    EXPECT_EQ(client().ReceiveExactly(100'000).size(), 100'000u);
    Settle();
    EXPECT_EQ(writer().bytes_to_write(), 0u);
  }
  EXPECT_EQ(time().earliest(), TimePoint::max());
  EXPECT_TRUE(handler_errors_.empty());
  writer().Write(std::string(kLargeWrite, 'x'));
  ExpectFiresAt(seconds(1));
}

TEST_F(BufferAge, H6_TheLaterOfTwoWritesIsNotTheOlder) {
  CreateWith(seconds(1));
  writer().Write(std::string(kLargeWrite, 'x'));
  Settle();
  time().Advance(milliseconds(900));
  writer().Write(std::string(kLargeWrite, 'x'));
  EXPECT_EQ(client().ReceiveExactly(kLargeWrite).size(), kLargeWrite);
  Settle();
  ExpectFiresAt(seconds(1));
}

TEST_F(BufferAge, H7_At3s) {
  CreateWith(seconds(3));
  writer().Write(std::string(kLargeWrite, 'x'));
  ExpectFiresAt(seconds(3));
  EXPECT_EQ(handler_errors_,
            std::vector<std::string>{"writer buffer has data older than 3s"});
  ExpectPartThenEof();
}

TEST_F(BufferAge, H8_TheDefaultIs2Minutes) {
  CreateWith(std::nullopt);
  writer().Write(std::string(kLargeWrite, 'x'));
  ExpectFiresAt(std::chrono::minutes(2));
  EXPECT_EQ(handler_errors_,
            std::vector<std::string>{"writer buffer has data older than 2m"});
  ExpectPartThenEof();
}

class BufferAgeOfWithConnection : public ConnectFixture {};

// In the original, f runs on.
TEST_F(BufferAgeOfWithConnection, H5_FIsCancelledAndJoined) {
  listener().ShrinkReceiveBuffers();
  const Ivar<> never(executor());
  const Ivar<> release(executor());
  bool cancelled = false;
  bool left = false;
  auto f = [&](Socket<Inet>, Reader&, Writer& writer) -> Task<> {
    writer.Write(std::string(kLargeWrite, 'x'));
    (void)co_await never.deferred().Wait(kTuple);
    co_await asio::this_coro::reset_cancellation_state();
    cancelled = true;
    co_await release.deferred().Wait();
    left = true;
  };
  const auto outcome = StartWatched(WithConnection<Inet>(
      where(), WithAgeLimit(BufferAgeLimit::AtMost(milliseconds(200))), f));
  RawClient peer = listener().Accept();
  Settle();
  time().Advance(milliseconds(200) - kJust);
  Settle();
  EXPECT_FALSE(cancelled);
  time().Advance(kJust + kTolerance);
  Settle();
  EXPECT_TRUE(cancelled);
  EXPECT_FALSE(outcome->ended);
  release.Fill();
  ASSERT_TRUE(RunToEnd(outcome));
  EXPECT_TRUE(left);
  EXPECT_EQ(outcome->text(), "writer buffer has data older than 200ms");
  EXPECT_EQ(StatusOf(outcome->error).code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(peer.Drain().end, "EOF");
}

TEST_F(BufferAgeOfWithConnection, H5_TheSameForConnect) {
  listener().ShrinkReceiveBuffers();
  Pair pair =
      ConnectPair(WithAgeLimit(BufferAgeLimit::AtMost(milliseconds(200))));
  pair.writer().Write(std::string(kLargeWrite, 'x'));
  Settle();
  time().Advance(milliseconds(200) - kJust);
  Settle();
  EXPECT_FALSE(pair.writer().is_closed());
  time().Advance(kJust + kTolerance);
  Settle();
  EXPECT_TRUE(pair.writer().is_closed());
  EXPECT_EQ(pair.connection->socket.reason(), CloseReason::kBufferAge);
  EXPECT_EQ(TakeErrors(), std::vector<std::string>{
                              "writer buffer has data older than 200ms"});
}

}  // namespace
}  // namespace portreeve::testing
