// Scenarios (d): what becomes of a handler's error, by on_handler_error.
#include <stdexcept>

#include "tests/conformance/both_kinds.h"

namespace portreeve::testing {
namespace {

using Texts = std::vector<std::string>;

// Echoes; at the line "boom" writes "bye", and throws "boom".
Task<> RunFragileEcho(Reader& reader, Writer& writer) {
  while (auto line = co_await reader.ReadLine()) {
    if (*line == "boom") {
      writer.Write("bye\n");
      throw std::runtime_error("boom");
    }
    writer.Write(*line + "\n");
  }
}

Server<Kind>::Handler FragileEcho() {
  return [](Kind::Address, Reader& reader, Writer& writer) {
    return RunFragileEcho(reader, writer);
  };
}

void ExpectEcho(RawClient& client, const std::string& line) {
  EXPECT_EQ(client.Send(line), "ok");
  EXPECT_EQ(client.Receive(), line);
}

void ExpectEnd(RawClient& client) {
  EXPECT_EQ(client.Receive(), "bye\n");
  EXPECT_EQ(client.Receive(), "EOF");
}

TEST_F(ServerTest, D1_RaiseClosesTheServerAndOthersLiveOn) {
  auto& server = Create(FragileEcho());
  RawClient c1 = ConnectedClient(server);
  RawClient c2 = ConnectedClient(server);
  RunUntil([&] { return server.num_connections() == 2; });
  EXPECT_EQ(c1.Send("boom\n"), "ok");
  EXPECT_EQ(WaitForErrors(1), Texts({"boom"}));
  RunUntil(server.close_finished());
  EXPECT_TRUE(server.is_closed());
  EXPECT_EQ(server.any_server().close_cause(), CloseCause::kHandlerError);
  EXPECT_EQ(server.num_connections(), 1);
  const auto determined = server.close_finished_and_handlers_determined();
  EXPECT_FALSE(determined.determined());
  ExpectEnd(c1);
  ExpectEcho(c2, "alive?\n");
  RawClient c3 = NewClient();
  EXPECT_EQ(c3.Connect(server.listening_on_address()), Refused());

  EXPECT_EQ(c2.Send("boom\n"), "ok");
  EXPECT_EQ(WaitForErrors(1), Texts({"boom"}));
  RunUntil(determined);
  EXPECT_EQ(server.num_connections(), 0);
  ExpectEnd(c2);
}

TEST_F(ServerTest, D2_RaiseAfterADelay) {
  auto& server = Create(Steered());
  RawClient c1 = ConnectedClient(server);
  auto& call1 = WaitForCall(0);
  RawClient c2 = ConnectedClient(server);
  auto& call2 = WaitForCall(1);
  EXPECT_EQ(call1.monitor.name(), "handler");
  EXPECT_FALSE(call1.monitor == call2.monitor);
  call1.writer->Write("bye\n");
  call1.end.Fill("late boom");
  EXPECT_EQ(WaitForErrors(1), Texts({"late boom"}));
  RunUntil(server.close_finished());
  EXPECT_EQ(server.num_connections(), 1);
  ExpectEnd(c1);
  call2.writer->Write("alive\n");
  EXPECT_EQ(c2.Receive(), "alive\n");
  RawClient c3 = NewClient();
  EXPECT_EQ(c3.Connect(server.listening_on_address()), Refused());
  call2.writer->Write("bye\n");
  call2.end.Fill("boom");
  EXPECT_EQ(WaitForErrors(1), Texts({"boom"}));
  RunUntil(server.close_finished_and_handlers_determined());
  ExpectEnd(c2);
}

TEST_F(ServerTest, D3_Ignore) {
  auto& server = Create(FragileEcho(), {}, IgnoreHandlerError());
  RawClient c1 = ConnectedClient(server);
  RawClient c2 = ConnectedClient(server);
  RunUntil([&] { return server.num_connections() == 2; });
  EXPECT_EQ(c1.Send("boom\n"), "ok");
  RunUntil([&] { return server.num_connections() == 1; });
  EXPECT_FALSE(server.is_closed());
  ExpectEnd(c1);
  ExpectEcho(c2, "alive?\n");
  RawClient c3 = ConnectedClient(server);
  ExpectEcho(c3, "hey\n");
  c3.Close();
  EXPECT_EQ(c2.Send("boom\n"), "ok");
  WaitForNoConnections(server);
  ExpectEnd(c2);
  EXPECT_FALSE(server.is_closed());
  EXPECT_EQ(server.any_server().handler_errors_total(), 2);
}

TEST_F(ServerTest, D4_CallAfterTheCloseAndTheCountDown) {
  Server<Kind>* server = nullptr;
  RawClient c1 = NewClient();
  int calls = 0;
  auto f = [&](const Kind::Address& address, std::exception_ptr error) {
    EXPECT_EQ(DescribeException(error), "boom");
    EXPECT_FALSE(server->is_closed());
    EXPECT_EQ(server->num_connections(), calls == 0 ? 1 : 0);
    if (++calls > 1) return;
    EXPECT_EQ(AnyAddress(address), c1.local_address());
    // Flushed and closed before.
    EXPECT_EQ(c1.Peek(), "bye\n");
    EXPECT_EQ(c1.Peek(), "EOF");
  };
  server = &Create(FragileEcho(), {}, CallHandlerError<Kind>{f});
  EXPECT_EQ(c1.Connect(server->listening_on_address()), "ok");
  RawClient c2 = ConnectedClient(*server);
  RunUntil([&] { return server->num_connections() == 2; });
  EXPECT_EQ(c1.Send("boom\n"), "ok");
  RunUntil([&] { return calls == 1; });
  EXPECT_EQ(server->num_connections(), 1);
  ExpectEcho(c2, "alive?\n");
  RawClient c3 = ConnectedClient(*server);
  ExpectEcho(c3, "hey\n");
  c3.Close();
  RunUntil([&] { return server->num_connections() == 1; });
  EXPECT_EQ(c2.Send("boom\n"), "ok");
  RunUntil([&] { return calls == 2; });
  ExpectEnd(c2);
  EXPECT_FALSE(server->is_closed());
}

TEST_F(ServerTest, D4_CallRunsUnderTheCreatorsMonitor) {
  std::optional<Monitor> monitor;
  auto f = [&](const StreamConnection&, std::exception_ptr) -> Task<> {
    const Executor executor = co_await asio::this_coro::executor;
    monitor = executor.monitor();
  };
  auto& server = Create(FragileEcho());
  server.any_server().SetOnHandlerError(CallOnHandlerError{f});
  RawClient client = ConnectedClient(server);
  EXPECT_EQ(client.Send("boom\n"), "ok");
  RunUntil([&] { return monitor.has_value(); });
  EXPECT_TRUE(*monitor == executor().monitor());
}

// Nobody else would hear of it.
TEST_F(ServerTest, TornDownDuringTheCallTheHandlersErrorIsRaised) {
  bool called = false;
  const Ivar<> never(executor());
  auto f = [&](const StreamConnection&, std::exception_ptr) -> Task<> {
    called = true;
    co_await never.deferred().Wait();
  };
  auto& server = Create(FragileEcho());
  server.any_server().SetOnHandlerError(CallOnHandlerError{f});
  RawClient client = ConnectedClient(server);
  EXPECT_EQ(client.Send("boom\n"), "ok");
  RunUntil([&] { return called; });
  EXPECT_EQ(TakeErrors(), Texts());
  TearDownServers();
  EXPECT_EQ(WaitForErrors(1), Texts({"boom"}));
}

TEST_F(ServerTest, D5_CallThatThrowsClosesTheServer) {
  int calls = 0;
  bool closed_before = false;
  Server<Kind>* server = nullptr;
  auto f = [&](const Kind::Address&, std::exception_ptr error) {
    EXPECT_EQ(DescribeException(error), "boom");
    EXPECT_EQ(server->num_connections(), calls == 0 ? 1 : 0);
    EXPECT_EQ(server->is_closed(), closed_before);
    ++calls;
    throw std::runtime_error("from on_handler_error");
  };
  server = &Create(FragileEcho(), {}, CallHandlerError<Kind>{f});
  RawClient c1 = ConnectedClient(*server);
  RawClient c2 = ConnectedClient(*server);
  RunUntil([&] { return server->num_connections() == 2; });
  EXPECT_EQ(c1.Send("boom\n"), "ok");
  EXPECT_EQ(WaitForErrors(1), Texts({"from on_handler_error"}));
  RunUntil(server->close_finished());
  EXPECT_TRUE(server->is_closed());
  EXPECT_EQ(server->num_connections(), 1);
  ExpectEnd(c1);
  ExpectEcho(c2, "alive?\n");
  RawClient c3 = NewClient();
  EXPECT_EQ(c3.Connect(server->listening_on_address()), Refused());

  closed_before = true;
  EXPECT_EQ(c2.Send("boom\n"), "ok");
  EXPECT_EQ(WaitForErrors(1), Texts({"from on_handler_error"}));
  RunUntil(server->close_finished_and_handlers_determined());
  EXPECT_EQ(calls, 2);
  ExpectEnd(c2);
}

TEST_F(ServerTest, D9_CreateSock) {
  auto handler = [](Kind::Address, Socket<Kind>) -> Task<> {
    throw std::runtime_error("sock boom");
    co_return;
  };
  auto created = Server<Kind>::CreateSock(executor(), Where(),
                                          RaiseHandlerError(), handler);
  ASSERT_TRUE(created.ok());
  Server<Kind>& server = **created;
  Adopt(*std::move(created));
  RawClient client = ConnectedClient(server);
  EXPECT_EQ(WaitForErrors(1), Texts({"sock boom"}));
  RunUntil(server.close_finished());
  EXPECT_TRUE(server.is_closed());
  EXPECT_EQ(server.num_connections(), 0);
  EXPECT_EQ(client.Receive(), "EOF");
}

// The creator's monitor is the one that was current at the Create().
TEST_F(ServerTest, D10_RaiseGoesToTheMonitorOfTheCreate) {
  Texts seen;
  Monitor monitor(executor().monitor(), "inner", [&](std::exception_ptr error) {
    seen.push_back(DescribeException(error));
  });
  auto created = Server<Kind>::Create(executor().With(monitor), Where(),
                                      RaiseHandlerError(), FragileEcho());
  ASSERT_TRUE(created.ok());
  Server<Kind>& server = **created;
  Adopt(*std::move(created));
  RawClient client = ConnectedClient(server);
  EXPECT_EQ(client.Send("boom\n"), "ok");
  RunUntil([&] { return !seen.empty(); });
  EXPECT_EQ(seen, Texts({"boom"}));
  EXPECT_EQ(TakeErrors(), Texts());
  monitor.Detach();
}

// The original ends the process with status 1.
TEST_F(ServerTest, D11_RaiseWithNobodyToHandleItIsLogged) {
  auto created = Server<Kind>::Create(Executor(loop().get_executor()), Where(),
                                      RaiseHandlerError(), FragileEcho());
  ASSERT_TRUE(created.ok());
  Server<Kind>& server = **created;
  Adopt(*std::move(created));
  RawClient c1 = ConnectedClient(server);
  RawClient c2 = ConnectedClient(server);
  EXPECT_EQ(c1.Send("boom\n"), "ok");
  RunUntil(server.close_finished());
  Settle();
  EXPECT_EQ(TakeLog(), Texts({"error: unhandled error: boom"}));
  ExpectEnd(c1);
  ExpectEcho(c2, "alive\n");
}

TEST_F(ServerTest, D13a_RaiseWithAClientInTheBacklog) {
  auto& server = Create(FragileEcho(), WithMaxConnections(1));
  RawClient c1 = ConnectedClient(server);
  RunUntil([&] { return server.num_connections() == 1; });
  RawClient c2 = ConnectedClient(server);
  EXPECT_EQ(c2.Send("c2 was here\n"), "ok");
  EXPECT_EQ(c1.Send("boom\n"), "ok");
  EXPECT_EQ(WaitForErrors(1), Texts({"boom"}));
  RunUntil(server.close_finished_and_handlers_determined());
  EXPECT_EQ(server.any_server().accepted_total(), 1);
  EXPECT_EQ(server.num_connections(), 0);
  EXPECT_EQ(c2.Receive(), "ECONNRESET");
  EXPECT_EQ(TakeLog().size(), 1u);  // The limit is reported.
}

TEST_F(ServerTest, D13b_IgnoreWithAClientInTheBacklog) {
  auto& server =
      Create(FragileEcho(), WithMaxConnections(1), IgnoreHandlerError());
  RawClient c1 = ConnectedClient(server);
  RunUntil([&] { return server.num_connections() == 1; });
  RawClient c2 = ConnectedClient(server);
  EXPECT_EQ(c2.Send("c2 was here\n"), "ok");
  EXPECT_EQ(c1.Send("boom\n"), "ok");
  EXPECT_EQ(c2.Receive(), "c2 was here\n");
  EXPECT_FALSE(server.is_closed());
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_EQ(TakeLog().size(), 1u);  // The limit is reported.
}

TEST_F(ServerTest, D15_CallMayCloseTheServer) {
  Server<Kind>* server = nullptr;
  auto f = [&](const Kind::Address&, std::exception_ptr) { server->Close(); };
  server = &Create(FragileEcho(), {}, CallHandlerError<Kind>{f});
  RawClient client = ConnectedClient(*server);
  EXPECT_EQ(client.Send("boom\n"), "ok");
  RunUntil(server->close_finished_and_handlers_determined());
  EXPECT_TRUE(server->is_closed());
  EXPECT_EQ(server->any_server().close_cause(), CloseCause::kCalled);
  EXPECT_EQ(server->num_connections(), 0);
  ExpectEnd(client);
}

}  // namespace
}  // namespace portreeve::testing
