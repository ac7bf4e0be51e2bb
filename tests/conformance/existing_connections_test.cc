// Scenarios (m): closing existing connections, waiting for handlers, dropping
// incoming connections.
#include "tests/conformance/both_kinds.h"

namespace portreeve::testing {
namespace {

using Texts = std::vector<std::string>;
using std::chrono::milliseconds;
using std::chrono::seconds;

template <typename A>
class ExistingConnectionsTest : public ServerTest<A> {
 protected:
  void Pass(Duration time) {
    this->time().Advance(time);
    this->Settle();
  }
};

TYPED_TEST_SUITE(ExistingConnectionsTest, BothKinds, KindName);

TYPED_TEST(ExistingConnectionsTest, M1_ReadersSeeTheEnd) {
  Texts events;
  Server<TypeParam>* server = nullptr;
  const Ivar<> end(this->executor());
  auto note = [&](const std::string& what) {
    events.push_back(what + ", " + std::to_string(server->num_connections()));
  };
  auto handler = [&](typename TypeParam::Address, Reader& reader,
                     Writer&) -> Task<> {
    const auto line = co_await reader.ReadLine();
    note(line ? *line : "EOF");
    EXPECT_FALSE(reader.is_closed());
    co_await end.deferred().Wait();
    note("returns");
  };
  server = &this->Create(handler);
  RawClient c1 = this->ConnectedClient(*server);
  RawClient c2 = this->ConnectedClient(*server);
  this->RunUntil([&] { return server->num_connections() == 2; });
  server->close_finished().Upon([&] { note("close_finished"); });
  const Deferred<> closed = server->Close(ExistingConnections::kClose);
  closed.Upon([&] { note("closed"); });
  const auto determined = server->close_finished_and_handlers_determined();
  determined.Upon([&] { note("handlers determined"); });
  EXPECT_TRUE(server->is_closed());
  EXPECT_FALSE(closed.determined());
  EXPECT_FALSE(server->close_finished().determined());
  EXPECT_EQ(server->num_connections(), 2);
  this->RunUntil([&] { return events.size() == 4; });
  EXPECT_EQ(events,
            Texts({"EOF, 2", "EOF, 2", "close_finished, 2", "closed, 2"}));
  EXPECT_EQ(c1.Receive(), "EOF");
  EXPECT_EQ(c2.Receive(), "EOF");
  EXPECT_FALSE(determined.determined());
  events.clear();
  end.Fill();
  this->RunUntil([&] { return events.size() == 3; });
  EXPECT_EQ(events.back(), "handlers determined, 0");
}

// In the original what is not flushed is lost.
TYPED_TEST(ExistingConnectionsTest, M2_UnflushedOutputIsFlushedFirst) {
  auto& server = this->Create(this->Steered());
  RawClient client = this->ConnectedClient(server);
  auto& call = this->WaitForCall(0);
  call.writer->Write(std::string(this->kBigBytes, 'x'));
  this->Settle();
  const Deferred<> closed = server.Close(ExistingConnections::kClose);
  this->RunUntil(server.close_finished());
  this->Settle();
  EXPECT_FALSE(closed.determined());
  EXPECT_TRUE(call.writer->is_closed());
  const RawClient::Drained drained = client.Drain();
  EXPECT_EQ(drained.bytes, this->kBigBytes);
  EXPECT_EQ(drained.end, "EOF");
  this->RunUntil(closed);
}

// For at most 30 s.  In the original the connection stays counted for 30 s
// more, and then is a handler's error.
TYPED_TEST(ExistingConnectionsTest, M2_ForcedAfter30s) {
  Texts called;
  auto f = [&](const typename TypeParam::Address&, std::exception_ptr error) {
    called.push_back(DescribeException(error));
  };
  auto& server =
      this->Create(this->Steered(), {}, CallHandlerError<TypeParam>{f});
  RawClient client = this->ConnectedClient(server);
  auto& call = this->WaitForCall(0);
  call.writer->Write(std::string(this->kBigBytes, 'x'));
  this->Settle();
  const Deferred<> closed = server.Close(ExistingConnections::kClose);
  this->Pass(seconds(1));
  // The handler's end, and a second Close(), do not prolong it.
  call.end.Fill("");
  this->Settle();
  server.Close(ExistingConnections::kClose);
  this->Pass(seconds(29) - milliseconds(1));
  EXPECT_FALSE(closed.determined());
  EXPECT_EQ(server.num_connections(), 1);
  this->Pass(milliseconds(1));
  EXPECT_TRUE(closed.determined());
  EXPECT_EQ(server.num_connections(), 0);
  EXPECT_TRUE(server.close_finished_and_handlers_determined().determined());
  const RawClient::Drained drained = client.Drain();
  EXPECT_GT(drained.bytes, 0u);
  EXPECT_LT(drained.bytes, this->kBigBytes);
  EXPECT_EQ(drained.end, "EOF");
  this->Pass(seconds(60));
  EXPECT_EQ(called, Texts());
}

// SPEC S9: a client that leaves meanwhile is not waited for.
TYPED_TEST(ExistingConnectionsTest, M2_TheClientLeavesWhileFlushing) {
  auto& server = this->Create(this->Steered());
  RawClient client = this->ConnectedClient(server);
  auto& call = this->WaitForCall(0);
  call.writer->Write(std::string(this->kBigBytes, 'x'));
  this->Settle();
  const Deferred<> closed = server.Close(ExistingConnections::kClose);
  this->Settle();
  EXPECT_FALSE(closed.determined());
  client.Reset();
  this->RunUntil(closed);
  this->RunUntil([&] { return server.num_connections() == 0; });
  EXPECT_FALSE(call.over);
}

TYPED_TEST(ExistingConnectionsTest, M2_ResetAsAsked) {
  auto& server = this->Create(this->Steered());
  RawClient client = this->ConnectedClient(server);
  auto& call = this->WaitForCall(0);
  call.writer->Write(std::string(this->kBigBytes, 'x'));
  this->Settle();
  this->RunUntil(server.Close(ExistingConnections::kReset));
  EXPECT_EQ(this->Run(call.reader->ReadLine()), std::nullopt);
  const RawClient::Drained drained = client.Drain();
  EXPECT_LT(drained.bytes, this->kBigBytes);
  // A unix socket has no reset.
  EXPECT_EQ(drained.end,
            (std::is_same_v<TypeParam, Inet>) ? "ECONNRESET" : "EOF");
}

TYPED_TEST(ExistingConnectionsTest, M3_PlainCloseFirst) {
  auto& server = this->Create(this->Echo());
  RawClient client = this->ConnectedClient(server);
  auto& call = this->WaitForCall(0);
  this->RunUntil(server.Close());
  EXPECT_EQ(client.Send("still there?\n"), "ok");
  EXPECT_EQ(client.Receive(), "still there?\n");
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_FALSE(call.over);
  const Deferred<> closed = server.Close(ExistingConnections::kClose);
  EXPECT_FALSE(closed == server.close_finished());
  EXPECT_FALSE(closed.determined());
  EXPECT_EQ(server.num_connections(), 1);
  this->RunUntil(closed);
  EXPECT_EQ(client.Receive(), "EOF");
  this->RunUntil(server.close_finished_and_handlers_determined());
  EXPECT_EQ(server.num_connections(), 0);
  EXPECT_TRUE(call.over);
}

TYPED_TEST(ExistingConnectionsTest, M4_DropIncomingConnections) {
  ServerOptions options;
  options.drop_incoming_connections = true;
  auto& server = this->Create(this->Echo(), options);
  RawClient c1 = this->ConnectedClient(server);
  EXPECT_EQ(c1.Receive(), "EOF");
  this->Settle();
  EXPECT_FALSE(server.is_closed());
  EXPECT_EQ(server.num_connections(), 0);
  EXPECT_EQ(this->calls().size(), 0u);
  EXPECT_EQ(server.any_server().dropped_total(), 1);

  server.SetDropIncomingConnections(false);
  RawClient c2 = this->ConnectedClient(server);
  EXPECT_EQ(c2.Send("hi\n"), "ok");
  EXPECT_EQ(c2.Receive(), "hi\n");
  server.SetDropIncomingConnections(true);
  RawClient c3 = this->ConnectedClient(server);
  EXPECT_EQ(c2.Send("still\n"), "ok");
  EXPECT_EQ(c2.Receive(), "still\n");
  EXPECT_EQ(c3.Receive(), "EOF");
  EXPECT_FALSE(server.is_closed());
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_EQ(this->calls().size(), 1u);
}

// Those that are dropped take no slot, and wait for none but a free one.
TYPED_TEST(ExistingConnectionsTest, M4_DropManyWithOneSlot) {
  auto& server = this->Create(this->Echo(), this->WithMaxConnections(1));
  server.SetDropIncomingConnections(true);
  std::vector<RawClient> clients;
  for (int i = 0; i < 10; ++i) clients.push_back(this->ConnectedClient(server));
  for (RawClient& client : clients) EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_EQ(server.any_server().dropped_total(), 10);
  EXPECT_EQ(this->calls().size(), 0u);
  this->TakeLog();
}

TYPED_TEST(ExistingConnectionsTest, M5_DeterminedBeforeTheErrorIsDelivered) {
  auto& server = this->Create(this->Steered());
  RawClient client = this->ConnectedClient(server);
  auto& call = this->WaitForCall(0);
  this->RunUntil(server.Close());
  Texts seen;
  server.close_finished_and_handlers_determined().Upon([&] {
    seen = this->TakeErrors();
    seen.push_back("determined, " + std::to_string(server.num_connections()));
  });
  call.end.Fill("boom");
  EXPECT_EQ(this->WaitForErrors(1), Texts({"boom"}));
  EXPECT_EQ(seen, Texts({"determined, 0"}));
}

TYPED_TEST(ExistingConnectionsTest, M5_WithoutAClientAfterCloseFinished) {
  auto& server = this->Create(this->Steered());
  Texts events;
  server.close_finished_and_handlers_determined().Upon(
      [&] { events.push_back("handlers determined"); });
  server.close_finished().Upon([&] { events.push_back("close_finished"); });
  server.Close();
  this->RunUntil([&] { return events.size() == 2; });
  EXPECT_EQ(events, Texts({"close_finished", "handlers determined"}));
}

TYPED_TEST(ExistingConnectionsTest, M6_TheHandlerNeverEnds) {
  auto& server = this->Create(this->Steered());
  RawClient client = this->ConnectedClient(server);
  auto& call = this->WaitForCall(0);
  this->RunUntil(server.Close(ExistingConnections::kClose));
  EXPECT_EQ(client.Receive(), "EOF");
  this->Pass(std::chrono::hours(1));
  EXPECT_TRUE(server.close_finished().determined());
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_FALSE(server.close_finished_and_handlers_determined().determined());
  EXPECT_FALSE(call.over);
}

}  // namespace
}  // namespace portreeve::testing
