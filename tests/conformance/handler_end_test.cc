// Scenarios (e): how a connection ends when its handler does.
#include "tests/conformance/both_kinds.h"

namespace portreeve::testing {
namespace {

using Texts = std::vector<std::string>;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_F(ServerTest, E1_FlushThenWriterThenReader) {
  Texts events;
  Server<Kind>* server = nullptr;
  auto handler = [&](Kind::Address, Reader& reader, Writer& writer) -> Task<> {
    writer.close_finished().Upon([&] {
      events.push_back("writer close_finished");
      EXPECT_TRUE(writer.is_closed());
      EXPECT_TRUE(reader.is_closed());
      EXPECT_EQ(server->num_connections(), 1);
    });
    reader.close_finished().Upon(
        [&] { events.push_back("reader close_finished"); });
    co_await reader.ReadLine();
    writer.Write("answer\n");
    events.push_back("returns");
  };
  server = &Create(handler);
  RawClient client = ConnectedClient(*server);
  EXPECT_EQ(client.Send("go\n"), "ok");
  EXPECT_EQ(client.Receive(), "answer\n");
  EXPECT_EQ(client.Receive(), "EOF");
  RunUntil([&] { return server->num_connections() == 0; });
  EXPECT_EQ(events, Texts({"returns", "writer close_finished",
                           "reader close_finished"}));
}

TEST_F(ServerTest, E2_AllIsFlushedAfterTheReturn) {
  auto [server, client, call] = StartServing();
  call.writer->Write(std::string(kBigBytes, 'x'));
  call.end.Fill("");
  Settle();
  time().Advance(seconds(1));
  Settle();
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_TRUE(call.writer->is_closed());
  EXPECT_FALSE(call.writer->close_finished().determined());
  EXPECT_GT(call.writer->bytes_to_write(), 0u);
  const RawClient::Drained drained = client.Drain();
  EXPECT_EQ(drained.bytes, kBigBytes);
  EXPECT_EQ(drained.end, "EOF");
  WaitForNoConnections(server);
}

// The fixture of the two scenarios of a client that never reads.
class ForcedCloseTest : public ServerTest {
 protected:
  // The handler has ended just now, with output unflushed.
  void ExpectForcedAfter30s(Server<Kind>& server, RawClient& client) {
    Settle();
    const auto connection = server.any_server().connections().begin()->second;
    Pass(seconds(30) - milliseconds(1));
    EXPECT_EQ(server.num_connections(), 1);
    EXPECT_FALSE(connection->closed().determined());
    Pass(milliseconds(1));
    EXPECT_TRUE(connection->closed().determined());
    EXPECT_EQ(connection->reason(), CloseReason::kForced);
    EXPECT_EQ(server.num_connections(), 0);
    EXPECT_FALSE(server.is_closed());
    const RawClient::Drained drained = client.Drain();
    EXPECT_GT(drained.bytes, 0u);
    EXPECT_LT(drained.bytes, kBigBytes);
    EXPECT_EQ(drained.end, "EOF");
  }
};
// The original waits for ever where the first use of the connection is a write
// of more than 256 KiB.
TEST_F(ForcedCloseTest, E3a_OneBigWrite) {
  auto [server, client, call] = StartServing();
  call.writer->Write(std::string(kBigBytes, 'x'));
  call.end.Fill("");
  ExpectForcedAfter30s(server, client);
}

TEST_F(ForcedCloseTest, E3a_ManySmallWrites) {
  auto [server, client, call] = StartServing();
  const std::string piece(100'000, 'x');
  for (size_t i = 0; i < kBigBytes / piece.size(); ++i) {
    call.writer->Write(piece);
    Settle();
  }
  call.end.Fill("");
  ExpectForcedAfter30s(server, client);
}

TEST_F(ForcedCloseTest, E3b_AfterReadingALine) {
  auto [server, client, call] = StartServing();
  EXPECT_EQ(client.Send("go\n"), "ok");
  EXPECT_EQ(Run(call.reader->ReadLine()), "go");
  // The 30 s count from the handler's end, not from the write.
  call.writer->Write(std::string(kBigBytes, 'x'));
  Settle();
  Pass(seconds(29));
  call.end.Fill("");
  ExpectForcedAfter30s(server, client);
}

TEST_F(ForcedCloseTest, E3_AlsoWhereTheHandlerThrows) {
  Texts called;
  auto f = [&](const Kind::Address&, std::exception_ptr error) {
    called.push_back(DescribeException(error));
  };
  auto [server, client, call] = StartServing({}, CallHandlerError<Kind>{f});
  call.writer->Write(std::string(kBigBytes, 'x'));
  call.end.Fill("boom");
  Settle();
  EXPECT_EQ(called, Texts());
  ExpectForcedAfter30s(server, client);
  EXPECT_EQ(called, Texts({"boom"}));
}

TEST_F(ServerTest, E4_TheErrorIsReportedAfterTheFlush) {
  Texts called;
  auto f = [&](const Kind::Address&, std::exception_ptr error) {
    called.push_back(DescribeException(error));
  };
  auto [server, client, call] = StartServing({}, CallHandlerError<Kind>{f});
  call.writer->Write(std::string(kBigBytes, 'x'));
  call.end.Fill("boom");
  Settle();
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_EQ(client.ReceiveExactly(kBigBytes / 2).size(), kBigBytes / 2);
  EXPECT_EQ(called, Texts());
  const RawClient::Drained drained = client.Drain();
  EXPECT_EQ(drained.bytes, kBigBytes / 2);
  EXPECT_EQ(drained.end, "EOF");
  RunUntil([&] { return !called.empty(); });
  EXPECT_EQ(called, Texts({"boom"}));
}

TEST_F(ServerTest, E5_TheHandlerClosesItsWriterAndGoesOn) {
  auto [server, client, call] = StartServing();
  call.writer->Write("x\n");
  RunUntil(call.writer->Close());
  EXPECT_FALSE(call.reader->is_closed());
  EXPECT_EQ(Run(call.reader->ReadLine()), std::nullopt);
  EXPECT_EQ(client.Receive(), "x\n");
  EXPECT_EQ(client.Receive(), "EOF");
  Settle();
  EXPECT_EQ(server.num_connections(), 1);
  call.end.Fill("");
  WaitForNoConnections(server);
}

TEST_F(ServerTest, E6_CreateSock) {
  int fd = -1;
  std::optional<Socket<Kind>> kept;
  const Ivar<> end(executor());
  auto handler = [&](Kind::Address, Socket<Kind> socket) -> Task<> {
    kept = socket;
    co_await end.deferred().Wait();
    fd = socket.native_handle();
  };
  auto created = Server<Kind>::CreateSock(executor(), Where(),
                                          RaiseHandlerError(), handler);
  ASSERT_TRUE(created.ok());
  Server<Kind>& server = **created;
  Adopt(*std::move(created));
  RawClient client = ConnectedClient(server);
  RunUntil([&] { return kept.has_value(); });
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_EQ(client.Peek(), "nothing");
  end.Fill();
  std::string seen;
  // Step by step: when the client sees the end, it is counted still.
  RunUntil([&] { return (seen = client.Peek()) != "nothing"; });
  EXPECT_EQ(seen, "EOF");
  EXPECT_GE(fd, 0);  // It was open when the handler returned.
  EXPECT_FALSE(kept->is_open());
  EXPECT_EQ(server.num_connections(), 1);
  WaitForNoConnections(server);
}

}  // namespace
}  // namespace portreeve::testing
