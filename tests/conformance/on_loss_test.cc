// How a connection ends whose peer did not take in time what was written: in
// order, as the original has it, or with a reset.
#include "lib/connect/connect.h"
#include "tests/conformance/both_kinds.h"

namespace portreeve::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class OnLossTest : public ServerTest {
 protected:
  static constexpr size_t kBytes = ServerTest::kBigBytes;

  // A connection of a server that ends a loss as `on_loss` says, with kBytes
  // written, and a client that does not read.
  struct Stalled {
    RawClient client;
    std::shared_ptr<AnyConnection> connection;
    Ivar<> end;
  };
  Stalled Stall(OnLoss on_loss, BufferAgeLimit limit) {
    const Ivar<> end(executor());
    CoroutineHandler handler;
    handler.run = [end](StreamConnection& connection) {
      return WriteAndWait(connection, end);
    };
    handler.writer_errors = CoroutineHandler::WriterErrors::kOnlyClose;
    handler.on_loss = on_loss;
    auto& server = Create(Steered());
    server.any_server().SetHandler(handler, 1);
    server.any_server().SetBufferAgeLimit(limit);
    RawClient client = NewClient();
    client.ShrinkReceiveBuffer();
    EXPECT_EQ(client.Connect(server.listening_on_address()), "ok");
    Settle();
    return {std::move(client),
            server.any_server().connections().begin()->second, end};
  }

  static Task<> WriteAndWait(StreamConnection& connection, Ivar<> end) {
    connection.writer().Write(std::string(kBytes, 'x'));
    co_await end.deferred().Wait();
  }

  void ExpectCut(Stalled& stalled, OnLoss on_loss) {
    EXPECT_FALSE(stalled.connection->is_open());
    const RawClient::Drained drained = stalled.client.Drain();
    const auto sent = static_cast<size_t>(stalled.connection->bytes_sent());
    EXPECT_LT(drained.bytes, kBytes);
    EXPECT_EQ(drained.bytes, sent);
    // A unix socket has no reset.
    const bool is_reset = kIsInet && on_loss == OnLoss::kReset;
    EXPECT_EQ(drained.end, is_reset ? "ECONNRESET" : "EOF");
  }
};

TEST_F(OnLossTest, OfTheBufferAgeLimit) {
  for (const OnLoss on_loss : {OnLoss::kClose, OnLoss::kReset}) {
    auto stalled = Stall(on_loss, BufferAgeLimit::AtMost(seconds(10)));
    Pass(seconds(11));
    EXPECT_EQ(stalled.connection->reason(), CloseReason::kBufferAge);
    ExpectCut(stalled, on_loss);
    stalled.end.Fill();
    Settle();
  }
}

TEST_F(OnLossTest, OfTheForcedEndOfAHandler) {
  for (const OnLoss on_loss : {OnLoss::kClose, OnLoss::kReset}) {
    auto stalled = Stall(on_loss, BufferAgeLimit::Unlimited());
    stalled.end.Fill();
    Settle();
    Pass(seconds(30));
    EXPECT_EQ(stalled.connection->reason(), CloseReason::kForced);
    ExpectCut(stalled, on_loss);
  }
}

TEST_F(OnLossTest, OfTheForcedEndOfAClose) {
  for (const OnLoss on_loss : {OnLoss::kClose, OnLoss::kReset}) {
    auto stalled = Stall(on_loss, BufferAgeLimit::Unlimited());
    stalled.connection->Close(ExistingConnections::kClose,
                              CloseReason::kCalled);
    Pass(seconds(30));
    EXPECT_EQ(stalled.connection->reason(), CloseReason::kForced);
    ExpectCut(stalled, on_loss);
    stalled.end.Fill();
    Settle();
  }
}

// What was asked for, and lost nothing, is no loss.
TEST_F(OnLossTest, ACloseInTimeIsInOrder) {
  auto stalled = Stall(OnLoss::kReset, BufferAgeLimit());
  stalled.connection->Close(ExistingConnections::kClose, CloseReason::kCalled);
  Pass(seconds(29));
  const RawClient::Drained drained = stalled.client.Drain();
  EXPECT_EQ(drained.bytes, kBytes);
  EXPECT_EQ(drained.end, "EOF");
  RunUntil(stalled.connection->closed());
  EXPECT_EQ(stalled.connection->reason(), CloseReason::kCalled);
  EXPECT_EQ(stalled.connection->bytes_sent(), static_cast<int64_t>(kBytes));
  stalled.end.Fill();
  Settle();
}

}  // namespace
}  // namespace portreeve::testing
