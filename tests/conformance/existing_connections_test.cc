// Scenarios (m): closing existing connections, waiting for handlers, dropping
// incoming connections.
#include "tests/conformance/both_kinds.h"

namespace portreeve::testing {
namespace {

using Texts = std::vector<std::string>;
using std::chrono::milliseconds;
using std::chrono::seconds;

class ExistingConnectionsTest : public ServerTest {};

TEST_F(ExistingConnectionsTest, M1_ReadersSeeTheEnd) {
  Texts events;
  Server<Kind>* server = nullptr;
  const Ivar<> end(executor());
  auto note = [&](const std::string& what) {
    events.push_back(what + ", " + std::to_string(server->num_connections()));
  };
  auto handler = [&](Kind::Address, Reader& reader, Writer&) -> Task<> {
    const auto line = co_await reader.ReadLine();
    note(line ? *line : "EOF");
    EXPECT_FALSE(reader.is_closed());
    co_await end.deferred().Wait();
    note("returns");
  };
  server = &Create(handler);
  RawClient c1 = ConnectedClient(*server);
  RawClient c2 = ConnectedClient(*server);
  RunUntil([&] { return server->num_connections() == 2; });
  server->close_finished().Upon([&] { note("close_finished"); });
  const Deferred<> closed = server->Close(ExistingConnections::kClose);
  closed.Upon([&] { note("closed"); });
  const auto determined = server->close_finished_and_handlers_determined();
  determined.Upon([&] { note("handlers determined"); });
  EXPECT_TRUE(server->is_closed());
  EXPECT_FALSE(closed.determined());
  EXPECT_FALSE(server->close_finished().determined());
  EXPECT_EQ(server->num_connections(), 2);
  RunUntil([&] { return events.size() == 4; });
  EXPECT_EQ(events,
            Texts({"EOF, 2", "EOF, 2", "close_finished, 2", "closed, 2"}));
  EXPECT_EQ(c1.Receive(), "EOF");
  EXPECT_EQ(c2.Receive(), "EOF");
  EXPECT_FALSE(determined.determined());
  events.clear();
  end.Fill();
  RunUntil([&] { return events.size() == 3; });
  EXPECT_EQ(events.back(), "handlers determined, 0");
}

// In the original what is not flushed is lost.
TEST_F(ExistingConnectionsTest, M2_UnflushedOutputIsFlushedFirst) {
  auto [server, client, call] = StartServing();
  call.writer->Write(std::string(kBigBytes, 'x'));
  Settle();
  const Deferred<> closed = server.Close(ExistingConnections::kClose);
  RunUntil(server.close_finished());
  Settle();
  EXPECT_FALSE(closed.determined());
  EXPECT_TRUE(call.writer->is_closed());
  const RawClient::Drained drained = client.Drain();
  EXPECT_EQ(drained.bytes, kBigBytes);
  EXPECT_EQ(drained.end, "EOF");
  RunUntil(closed);
}

// For at most 30 s.  In the original the connection stays counted for 30 s
// more, and then is a handler's error.
TEST_F(ExistingConnectionsTest, M2_ForcedAfter30s) {
  Texts called;
  auto f = [&](const Kind::Address&, std::exception_ptr error) {
    called.push_back(DescribeException(error));
  };
  auto [server, client, call] = StartServing({}, CallHandlerError<Kind>{f});
  call.writer->Write(std::string(kBigBytes, 'x'));
  Settle();
  const Deferred<> closed = server.Close(ExistingConnections::kClose);
  Pass(seconds(1));
  // The handler's end, and a second Close(), do not prolong it.
  call.end.Fill("");
  Settle();
  server.Close(ExistingConnections::kClose);
  Pass(seconds(29) - milliseconds(1));
  EXPECT_FALSE(closed.determined());
  EXPECT_EQ(server.num_connections(), 1);
  Pass(milliseconds(1));
  EXPECT_TRUE(closed.determined());
  EXPECT_EQ(server.num_connections(), 0);
  EXPECT_TRUE(server.close_finished_and_handlers_determined().determined());
  const RawClient::Drained drained = client.Drain();
  EXPECT_GT(drained.bytes, 0u);
  EXPECT_LT(drained.bytes, kBigBytes);
  EXPECT_EQ(drained.end, "EOF");
  Pass(seconds(60));
  EXPECT_EQ(called, Texts());
}

// CONFORMANCE S9: a client that leaves meanwhile is not waited for.
TEST_F(ExistingConnectionsTest, M2_TheClientLeavesWhileFlushing) {
  auto [server, client, call] = StartServing();
  call.writer->Write(std::string(kBigBytes, 'x'));
  Settle();
  const Deferred<> closed = server.Close(ExistingConnections::kClose);
  Settle();
  EXPECT_FALSE(closed.determined());
  client.Reset();
  RunUntil(closed);
  WaitForNoConnections(server);
  EXPECT_FALSE(call.over);
}

TEST_F(ExistingConnectionsTest, M2_ResetAsAsked) {
  auto [server, client, call] = StartServing();
  call.writer->Write(std::string(kBigBytes, 'x'));
  Settle();
  RunUntil(server.Close(ExistingConnections::kReset));
  EXPECT_EQ(Run(call.reader->ReadLine()), std::nullopt);
  const RawClient::Drained drained = client.Drain();
  EXPECT_LT(drained.bytes, kBigBytes);
  // A unix socket has no reset.
  EXPECT_EQ(drained.end, kIsInet ? "ECONNRESET" : "EOF");
}

TEST_F(ExistingConnectionsTest, M3_PlainCloseFirst) {
  auto& server = Create(Echo());
  RawClient client = ConnectedClient(server);
  auto& call = WaitForCall(0);
  RunUntil(server.Close());
  EXPECT_EQ(client.Send("still there?\n"), "ok");
  EXPECT_EQ(client.Receive(), "still there?\n");
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_FALSE(call.over);
  const Deferred<> closed = server.Close(ExistingConnections::kClose);
  EXPECT_FALSE(closed == server.close_finished());
  EXPECT_FALSE(closed.determined());
  EXPECT_EQ(server.num_connections(), 1);
  RunUntil(closed);
  EXPECT_EQ(client.Receive(), "EOF");
  RunUntil(server.close_finished_and_handlers_determined());
  EXPECT_EQ(server.num_connections(), 0);
  EXPECT_TRUE(call.over);
}

TEST_F(ExistingConnectionsTest, M4_DropIncomingConnections) {
  ServerOptions options;
  options.drop_incoming_connections = true;
  auto& server = Create(Echo(), options);
  EXPECT_TRUE(server.is_dropping_incoming_connections());
  RawClient c1 = ConnectedClient(server);
  EXPECT_EQ(c1.Receive(), "EOF");
  Settle();
  EXPECT_FALSE(server.is_closed());
  EXPECT_EQ(server.num_connections(), 0);
  EXPECT_EQ(calls().size(), 0u);
  EXPECT_EQ(server.any_server().dropped_total(), 1);

  server.SetDropIncomingConnections(false);
  EXPECT_FALSE(server.is_dropping_incoming_connections());
  RawClient c2 = ConnectedClient(server);
  EXPECT_EQ(c2.Send("hi\n"), "ok");
  EXPECT_EQ(c2.Receive(), "hi\n");
  server.SetDropIncomingConnections(true);
  RawClient c3 = ConnectedClient(server);
  EXPECT_EQ(c2.Send("still\n"), "ok");
  EXPECT_EQ(c2.Receive(), "still\n");
  EXPECT_EQ(c3.Receive(), "EOF");
  EXPECT_FALSE(server.is_closed());
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_EQ(calls().size(), 1u);
}

// Those that are dropped take no slot, and wait for none but a free one.
TEST_F(ExistingConnectionsTest, M4_DropManyWithOneSlot) {
  auto& server = Create(Echo(), WithMaxConnections(1));
  server.SetDropIncomingConnections(true);
  std::vector<RawClient> clients;
  for (int i = 0; i < 10; ++i) clients.push_back(ConnectedClient(server));
  for (RawClient& client : clients) EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_EQ(server.any_server().dropped_total(), 10);
  EXPECT_EQ(calls().size(), 0u);
  TakeLog();
}

TEST_F(ExistingConnectionsTest, M5_DeterminedBeforeTheErrorIsDelivered) {
  auto [server, client, call] = StartServing();
  RunUntil(server.Close());
  Texts seen;
  server.close_finished_and_handlers_determined().Upon([&, &server = server] {
    seen = TakeErrors();
    seen.push_back("determined, " + std::to_string(server.num_connections()));
  });
  call.end.Fill("boom");
  EXPECT_EQ(WaitForErrors(1), Texts({"boom"}));
  EXPECT_EQ(seen, Texts({"determined, 0"}));
}

TEST_F(ExistingConnectionsTest, M5_WithoutAClientAfterCloseFinished) {
  auto& server = Create(Steered());
  Texts events;
  server.close_finished_and_handlers_determined().Upon(
      [&] { events.push_back("handlers determined"); });
  server.close_finished().Upon([&] { events.push_back("close_finished"); });
  server.Close();
  RunUntil([&] { return events.size() == 2; });
  EXPECT_EQ(events, Texts({"close_finished", "handlers determined"}));
}

TEST_F(ExistingConnectionsTest, M6_TheHandlerNeverEnds) {
  auto [server, client, call] = StartServing();
  RunUntil(server.Close(ExistingConnections::kClose));
  EXPECT_EQ(client.Receive(), "EOF");
  Pass(std::chrono::hours(1));
  EXPECT_TRUE(server.close_finished().determined());
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_FALSE(server.close_finished_and_handlers_determined().determined());
  EXPECT_FALSE(call.over);
}

}  // namespace
}  // namespace portreeve::testing
