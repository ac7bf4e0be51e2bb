// Scenarios (b): closing a server.
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {
namespace {

ServerOptions WithMaxConnections(int max_connections) {
  ServerOptions options;
  options.max_connections = max_connections;
  return options;
}

TEST_F(InetServerTest, B1_CloseWithAClientInTheBacklog) {
  Server<Inet>& server = Create(Echo(), WithMaxConnections(1));
  RawClient c1 = ConnectedClient(server);
  WaitForCall(0);
  RawClient c2 = ConnectedClient(server);
  EXPECT_EQ(c2.Send("pending\n"), "ok");
  Settle();
  EXPECT_EQ(c2.Peek(), "nothing");
  EXPECT_EQ(TakeLog().size(), 1u);  // The limit is reported.

  const Deferred<> closed = server.Close();
  EXPECT_TRUE(server.is_closed());
  EXPECT_FALSE(closed.determined());
  RunUntil(closed);
  EXPECT_FALSE(server.close_finished_and_handlers_determined().determined());
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_EQ(c2.Receive(), "ECONNRESET");
  EXPECT_EQ(c2.Send("x"), "EPIPE");
  EXPECT_EQ(c1.Send("still there?\n"), "ok");
  EXPECT_EQ(c1.Receive(), "still there?\n");
  RawClient c3 = NewClient();
  EXPECT_EQ(c3.Connect(server.listening_on_address()), "ECONNREFUSED");
  EXPECT_EQ(calls().size(), 1u);

  c1.Close();
  RunUntil(server.close_finished_and_handlers_determined());
  EXPECT_EQ(server.num_connections(), 0);
}

TEST_F(InetServerTest, B2_CloseInTheStepOfTheConnect) {
  Server<Inet>& server = Create(Steered());
  Settle();  // The server waits for a client.
  RawClient c1 = ConnectedClient(server);
  server.Close();
  EXPECT_EQ(c1.Receive(), "ECONNRESET");
  RunUntil(server.close_finished_and_handlers_determined());
  EXPECT_EQ(calls().size(), 0u);
}

TEST_F(InetServerTest, B3_CloseIsIdempotentAndGivesTheSameDeferred) {
  Server<Inet>& server = Create(Steered());
  const Deferred<> finished = server.close_finished();
  EXPECT_FALSE(server.is_closed());
  std::vector<std::string> order;
  server.close_finished_and_handlers_determined().Upon(
      [&] { order.push_back("handlers"); });
  const Deferred<> closed = server.Close();
  EXPECT_TRUE(server.is_closed());
  EXPECT_FALSE(closed.determined());  // Never in the same step.
  EXPECT_EQ(closed, finished);
  EXPECT_EQ(server.Close(), closed);
  EXPECT_FALSE(server.Close(ExistingConnections::kClose) == closed);
  closed.Upon([&] { order.push_back("close"); });
  RunUntil(server.close_finished_and_handlers_determined());
  Settle();
  EXPECT_EQ(order, (std::vector<std::string>{"close", "handlers"}));
  EXPECT_EQ(server.Close(), closed);
  EXPECT_TRUE(server.Close().determined());
}

// In the original, the second handler of a batch is called after the close
// (b4b).
TEST_F(InetServerTest, B4_CloseInTheFirstHandlerOfABatch) {
  for (const int batch : {1, 2, 16}) {
    Server<Inet>* server = nullptr;
    int called = 0;
    auto handler = [&](Inet::Address, Reader& reader, Writer&) -> Task<> {
      ++called;
      server->Close();
      char byte;
      co_await reader.Read(std::span<char>(&byte, 1));
    };
    ServerOptions options;
    options.max_accepts_per_batch = batch;
    server = &Create(handler, options);
    RawClient c1 = ConnectedClient(*server);
    RawClient c2 = ConnectedClient(*server);
    RunUntil(server->close_finished());
    Settle();
    EXPECT_EQ(called, 1);
    EXPECT_EQ(server->num_connections(), 1);
    EXPECT_EQ(c1.Peek(), "nothing");
    // Accepted before the close: end of file; in the backlog: reset.
    EXPECT_EQ(c2.Receive(), batch == 1 ? "ECONNRESET" : "EOF");
  }
}

TEST_F(InetServerTest, B5_HandlersDeterminedWaitsForTheHandler) {
  Server<Inet>& server = Create(Steered());
  RawClient client = ConnectedClient(server);
  Call& call = WaitForCall(0);
  RunUntil(server.Close());
  EXPECT_EQ(server.num_connections(), 1);
  call.writer->Write("echo\n");
  EXPECT_EQ(client.Receive(), "echo\n");
  client.Close();
  Settle();
  const Deferred<> determined = server.close_finished_and_handlers_determined();
  EXPECT_FALSE(determined.determined());
  EXPECT_EQ(server.num_connections(), 1);
  int seen = -1;
  determined.Upon([&] { seen = server.num_connections(); });
  call.end.Fill("");
  RunUntil([&] { return seen >= 0; });
  EXPECT_EQ(seen, 0);
}

TEST_F(InetServerTest, B6_CloseBeforeTheLoopRan) {
  Server<Inet>& server = Create(Steered());
  RawClient c1 = ConnectedClient(server);
  server.Close();
  EXPECT_TRUE(server.is_closed());
  EXPECT_EQ(c1.Receive(), "ECONNRESET");
  RawClient c2 = NewClient();
  EXPECT_EQ(c2.Connect(server.listening_on_address()), "ECONNREFUSED");
  RunUntil(server.close_finished_and_handlers_determined());
  EXPECT_EQ(calls().size(), 0u);
}

TEST_F(InetServerTest, B7_ThePortIsFreeAtOnce) {
  Server<Inet>& old_server = Create(Echo());
  RawClient c1 = ConnectedClient(old_server);
  WaitForCall(0);
  RunUntil(old_server.Close());
  Server<Inet>& new_server = CreateAt(
      WhereToListen<Inet>::OfLocalhost(old_server.listening_on()), Steered());
  RawClient c2 = ConnectedClient(new_server);
  WaitForCall(1).writer->Write("new server\n");
  EXPECT_EQ(c2.Receive(), "new server\n");
  EXPECT_EQ(c1.Send("old\n"), "ok");
  EXPECT_EQ(c1.Receive(), "old\n");
}

}  // namespace
}  // namespace portreeve::testing
