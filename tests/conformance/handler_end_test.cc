// Scenarios (e): how a connection ends when its handler does.
#include "tests/conformance/both_kinds.h"

namespace portreeve::testing {
namespace {

using Texts = std::vector<std::string>;
using std::chrono::milliseconds;
using std::chrono::seconds;

TYPED_TEST_SUITE(ServerTest, BothKinds, KindName);

TYPED_TEST(ServerTest, E1_FlushThenWriterThenReader) {
  Texts events;
  Server<TypeParam>* server = nullptr;
  auto handler = [&](typename TypeParam::Address, Reader& reader,
                     Writer& writer) -> Task<> {
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
  server = &this->Create(handler);
  RawClient client = this->ConnectedClient(*server);
  EXPECT_EQ(client.Send("go\n"), "ok");
  EXPECT_EQ(client.Receive(), "answer\n");
  EXPECT_EQ(client.Receive(), "EOF");
  this->RunUntil([&] { return server->num_connections() == 0; });
  EXPECT_EQ(events, Texts({"returns", "writer close_finished",
                           "reader close_finished"}));
}

TYPED_TEST(ServerTest, E2_AllIsFlushedAfterTheReturn) {
  auto& server = this->Create(this->Steered());
  RawClient client = this->ConnectedClient(server);
  auto& call = this->WaitForCall(0);
  call.writer->Write(std::string(this->kBigBytes, 'x'));
  call.end.Fill("");
  this->Settle();
  this->time().Advance(seconds(1));
  this->Settle();
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_TRUE(call.writer->is_closed());
  EXPECT_FALSE(call.writer->close_finished().determined());
  EXPECT_GT(call.writer->bytes_to_write(), 0u);
  const RawClient::Drained drained = client.Drain();
  EXPECT_EQ(drained.bytes, this->kBigBytes);
  EXPECT_EQ(drained.end, "EOF");
  this->RunUntil([&] { return server.num_connections() == 0; });
}

// The fixture of the two scenarios of a client that never reads.
template <typename A>
class ForcedCloseTest : public ServerTest<A> {
 protected:
  void Pass(Duration time) {
    this->time().Advance(time);
    this->Settle();
  }

  // The handler has ended just now, with output unflushed.
  void ExpectForcedAfter30s(Server<A>& server, RawClient& client) {
    this->Settle();
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
    EXPECT_LT(drained.bytes, this->kBigBytes);
    EXPECT_EQ(drained.end, "EOF");
  }
};
TYPED_TEST_SUITE(ForcedCloseTest, BothKinds, KindName);

// The original waits for ever where the first use of the connection is a write
// of more than 256 KiB.
TYPED_TEST(ForcedCloseTest, E3a_OneBigWrite) {
  auto& server = this->Create(this->Steered());
  RawClient client = this->ConnectedClient(server);
  auto& call = this->WaitForCall(0);
  call.writer->Write(std::string(this->kBigBytes, 'x'));
  call.end.Fill("");
  this->ExpectForcedAfter30s(server, client);
}

TYPED_TEST(ForcedCloseTest, E3a_ManySmallWrites) {
  auto& server = this->Create(this->Steered());
  RawClient client = this->ConnectedClient(server);
  auto& call = this->WaitForCall(0);
  const std::string piece(100'000, 'x');
  for (size_t i = 0; i < this->kBigBytes / piece.size(); ++i) {
    call.writer->Write(piece);
    this->Settle();
  }
  call.end.Fill("");
  this->ExpectForcedAfter30s(server, client);
}

TYPED_TEST(ForcedCloseTest, E3b_AfterReadingALine) {
  auto& server = this->Create(this->Steered());
  RawClient client = this->ConnectedClient(server);
  auto& call = this->WaitForCall(0);
  EXPECT_EQ(client.Send("go\n"), "ok");
  EXPECT_EQ(this->Run(call.reader->ReadLine()), "go");
  // The 30 s count from the handler's end, not from the write.
  call.writer->Write(std::string(this->kBigBytes, 'x'));
  this->Settle();
  this->Pass(seconds(29));
  call.end.Fill("");
  this->ExpectForcedAfter30s(server, client);
}

TYPED_TEST(ForcedCloseTest, E3_AlsoWhereTheHandlerThrows) {
  Texts called;
  auto f = [&](const typename TypeParam::Address&, std::exception_ptr error) {
    called.push_back(DescribeException(error));
  };
  auto& server =
      this->Create(this->Steered(), {}, CallHandlerError<TypeParam>{f});
  RawClient client = this->ConnectedClient(server);
  auto& call = this->WaitForCall(0);
  call.writer->Write(std::string(this->kBigBytes, 'x'));
  call.end.Fill("boom");
  this->Settle();
  EXPECT_EQ(called, Texts());
  this->ExpectForcedAfter30s(server, client);
  EXPECT_EQ(called, Texts({"boom"}));
}

TYPED_TEST(ServerTest, E4_TheErrorIsReportedAfterTheFlush) {
  Texts called;
  auto f = [&](const typename TypeParam::Address&, std::exception_ptr error) {
    called.push_back(DescribeException(error));
  };
  auto& server =
      this->Create(this->Steered(), {}, CallHandlerError<TypeParam>{f});
  RawClient client = this->ConnectedClient(server);
  auto& call = this->WaitForCall(0);
  call.writer->Write(std::string(this->kBigBytes, 'x'));
  call.end.Fill("boom");
  this->Settle();
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_EQ(client.ReceiveExactly(this->kBigBytes / 2).size(),
            this->kBigBytes / 2);
  EXPECT_EQ(called, Texts());
  const RawClient::Drained drained = client.Drain();
  EXPECT_EQ(drained.bytes, this->kBigBytes / 2);
  EXPECT_EQ(drained.end, "EOF");
  this->RunUntil([&] { return !called.empty(); });
  EXPECT_EQ(called, Texts({"boom"}));
}

TYPED_TEST(ServerTest, E5_TheHandlerClosesItsWriterAndGoesOn) {
  auto& server = this->Create(this->Steered());
  RawClient client = this->ConnectedClient(server);
  auto& call = this->WaitForCall(0);
  call.writer->Write("x\n");
  this->RunUntil(call.writer->Close());
  EXPECT_FALSE(call.reader->is_closed());
  EXPECT_EQ(this->Run(call.reader->ReadLine()), std::nullopt);
  EXPECT_EQ(client.Receive(), "x\n");
  EXPECT_EQ(client.Receive(), "EOF");
  this->Settle();
  EXPECT_EQ(server.num_connections(), 1);
  call.end.Fill("");
  this->RunUntil([&] { return server.num_connections() == 0; });
}

TYPED_TEST(ServerTest, E6_CreateSock) {
  int fd = -1;
  std::optional<Socket<TypeParam>> kept;
  const Ivar<> end(this->executor());
  auto handler = [&](typename TypeParam::Address,
                     Socket<TypeParam> socket) -> Task<> {
    kept = socket;
    co_await end.deferred().Wait();
    fd = socket.native_handle();
  };
  auto created = Server<TypeParam>::CreateSock(this->executor(), this->Where(),
                                               RaiseHandlerError(), handler);
  ASSERT_TRUE(created.ok());
  Server<TypeParam>& server = **created;
  this->Adopt(*std::move(created));
  RawClient client = this->ConnectedClient(server);
  this->RunUntil([&] { return kept.has_value(); });
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_EQ(client.Peek(), "nothing");
  end.Fill();
  std::string seen;
  // Step by step: when the client sees the end, it is counted still.
  this->RunUntil([&] { return (seen = client.Peek()) != "nothing"; });
  EXPECT_EQ(seen, "EOF");
  EXPECT_GE(fd, 0);  // It was open when the handler returned.
  EXPECT_FALSE(kept->is_open());
  EXPECT_EQ(server.num_connections(), 1);
  this->RunUntil([&] { return server.num_connections() == 0; });
}

}  // namespace
}  // namespace portreeve::testing
