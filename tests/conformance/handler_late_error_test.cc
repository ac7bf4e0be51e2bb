// Scenarios (d), continued: errors beside and after the handler, and errors of
// clients that have left.  CONFORMANCE S9.
#include <stdexcept>

#include "tests/conformance/both_kinds.h"

namespace portreeve::testing {
namespace {

using Texts = std::vector<std::string>;

std::exception_ptr Error(const std::string& text) {
  return std::make_exception_ptr(std::runtime_error(text));
}

// Waits for `when`, and throws `text`: a task that a handler leaves behind.
Task<> ThrowLater(Ivar<> when, std::string text) {
  co_await when.deferred().Wait();
  throw std::runtime_error(text);
}

// Notes what reaches on_handler_error.
CallHandlerError<Kind> NoteIn(Texts& called) {
  return {[&called](const Kind::Address&, std::exception_ptr error) {
    called.push_back(DescribeException(error));
  }};
}

// Logged in the original; here the creator's monitor is told.
TEST_F(ServerTest, D6_LateErrorGoesToTheCreatorsMonitor) {
  Texts called;
  auto [server, client, call] = StartServing({}, NoteIn(called));
  TaskScope background(executor().With(call.monitor));
  const Ivar<> late(executor());
  background.Spawn(ThrowLater(late, "late"));
  call.writer->Write("done\n");
  call.end.Fill("");
  WaitForNoConnections(server);
  late.Fill();
  EXPECT_EQ(WaitForErrors(1), Texts({"late"}));
  EXPECT_EQ(client.Receive(), "done\n");
  EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_EQ(called, Texts());
  EXPECT_FALSE(server.is_closed());
}

// The same between the handler's end and that of the flush.
TEST_F(ServerTest, D6_LateErrorWhileFlushing) {
  Texts called;
  auto [server, client, call] = StartServing({}, NoteIn(called));
  call.writer->Write(std::string(kBigBytes, 'x'));
  call.end.Fill("");
  Settle();
  EXPECT_EQ(server.num_connections(), 1);
  call.monitor.Send(Error("late"));
  EXPECT_EQ(TakeErrors(), Texts({"late"}));
  EXPECT_EQ(client.Drain().bytes, kBigBytes);
  WaitForNoConnections(server);
  EXPECT_EQ(called, Texts());
}

TEST_F(ServerTest, D7_BackgroundErrorIsTheHandlers) {
  Texts events;
  auto handler = [&](Kind::Address, Reader& reader, Writer&) -> Task<> {
    TaskScope background(co_await asio::this_coro::executor);
    const Ivar<> now(co_await asio::this_coro::executor);
    background.Spawn(ThrowLater(now, "background"));
    now.Fill();
    const auto line = co_await reader.ReadLine();
    events.push_back(line ? *line : "body sees EOF");
  };
  auto& server = Create(handler, {}, NoteIn(events));
  RawClient client = ConnectedClient(server);
  RunUntil([&] { return events.size() == 2; });
  EXPECT_EQ(events, Texts({"body sees EOF", "background"}));
  EXPECT_EQ(server.num_connections(), 0);
  EXPECT_FALSE(server.is_closed());
  EXPECT_EQ(client.Receive(), "EOF");
  Settle();
  EXPECT_EQ(events.size(), 2u);
}

// Counted out although the body runs on; handlers_determined waits for it.
TEST_F(ServerTest, D7_TheBodyRunsOn) {
  Texts called;
  auto [server, client, call] = StartServing({}, NoteIn(called));
  call.monitor.Send(Error("background"));
  RunUntil([&] { return !called.empty(); });
  EXPECT_EQ(called, Texts({"background"}));
  EXPECT_EQ(server.num_connections(), 0);
  EXPECT_EQ(client.Receive(), "EOF");
  RunUntil(server.Close());
  Settle();
  const auto determined = server.close_finished_and_handlers_determined();
  EXPECT_FALSE(determined.determined());
  call.end.Fill("");
  RunUntil(determined);
}

// The first is the handler's; the second is logged in the original, here the
// creator's monitor is told.
TEST_F(ServerTest, D8_SecondErrorGoesToTheCreatorsMonitor) {
  Texts called;
  auto [server, client, call] = StartServing({}, NoteIn(called));
  call.monitor.Send(Error("first"));
  call.monitor.Send(Error("second"));
  EXPECT_EQ(TakeErrors(), Texts({"second"}));
  RunUntil([&] { return !called.empty(); });
  call.end.Fill("third");  // The body throws as well.
  EXPECT_EQ(WaitForErrors(1), Texts({"third"}));
  EXPECT_EQ(called, Texts({"first"}));
  EXPECT_FALSE(server.is_closed());
  EXPECT_EQ(server.num_connections(), 0);
  EXPECT_EQ(client.Receive(), "EOF");
}

// TCP only: a unix socket that is closed with input unread resets its peer.
TEST_F(ServerTest, D12_ErrorWithUnreadInput) {
  auto [server, client, call] = StartServing({}, IgnoreHandlerError());
  EXPECT_EQ(client.Send(std::string(100000, 'x') + "\nboom\n"), "ok");
  call.writer->Write("partial answer\n");
  call.end.Fill("boom");
  EXPECT_EQ(client.Receive(), "partial answer\n");
  EXPECT_EQ(client.Receive(), "EOF");
  WaitForNoConnections(server);
}

TEST_F(ServerTest, D14a_ClientResetsThenTheHandlerThrows) {
  Texts called;
  auto [server, client, call] = StartServing({}, NoteIn(called));
  client.Reset();
  Settle();
  // Nothing was read or written, so nobody has noticed.
  EXPECT_FALSE(call.writer->is_closed());
  EXPECT_EQ(server.num_connections(), 1);
  call.end.Fill("boom");
  RunUntil([&] { return !called.empty(); });
  EXPECT_EQ(called, Texts({"boom"}));
  EXPECT_FALSE(server.is_closed());
  EXPECT_EQ(server.num_connections(), 0);
}

// The original drops the exception without a word.
TEST_F(ServerTest, D14b_ErrorAfterTheClientWasNoticedToHaveLeft) {
  Texts called;
  auto [server, client, call] = StartServing({}, NoteIn(called));
  client.Reset();
  call.writer->Write("x");
  RunUntil(call.writer->consumer_left());
  EXPECT_TRUE(call.writer->is_closed());
  call.end.Fill("boom");
  EXPECT_EQ(WaitForErrors(1), Texts({"boom"}));
  EXPECT_EQ(called, Texts());
  EXPECT_FALSE(server.is_closed());
  WaitForNoConnections(server);
}

// CONFORMANCE S9.  In the original the client holds its slot for 30 s more.
TEST_F(ServerTest, AClientThatLeavesIsCountedOutAtOnce) {
  Texts called;
  auto& server = Create(Steered(), WithMaxConnections(1), NoteIn(called));
  RawClient c1 = ConnectedClient(server);
  auto& call = WaitForCall(0);
  call.writer->Write(std::string(kBigBytes, 'x'));
  Settle();
  RawClient c2 = ConnectedClient(server);
  const auto flushed = call.writer->Flushed();
  c1.Reset();
  RunUntil([&] { return calls().size() == 2; });
  EXPECT_FALSE(call.over);  // Its handler runs on.
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_TRUE(call.writer->consumer_left().determined());
  ASSERT_TRUE(flushed.determined());
  EXPECT_EQ(flushed.value(), FlushResult::kLost);
  EXPECT_FALSE(server.is_closed());
  EXPECT_NO_THROW(call.writer->Write("more"));
  EXPECT_EQ(Run(call.reader->ReadLine()), std::nullopt);

  RunUntil(server.Close(ExistingConnections::kClose));
  WaitForCall(1).end.Fill("");
  WaitForNoConnections(server);
  const auto determined = server.close_finished_and_handlers_determined();
  EXPECT_FALSE(determined.determined());
  call.end.Fill("");
  RunUntil(determined);
  EXPECT_EQ(called, Texts());
  EXPECT_EQ(TakeLog().size(), 1u);  // The limit is reported.
}

// The same where the handler has ended, and its output is being flushed.
TEST_F(ServerTest, AClientThatLeavesDuringTheFlushIsCountedOutAtOnce) {
  auto [server, client, call] = StartServing();
  call.writer->Write(std::string(kBigBytes, 'x'));
  call.end.Fill("");
  Settle();
  EXPECT_EQ(server.num_connections(), 1);
  client.Reset();
  WaitForNoConnections(server);
  EXPECT_FALSE(server.is_closed());
}

// CONFORMANCE S9: also after a reset, reads give end of file, and no error.
TEST_F(ServerTest, AResetReadsAsEndOfFile) {
  auto& server = Create(Echo());
  RawClient client = ConnectedClient(server);
  auto& call = WaitForCall(0);
  EXPECT_EQ(client.Send("x\n"), "ok");
  EXPECT_EQ(client.Receive(), "x\n");
  const auto connection = server.any_server().connections().begin()->second;
  client.Reset();
  WaitForNoConnections(server);
  EXPECT_TRUE(call.over);
  // A unix socket has no reset.
  EXPECT_EQ(connection->reason(),
            kIsInet ? CloseReason::kPeerReset : CloseReason::kPeerClosed);
  EXPECT_FALSE(server.is_closed());
}

}  // namespace
}  // namespace portreeve::testing
