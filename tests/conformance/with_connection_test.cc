// Scenarios (f): with_connection.
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/testing/connect_fixture.h"

namespace portreeve::testing {
namespace {

using Body = std::function<Task<int>(Socket<Inet>, Reader&, Writer&)>;

class WithConnection : public ConnectFixture {
 protected:
  std::shared_ptr<Outcome<int>> StartWith(Body f, ConnectOptions options = {}) {
    return StartWatched(portreeve::WithConnection<Inet>(
        where(), std::move(options), std::move(f)));
  }

  // What f sees of its connection, to be looked at when f is over.
  void Note(const Socket<Inet>& socket, const Reader& reader,
            const Writer& writer) {
    socket_ = socket;
    closed_ = {socket.closed(), reader.close_finished(),
               writer.close_finished()};
  }
  bool all_closed() const {
    for (const Deferred<>& closed : closed_) {
      if (!closed.determined()) return false;
    }
    return closed_.size() == 3 && !socket_->is_open();
  }
  const Socket<Inet>& socket() const { return *socket_; }

  // An f that never ends by itself, and takes until `release_` to end once it
  // is cancelled.
  Task<int> Linger() {
    (void)co_await never_.deferred().Wait(kTuple);
    co_await asio::this_coro::reset_cancellation_state();
    cancelled_ = true;
    co_await release_.deferred().Wait();
    left_ = true;
    throw boost::system::system_error(asio::error::operation_aborted);
  }

  // The error must wait until the cancelled f is over.
  void ExpectCancelledAndJoined(const std::shared_ptr<Outcome<int>>& outcome) {
    ASSERT_TRUE(RunUntil([&] { return cancelled_; }));
    Settle();
    EXPECT_FALSE(outcome->ended);
    release_.Fill();
    ASSERT_TRUE(RunToEnd(outcome));
    EXPECT_TRUE(left_);
    EXPECT_TRUE(all_closed());
    EXPECT_FALSE(outcome->value.has_value());
  }

  bool cancelled_ = false;
  bool left_ = false;
  const Ivar<> never_{executor()};
  const Ivar<> release_{executor()};

