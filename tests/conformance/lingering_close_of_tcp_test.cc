// A close that lingers, on TCP alone: a unix socket need not.
#include "lib/base/status.h"
#include "lib/connect/connect.h"
#include "tests/conformance/lingering_close.h"
#include "tests/testing/raw_listener.h"

namespace portreeve::testing {
namespace {

using Texts = std::vector<std::string>;
using std::chrono::milliseconds;
using std::chrono::seconds;

class LingeringCloseOfTcp : public LingeringClose {
 protected:
  // A connection that lingers, with kBytes written.
  struct Lingering {
    Server<Kind>& server;
    RawClient client;
    Call& call;
    std::shared_ptr<AnyConnection> connection;
    Deferred<> closed;
  };
  Lingering Linger() {
    auto [server, client, call] = StartWithUnread();
    call.writer->Write(std::string(kBytes, 'x'));
    Settle();
    auto connection = OnlyConnection(server);
    const Deferred<> closed =
        connection->Close(ExistingConnections::kClose, CloseReason::kCalled);
    Settle();
    EXPECT_FALSE(closed.determined());
    return {server, std::move(client), call, connection, closed};
  }

  // It was reset, and the number of bytes is true.
  static void ExpectCut(const Lingering& lingering,
                        const RawClient::Drained& drained) {
    EXPECT_EQ(drained.end, "ECONNRESET");
    EXPECT_LT(drained.bytes, kBytes);
    EXPECT_EQ(lingering.connection->bytes_sent(),
              static_cast<int64_t>(drained.bytes));
  }
};

// While it lingers it is closed for its handler, and open for all others.
TEST_F(LingeringCloseOfTcp, IsAClosedConnectionForTheHandler) {
  DescriptorBudget budget(2);
  ServerOptions options;
  options.descriptor_budget = &budget;
  auto& server = Create(Steered(), options);
  RawClient client = SendingClient(server);
  auto& call = WaitForCall(0);
  call.writer->Write(std::string(kBytes, 'x'));
  Settle();
  EXPECT_EQ(call.writer->bytes_to_write(), 0u);
  const auto connection = OnlyConnection(server);
  bool read_ended = false;
  const auto read = [](Reader& reader, bool& ended) -> Task<> {
    while (co_await reader.ReadLine()) {
    }
    ended = true;
  };
  Start(read(*call.reader, read_ended));
  Settle();
  EXPECT_FALSE(read_ended);
  EXPECT_EQ(client.Send("unread, too\n"), "ok");
  connection->Close(ExistingConnections::kClose, CloseReason::kCalled);
  RunUntil([&] { return read_ended; });
  EXPECT_TRUE(call.writer->is_closed());
  EXPECT_THROW(call.writer->Write("x"), StatusError);
  const Deferred<FlushResult> flushed = call.writer->Flushed();
  Settle();
  EXPECT_EQ(flushed.value(), FlushResult::kFlushed);
  EXPECT_TRUE(connection->is_open());
  EXPECT_FALSE(connection->closed().determined());
  EXPECT_FALSE(call.writer->close_finished().determined());
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_FALSE(budget.Has(2));
  call.end.Fill("");
  Settle();
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_FALSE(budget.Has(2));
  EXPECT_EQ(client.Drain().bytes, kBytes);
  WaitForNoConnections(server);
  EXPECT_TRUE(budget.Has(2));
  TearDownServers();
}

TEST_F(LingeringCloseOfTcp, IsForcedAfter30s) {
  Lingering lingering = Linger();
  Pass(seconds(30) - milliseconds(1));
  EXPECT_FALSE(lingering.closed.determined());
  Pass(milliseconds(1));
  EXPECT_TRUE(lingering.closed.determined());
  EXPECT_EQ(lingering.connection->reason(), CloseReason::kForced);
  ExpectCut(lingering, lingering.client.Drain());
  EXPECT_EQ(lingering.server.any_server().bytes_sent_total(),
            lingering.connection->bytes_sent());
}

// All that was to be flushed has gone to the kernel in the meantime.
TEST_F(LingeringCloseOfTcp, IsForced30sAfterTheCloseFlushIncluded) {
  auto [server, client, call] = StartWithUnread();
  call.writer->Write(std::string(kBigBytes, 'x'));
  Settle();
  const auto connection = OnlyConnection(server);
  connection->Close(ExistingConnections::kClose, CloseReason::kCalled);
  Pass(seconds(20));
  size_t received = 0;
  RunUntil([&, &client = client] {
    received += client.ReceiveExactly(10'000).size();
    return connection->bytes_to_write() == 0;
  });
  Pass(seconds(10) - milliseconds(1));
  EXPECT_FALSE(connection->closed().determined());
  Pass(milliseconds(1));
  EXPECT_TRUE(connection->closed().determined());
  EXPECT_EQ(connection->reason(), CloseReason::kForced);
  const RawClient::Drained drained = client.Drain();
  EXPECT_EQ(drained.end, "ECONNRESET");
  EXPECT_EQ(connection->bytes_sent(),
            static_cast<int64_t>(received + drained.bytes));
}

// A slow one that sends nothing is not cut: the kernel goes on alone.
TEST_F(LingeringCloseOfTcp, IsLeftToTheKernelAfter30sOfSilence) {
  auto& server = Create(Steered());
  RawClient client = NewClient();
  client.ShrinkReceiveBuffer();
  EXPECT_EQ(client.Connect(server.listening_on_address()), "ok");
  auto& call = WaitForCall(0);
  call.writer->Write(std::string(kBytes, 'x'));
  call.end.Fill("");
  Settle();
  const auto connection = OnlyConnection(server);
  Pass(seconds(30));
  EXPECT_TRUE(connection->closed().determined());
  EXPECT_EQ(connection->reason(), CloseReason::kHandlerDone);
  EXPECT_EQ(connection->bytes_sent(), static_cast<int64_t>(kBytes));
  const RawClient::Drained drained = client.Drain();
  EXPECT_EQ(drained.bytes, kBytes);
  EXPECT_EQ(drained.end, "EOF");
}

TEST_F(LingeringCloseOfTcp, AResetEndsItAtOnce) {
  Lingering lingering = Linger();
  lingering.connection->Close(ExistingConnections::kReset,
                              CloseReason::kShutdown);
  EXPECT_FALSE(lingering.connection->is_open());
  EXPECT_EQ(lingering.client.Drain().end, "ECONNRESET");
  RunUntil(lingering.closed);
  EXPECT_EQ(lingering.connection->reason(), CloseReason::kCalled);
}

TEST_F(LingeringCloseOfTcp, TearDownEndsItAtOnce) {
  Lingering lingering = Linger();
  TearDownServers();
  EXPECT_TRUE(lingering.closed.determined());
  EXPECT_EQ(lingering.client.Drain().end, "ECONNRESET");
}

TEST_F(LingeringCloseOfTcp, ThePeersResetEndsIt) {
  Lingering lingering = Linger();
  lingering.client.Reset();
  RunUntil(lingering.closed);
  EXPECT_EQ(lingering.connection->reason(), CloseReason::kCalled);
  EXPECT_LT(lingering.connection->bytes_sent(), static_cast<int64_t>(kBytes));
}

TEST_F(LingeringCloseOfTcp, ThePeersEndEndsIt) {
  Lingering lingering = Linger();
  lingering.client.CloseSending();
  RunUntil(lingering.closed);
  EXPECT_EQ(lingering.connection->bytes_sent(), static_cast<int64_t>(kBytes));
  const RawClient::Drained drained = lingering.client.Drain();
  EXPECT_EQ(drained.bytes, kBytes);
  EXPECT_EQ(drained.end, "EOF");
}

TEST_F(LingeringCloseOfTcp, AnEarlierForceHolds) {
  Lingering lingering = Linger();
  lingering.call.writer->Close(seconds(3));
  lingering.call.writer->Close(seconds(300));
  Pass(seconds(3) - milliseconds(1));
  EXPECT_FALSE(lingering.closed.determined());
  Pass(milliseconds(1));
  EXPECT_TRUE(lingering.closed.determined());
  ExpectCut(lingering, lingering.client.Drain());
}

// Whoever reads sees the end then, and closes what is his.
TEST_F(LingeringCloseOfTcp, WhoClosesWhatIsClosedDoesNotCutIt) {
  for (const bool of_reader : {true, false}) {
    RawListener listener(loop(), [this](const auto& c) { return RunUntil(c); });
    listener.ShrinkReceiveBuffers();
    const auto connection = Run(Connect<Inet>(listener.where(), {}));
    RawClient peer = listener.Accept();
    connection->writer.Write(std::string(kBytes, 'x'));
    Settle();
    const auto read_all = [](Reader& reader) -> Task<> {
      (void)co_await reader.ReadAll();  // Closes the Reader.
    };
    if (of_reader) Start(read_all(connection->reader));
    Settle();
    EXPECT_EQ(peer.Send("unread\n"), "ok");
    const Deferred<> closed = connection->writer.Close();
    Settle();
    EXPECT_EQ(connection->reader.is_closed(), of_reader);
    connection->socket.CloseNow();
    EXPECT_FALSE(closed.determined());
    SendMore(peer);
    EXPECT_EQ(peer.Drain().bytes, kBytes);
    RunUntil(closed);
    listener.Close();
  }
}

// When it goes, it is closed at once, whatever that loses.
TEST_F(LingeringCloseOfTcp, AConnectionThatGoesEndsIt) {
  RawListener listener(loop(), [this](const auto& c) { return RunUntil(c); });
  listener.ShrinkReceiveBuffers();
  auto connection = Run(Connect<Inet>(listener.where(), {}));
  RawClient peer = listener.Accept();
  EXPECT_EQ(peer.Send("unread\n"), "ok");
  connection->writer.Write(std::string(kBytes, 'x'));
  Settle();
  const Deferred<> closed = connection->writer.Close();
  Settle();
  EXPECT_FALSE(closed.determined());
  connection.reset();
  Settle();
  EXPECT_TRUE(closed.determined());
  listener.Close();
}

}  // namespace
}  // namespace portreeve::testing
