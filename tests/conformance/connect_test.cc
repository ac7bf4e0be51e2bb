// Scenarios f3-f5 of connect and with_connection, and (g): connect, and the
// order of closing.
#include <optional>
#include <string>
#include <vector>

#include "tests/testing/connect_fixture.h"

namespace portreeve::testing {
namespace {

// Never answers.
class SilentResolver : public Resolver {
 public:
  Task<std::vector<asio::ip::address>> Lookup(std::string, Family) override {
    const Ivar<> never(co_await asio::this_coro::executor);
    co_await never.deferred().Wait();
    co_return std::vector<asio::ip::address>();
  }
};

class ConnectTest : public ConnectFixture {
 protected:
  // What connect, connect_sock and with_connection say: one text, if they
  // agree.  `advance` is how long to wait before the end.
  template <AddressKind A>
  std::string ErrorOfAllThree(WhereToConnect<A> where,
                              const ConnectOptions& options,
                              Duration advance = Duration::zero()) {
    bool called = false;
    auto f = [&](Socket<A>, Reader&, Writer&) -> Task<> {
      called = true;
      co_return;
    };
    const auto sock = StartWatched(ConnectSock<A>(where, options));
    const auto connect = StartWatched(portreeve::Connect<A>(where, options));
    const auto with = StartWatched(WithConnection<A>(where, options, f));
    Settle();
    if (advance > Duration::zero()) {
      time().Advance(advance - milliseconds(1));
      Settle();
      EXPECT_FALSE(sock->ended || connect->ended || with->ended);
      time().Advance(milliseconds(1));
    }
    RunToEnd(sock);
    RunToEnd(connect);
    RunToEnd(with);
    EXPECT_FALSE(called);
    EXPECT_EQ(connect->text(), sock->text());
    EXPECT_EQ(with->text(), sock->text());
    return with->text();
  }
};

TEST_F(ConnectTest, F3_RefusedGoesToTheCallerOfAllThree) {
  const WhereToConnect<Inet> nobody = where();
  listener().Close();
  EXPECT_EQ(ErrorOfAllThree(nobody, {}),
            "connect " + ToString(nobody) + ": Connection refused");
  // Not awaited: the monitor current at the call.
  auto connect = [](WhereToConnect<Inet> where) -> Task<> {
    co_await portreeve::Connect<Inet>(where, ConnectOptions());
  };
  Start(connect(nobody));
  std::vector<std::string> errors;
  RunUntil([&] { return !(errors = TakeErrors()).empty(); });
  EXPECT_EQ(errors, std::vector<std::string>{"connect " + ToString(nobody) +
                                             ": Connection refused"});
}

TEST_F(ConnectTest, F3_NoSuchUnixSocketGoesToTheCallerOfAllThree) {
  EXPECT_EQ(ErrorOfAllThree(
                WhereToConnect<Unix>::OfFile("/nonexistent/portreeve"), {}),
            "connect unix:/nonexistent/portreeve: No such file or directory");
  EXPECT_EQ(ErrorOfAllThree(WhereToConnect<Unix>::OfFile("/etc/passwd"), {}),
            "connect unix:/etc/passwd: Connection refused");
}

TEST_F(ConnectTest, F4_TheTimeoutIsThatOfAllThree) {
  SilentResolver resolver;
  ConnectOptions options;
  options.resolver = &resolver;
  options.timeout = milliseconds(300);
  const auto where = WhereToConnect<Inet>::OfHostAndPort("example.org", 80);
  EXPECT_EQ(ErrorOfAllThree(where, options, milliseconds(300)),
            "connection attempt timeout tcp:example.org:80");
  options.timeout = ConnectOptions().timeout;
  EXPECT_EQ(ErrorOfAllThree(where, options, seconds(30)),
            "connection attempt timeout tcp:example.org:80");
}

TEST_F(ConnectTest, F5_DeterminedInterruptAndTimeoutZeroAgainstALiveServer) {
  ConnectOptions no_time;
  no_time.timeout = Duration::zero();
  EXPECT_EQ(ErrorOfAllThree(where(), no_time),
            "connection attempt timeout " + ToString(where()));
  const Ivar<> interrupt(executor());
  interrupt.Fill();
  ConnectOptions interrupted;
  interrupted.interrupt = interrupt.deferred();
  EXPECT_EQ(ErrorOfAllThree(where(), interrupted),
            "connection attempt aborted " + ToString(where()));
  EXPECT_FALSE(listener().TryAccept().has_value());
}

TEST_F(ConnectTest, G1_ReaderClosedWithBytesUnflushed) {
  Pair pair = ConnectPair();
  pair.writer().Write("0123456789");
  const Deferred<FlushResult> flushed = pair.writer().Flushed();
  const Deferred<> closed = pair.reader().Close();
  RunUntil(closed);
  EXPECT_EQ(TakeErrors(),
            std::vector<std::string>{"writer fd unexpectedly closed with 10 "
                                     "bytes unflushed: " +
                                     ToString(listener().inet_address())});
  EXPECT_FALSE(pair.connection->socket.is_open());
  EXPECT_EQ(flushed.value(), FlushResult::kLost);
  EXPECT_EQ(pair.peer.Receive(), "EOF");
}

// The monitor is that of the call of connect, not of who writes and closes.
TEST_F(ConnectTest, G1_TheErrorGoesToTheMonitorCurrentAtTheCall) {
  Pair pair = ConnectPair();
  std::vector<std::string> other_errors;
  const Monitor other(Monitor::TopLevel(), "other", [&](std::exception_ptr e) {
    other_errors.push_back(DescribeException(e));
  });
  auto close = [&]() -> Task<> {
    pair.writer().Write("lost");
    pair.reader().Close();
    co_return;
  };
  tasks().SpawnOn(executor().With(other), close(), [](std::exception_ptr) {});
  RunUntil(pair.writer().close_finished());
  EXPECT_EQ(TakeErrors().size(), 1u);
  EXPECT_TRUE(other_errors.empty());
}

// In the original, flushed is never determined, and later writes are thrown
// away without a word.
TEST_F(ConnectTest, G1b_PartlyFlushed) {
  listener().ShrinkReceiveBuffers();
  Pair pair = ConnectPair();
  Writer& writer = pair.writer();
  writer.Write(std::string(kLargeWrite, 'x'));
  const Deferred<FlushResult> flushed = writer.Flushed();
  Settle();
  EXPECT_LT(writer.bytes_to_write(), kLargeWrite);
  EXPECT_FALSE(flushed.determined());
  pair.reader().Close();
  EXPECT_TRUE(flushed.determined());
  EXPECT_EQ(flushed.value(), FlushResult::kLost);
  EXPECT_EQ(TakeErrors().size(), 1u);
  EXPECT_TRUE(writer.is_closed());
  EXPECT_THROW(writer.Write("more"), StatusError);
  const Deferred<FlushResult> later = writer.Flushed();
  Settle();
  ASSERT_TRUE(later.determined());
  EXPECT_EQ(later.value(), FlushResult::kLost);
  RunUntil(writer.Close());
  const RawClient::Drained drained = pair.peer.Drain();
  EXPECT_GT(drained.bytes, 0u);
  EXPECT_LT(drained.bytes, kLargeWrite);
  EXPECT_EQ(drained.end, "EOF");
}

TEST_F(ConnectTest, G2_WriterClosedFirst) {
  Pair pair = ConnectPair();
  pair.writer().Write("flushed by close\n");
  const Deferred<> closed = pair.writer().Close();
  EXPECT_FALSE(closed.determined());
  RunUntil(closed);
  EXPECT_FALSE(pair.reader().is_closed());
  EXPECT_FALSE(pair.connection->socket.is_open());
  RunUntil(pair.reader().Close());
  EXPECT_TRUE(pair.reader().is_closed());
  EXPECT_EQ(pair.peer.Receive(), "flushed by close\n");
  EXPECT_EQ(pair.peer.Receive(), "EOF");
}

TEST_F(ConnectTest, G8_AWriterOnItsOwnGivesUpAfter5s) {
  listener().ShrinkReceiveBuffers();
  Pair pair = ConnectPair();
  pair.writer().Write(std::string(kLargeWrite, 'x'));
  const Deferred<> closed = pair.writer().Close();
  Settle();
  time().Advance(seconds(5) - milliseconds(1));
  Settle();
  EXPECT_FALSE(closed.determined());
  time().Advance(milliseconds(1));
  Settle();
  EXPECT_TRUE(closed.determined());
  EXPECT_EQ(pair.connection->socket.reason(), CloseReason::kForced);
  const RawClient::Drained drained = pair.peer.Drain();
  EXPECT_GT(drained.bytes, 0u);
  EXPECT_LT(drained.bytes, kLargeWrite);
  EXPECT_EQ(drained.end, "EOF");
}

// In the original, the writer stays open, and further writes are thrown away
// without a word.
TEST_F(ConnectTest, G9_AfterTheResetTheWriterIsClosed) {
  Pair pair = ConnectPair();
  Writer& writer = pair.writer();
  pair.peer.Reset();
  writer.Write("to nobody");
  RunUntil(writer.close_finished());
  EXPECT_EQ(TakeErrors(), std::vector<std::string>{
                              "write " + ToString(listener().inet_address()) +
                              ": Connection reset by peer"});
  EXPECT_TRUE(writer.consumer_left().determined());
  EXPECT_TRUE(writer.is_closed());
  EXPECT_EQ(Run(pair.reader().ReadLine()), std::nullopt);
  EXPECT_THROW(writer.Write("more"), StatusError);
  EXPECT_EQ(pair.connection->socket.reason(), CloseReason::kPeerReset);
}

TEST_F(ConnectTest, G9_AFlushThatFailsWhileClosingIsReported) {
  listener().ShrinkReceiveBuffers();
  Pair pair = ConnectPair();
  pair.writer().Write(std::string(kLargeWrite, 'x'));
  const Deferred<> closed = pair.writer().Close();
  Settle();
  EXPECT_FALSE(closed.determined());
  pair.peer.Reset();
  RunUntil(closed);
  EXPECT_EQ(TakeErrors(), std::vector<std::string>{
                              "write " + ToString(listener().inet_address()) +
                              ": Connection reset by peer"});
  EXPECT_TRUE(pair.writer().consumer_left().determined());
}

// Steps of the loop until the kernel has connected it, of which the loop has
// not heard.
RawClient AcceptUnheard(asio::io_context& loop, RawListener& listener) {
  while (true) {
    if (auto peer = listener.TryAccept()) return *std::move(peer);
    loop.restart();
    loop.poll_one();
  }
}

// That is no refusal, and what it has said is there.
TEST_F(ConnectTest, APeerThatHasSpokenAndResetWasConnected) {
  const auto outcome = StartWatched(Connect<Inet>(where(), ConnectOptions()));
  RawClient peer = AcceptUnheard(loop(), listener());
  peer.Send("last words");
  peer.Reset();
  RunToEnd(outcome);
  ASSERT_EQ(outcome->text(), "");
  const std::unique_ptr<Connection<Inet>> connection =
      *std::move(outcome->value);
  EXPECT_EQ(Run(connection->reader.ReadAll()), "last words");
  EXPECT_EQ(connection->socket.reason(), CloseReason::kPeerReset);
}

// Nobody has ended what is given up.
TEST_F(ConnectTest, AnAttemptThatIsGivenUpIsReset) {
  ConnectOptions options;
  options.timeout = seconds(5);
  const auto outcome = StartWatched(Connect<Inet>(where(), std::move(options)));
  RawClient peer = AcceptUnheard(loop(), listener());
  time().Advance(seconds(5));
  RunToEnd(outcome);
  EXPECT_NE(outcome->text(), "");
  EXPECT_EQ(peer.Receive(), "ECONNRESET");
}

}  // namespace
}  // namespace portreeve::testing