 private:
  std::optional<Socket<Inet>> socket_;
  std::vector<Deferred<>> closed_;
};

TEST_F(WithConnection, F1_ClosesAllBeforeTheResult) {
  auto outcome = StartWith(
      [&](Socket<Inet> socket, Reader& reader, Writer& writer) -> Task<int> {
        Note(socket, reader, writer);
        EXPECT_EQ(co_await reader.ReadLine(), "hi");
        co_return 42;
      });
  RawClient peer = listener().Accept();
  EXPECT_EQ(peer.Send("hi\n"), "ok");
  ASSERT_TRUE(RunToEnd(outcome));
  EXPECT_EQ(outcome->value, 42);
  EXPECT_TRUE(all_closed());
  EXPECT_EQ(peer.Receive(), "EOF");
}

TEST_F(WithConnection, F1_TheSameOnAUnixSocket) {
  char folder[] = "/tmp/portreeve-test-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  {
    RawListener unix_listener(loop(), Driver(),
                              Unix::Address(std::string(folder) + "/socket"));
    std::optional<Deferred<>> closed;
    auto f = [&](Socket<Unix> socket, Reader& reader,
                 Writer& writer) -> Task<> {
      closed = socket.closed();
      writer.Write(*co_await reader.ReadLine() + "!\n");
    };
    auto outcome = StartWatched(portreeve::WithConnection<Unix>(
        unix_listener.where_unix(), ConnectOptions(), f));
    RawClient peer = unix_listener.Accept();
    EXPECT_EQ(peer.Send("hi\n"), "ok");
    ASSERT_TRUE(RunToEnd(outcome));
    EXPECT_EQ(outcome->text(), "");
    EXPECT_TRUE(closed->determined());
    EXPECT_EQ(peer.ReceiveExactly(4), "hi!\n");
    EXPECT_EQ(peer.Receive(), "EOF");
  }
  rmdir(folder);
}

TEST_F(WithConnection, F2a_FlushesAndClosesBeforeFsErrorIsThrown) {
  auto outcome = StartWith(
      [&](Socket<Inet> socket, Reader& reader, Writer& writer) -> Task<int> {
        Note(socket, reader, writer);
        writer.Write("last words\n");
        throw std::runtime_error("boom");
        co_return 0;
      });
  RawClient peer = listener().Accept();
  ASSERT_TRUE(RunToEnd(outcome));
  EXPECT_EQ(outcome->text(), "boom");
  EXPECT_TRUE(all_closed());
  EXPECT_EQ(peer.ReceiveExactly(11), "last words\n");
  EXPECT_EQ(peer.Receive(), "EOF");
}

TEST_F(WithConnection, F2b_TheSameForAnErrorOfABackgroundJobOfF) {
  auto outcome = StartWith(
      [&](Socket<Inet> socket, Reader& reader, Writer& writer) -> Task<int> {
        Note(socket, reader, writer);
        writer.Write("last words\n");
        const Executor executor = co_await asio::this_coro::executor;
        asio::post(executor, [monitor = executor.monitor()] {
          monitor.Send(std::make_exception_ptr(std::runtime_error("boom")));
        });
        co_return co_await Linger();
      });
  RawClient peer = listener().Accept();
  ExpectCancelledAndJoined(outcome);
  EXPECT_EQ(outcome->text(), "boom");
  EXPECT_EQ(peer.ReceiveExactly(11), "last words\n");
  EXPECT_EQ(peer.Receive(), "EOF");
}

TEST_F(WithConnection, F6_InterruptAndTimeoutHaveNoEffectOnceConnected) {
  const Ivar<> interrupt(executor());
  ConnectOptions options;
  options.interrupt = interrupt.deferred();
  options.timeout = milliseconds(300);
  auto outcome = StartWith(
      [&](Socket<Inet> socket, Reader& reader, Writer& writer) -> Task<int> {
        Note(socket, reader, writer);
        EXPECT_EQ(co_await reader.ReadLine(), "hi");
        co_return 7;
      },
      options);
  RawClient peer = listener().Accept();
  Settle();
  interrupt.Fill();
  time().Advance(seconds(40));
  Settle();
  EXPECT_FALSE(outcome->ended);
  EXPECT_EQ(peer.Send("hi\n"), "ok");
  ASSERT_TRUE(RunToEnd(outcome));
  EXPECT_EQ(outcome->value, 7);
}

TEST_F(WithConnection, F7_ClosingTheReaderClosesTheWriter) {
  auto outcome = StartWith(
      [&](Socket<Inet> socket, Reader& reader, Writer& writer) -> Task<int> {
        Note(socket, reader, writer);
        EXPECT_EQ(co_await reader.ReadAll(), "bye\n");
        EXPECT_TRUE(reader.is_closed());
        EXPECT_TRUE(writer.is_closed());
        writer.Write("to the closed peer");
        co_return 0;
      });
  RawClient peer = listener().Accept();
  EXPECT_EQ(peer.Send("bye\n"), "ok");
  peer.Close();
  ASSERT_TRUE(RunToEnd(outcome));
  EXPECT_EQ(outcome->text(), "attempt to use closed writer");
  EXPECT_TRUE(all_closed());
}

// In the original, f runs on.
TEST_F(WithConnection, F7b_WriterErrorCancelsF) {
  auto outcome = StartWith(
      [&](Socket<Inet> socket, Reader& reader, Writer& writer) -> Task<int> {
        Note(socket, reader, writer);
        EXPECT_EQ(co_await reader.ReadLine(), "bye");
        EXPECT_EQ(co_await reader.ReadLine(), std::nullopt);
        EXPECT_FALSE(reader.is_closed());
        EXPECT_FALSE(writer.is_closed());
        writer.Write("taken by the kernel\n");
        EXPECT_EQ(co_await writer.Flushed().Wait(), FlushResult::kFlushed);
        EXPECT_EQ(writer.bytes_to_write(), 0u);
        writer.Write("second\n");
        co_return co_await Linger();
      });
  RawClient peer = listener().Accept();
  EXPECT_EQ(peer.Send("bye\n"), "ok");
  peer.Close();
  ExpectCancelledAndJoined(outcome);
  EXPECT_EQ(outcome->text(),
            "write " + ToString(listener().inet_address()) + ": Broken pipe");
}

// In the original, f runs on.
TEST_F(WithConnection, F8_ResetWhileFWritesCancelsF) {
  listener().ShrinkReceiveBuffers();
  std::optional<Deferred<>> consumer_left;
  auto outcome = StartWith(
      [&](Socket<Inet> socket, Reader& reader, Writer& writer) -> Task<int> {
        Note(socket, reader, writer);
        consumer_left = writer.consumer_left();
        writer.Write(std::string(kLargeWrite, 'x'));
        co_return co_await Linger();
      });
  RawClient peer = listener().Accept();
  Settle();
  ASSERT_TRUE(consumer_left.has_value());
  EXPECT_FALSE(consumer_left->determined());
  peer.Reset();
  ExpectCancelledAndJoined(outcome);
  EXPECT_EQ(outcome->text(), "write " + ToString(listener().inet_address()) +
                                 ": Connection reset by peer");
  EXPECT_TRUE(consumer_left->determined());
  EXPECT_EQ(socket().reason(), CloseReason::kPeerReset);
}

TEST_F(WithConnection, F8_WhatTheCancelledFThrowsIsNotLost) {
  auto outcome = StartWith(
      [&](Socket<Inet> socket, Reader& reader, Writer& writer) -> Task<int> {
        Note(socket, reader, writer);
        writer.Write(std::string(kLargeWrite, 'x'));
        (void)co_await never_.deferred().Wait(kTuple);
        throw std::runtime_error("while cancelled");
      });
  RawClient peer = listener().Accept();
  Settle();
  peer.Reset();
  ASSERT_TRUE(RunToEnd(outcome));
  EXPECT_EQ(outcome->text(), "write " + ToString(listener().inet_address()) +
                                 ": Connection reset by peer");
  EXPECT_EQ(TakeErrors(), std::vector<std::string>{"while cancelled"});
}

TEST_F(WithConnection, F9_TheResultWaitsForFNotForTheClose) {
  auto outcome = StartWith(
      [&](Socket<Inet> socket, Reader& reader, Writer& writer) -> Task<int> {
        Note(socket, reader, writer);
        co_await writer.Close().Wait();
        co_await reader.Close().Wait();
        co_await release_.deferred().Wait();
        co_return 5;
      });
  RawClient peer = listener().Accept();
  EXPECT_EQ(peer.Receive(), "EOF");
  Settle();
  EXPECT_TRUE(all_closed());
  EXPECT_FALSE(outcome->ended);
  release_.Fill();
  ASSERT_TRUE(RunToEnd(outcome));
  EXPECT_EQ(outcome->value, 5);
}

// In the original, it is only logged.
TEST_F(WithConnection, F10_ALateErrorGoesToTheCallersMonitor) {
  std::optional<Monitor> monitor;
  auto outcome = StartWith([&](Socket<Inet>, Reader&, Writer&) -> Task<int> {
    const Executor executor = co_await asio::this_coro::executor;
    monitor = executor.monitor();
    co_return 5;
  });
  RawClient peer = listener().Accept();
  ASSERT_TRUE(RunToEnd(outcome));
  EXPECT_EQ(outcome->value, 5);
  monitor->Send(std::make_exception_ptr(std::runtime_error("late")));
  EXPECT_EQ(TakeErrors(), std::vector<std::string>{"late"});
}

// C6: nobody awaits the flush, and f is over.
TEST_F(WithConnection, F10_AnErrorOfTheLastFlushGoesToTheCallersMonitor) {
  listener().ShrinkReceiveBuffers();
  auto outcome = StartWith(
      [&](Socket<Inet> socket, Reader& reader, Writer& writer) -> Task<int> {
        Note(socket, reader, writer);
        writer.Write(std::string(kLargeWrite, 'x'));
        co_return 5;
      });
  RawClient peer = listener().Accept();
  Settle();
  EXPECT_FALSE(outcome->ended);
  peer.Reset();
  ASSERT_TRUE(RunToEnd(outcome));
  EXPECT_EQ(outcome->value, 5);
  EXPECT_EQ(TakeErrors(), std::vector<std::string>{
                              "write " + ToString(listener().inet_address()) +
                              ": Connection reset by peer"});
}

TEST_F(WithConnection, F11_TheResultWaitsForTheFlush) {
  auto outcome = StartWith(
      [&](Socket<Inet> socket, Reader& reader, Writer& writer) -> Task<int> {
        Note(socket, reader, writer);
        writer.Write(std::string(kLargeWrite, 'x'));
        co_return 6;
      });
  RawClient peer = listener().Accept();
  Settle();
  time().Advance(milliseconds(500));
  Settle();
  EXPECT_FALSE(outcome->ended);
  const RawClient::Drained drained = peer.Drain();
  EXPECT_EQ(drained.bytes, kLargeWrite);
  EXPECT_EQ(drained.end, "EOF");
  ASSERT_TRUE(RunToEnd(outcome));
  EXPECT_EQ(outcome->value, 6);
  EXPECT_TRUE(all_closed());
}

// In the original, a write of more than the kernel takes at once delays the
// forced close for ever (e3a).
TEST_F(WithConnection, E3a_APeerThatNeverReadsIsClosedAfter30s) {
  listener().ShrinkReceiveBuffers();
  for (const size_t bytes : {kLargeWrite, 3 * kLargeWrite}) {
    auto outcome = StartWith(
        [&](Socket<Inet> socket, Reader& reader, Writer& writer) -> Task<int> {
          Note(socket, reader, writer);
          writer.Write(std::string(bytes, 'x'));
          co_return 3;
        });
    RawClient peer = listener().Accept();
    Settle();
    time().Advance(seconds(30) - milliseconds(1));
    Settle();
    EXPECT_FALSE(outcome->ended);
    time().Advance(milliseconds(1));
    Settle();
    EXPECT_TRUE(outcome->ended);
    EXPECT_EQ(outcome->value, 3);
    EXPECT_TRUE(all_closed());
    EXPECT_EQ(socket().reason(), CloseReason::kForced);
    EXPECT_LT(peer.Drain().bytes, bytes);
  }
}

}  // namespace
}  // namespace portreeve::testing
