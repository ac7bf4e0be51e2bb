// A Writer whose connection goes on in another process.
#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/net/socket.h"
#include "lib/net/writer.h"
#include "tests/testing/connect_fixture.h"

namespace portreeve::testing {
namespace {

class FrozenWriterTest : public ConnectFixture {
 protected:
  // As another process goes on with what `pair` has: its socket, and a Writer.
  struct Other {
    std::shared_ptr<SocketCore> socket;
    std::unique_ptr<Writer> writer;
    std::string error;
  };
  std::unique_ptr<Other> MoveOn(Pair& pair, WriterOptions options = {}) {
    FrozenWriter frozen = pair.writer().Freeze();
    pair.writer().LetGo();
    const std::shared_ptr<SocketCore> before = pair.connection->socket.core();
    Descriptor fd = before->LetGo();
    EXPECT_FALSE(before->is_open());
    EXPECT_TRUE(before->is_closed());
    EXPECT_TRUE(pair.writer().is_closed());
    auto other = std::make_unique<Other>();
    StreamSocket socket(loop().get_executor());
    EXPECT_EQ(AssignSocket(fd, before->peer(), socket), 0);
    other->socket = std::make_shared<SocketCore>(executor(), std::move(socket),
                                                 before->peer());
    other->socket->RestoreCounts(before->bytes_received(),
                                 before->bytes_sent());
    const Monitor monitor(executor().monitor(), "other",
                          [&other = *other](std::exception_ptr e) {
                            other.error = DescribeException(e);
                          });
    options.on_loss = OnLoss::kReset;
    other->writer =
        std::make_unique<Writer>(other->socket, monitor, std::move(options));
    other->writer->Restore(frozen);
    EXPECT_EQ(other->writer->Freeze(), frozen);
    return other;
  }
};

TEST_F(FrozenWriterTest, WhatTheKernelHasNotTakenGoesOnInOrder) {
  Pair pair = ConnectPair();
  const std::string first(kLargeWrite, 'a');
  pair.writer().WriteNow(std::vector<std::string_view>{first});
  ASSERT_GT(pair.writer().bytes_to_write(), 0u);
  const auto other = MoveOn(pair);
  EXPECT_EQ(other->writer->bytes_to_write() +
                static_cast<size_t>(other->socket->bytes_sent()),
            kLargeWrite);
  other->writer->Write("second");
  EXPECT_EQ(pair.peer.ReceiveExactly(kLargeWrite + 6), first + "second");
  EXPECT_EQ(other->socket->bytes_sent(), static_cast<int64_t>(kLargeWrite) + 6);
  // Nobody has ended it.
  EXPECT_EQ(pair.peer.Peek(), "nothing");
  (void)other->writer->Close();
  EXPECT_EQ(pair.peer.Receive(), "EOF");
}

TEST_F(FrozenWriterTest, LettingGoLosesNothingAndRaisesNothing) {
  Pair pair = ConnectPair();
  pair.writer().Write("it waits for the next step");
  const auto flushed = pair.writer().Flushed();
  const auto other = MoveOn(pair);
  Settle();
  EXPECT_EQ(flushed.value(), FlushResult::kLost);
  EXPECT_EQ(pair.peer.Receive(), "it waits for the next step");
  EXPECT_EQ(pair.peer.Peek(), "nothing");
  EXPECT_EQ(other->error, "");
}

TEST_F(FrozenWriterTest, AnEndThatWaitsIsSentByTheOther) {
  Pair pair = ConnectPair();
  pair.writer().Write("last");
  pair.writer().HalfClose();
  const auto other = MoveOn(pair);
  EXPECT_TRUE(other->writer->is_half_closed());
  EXPECT_EQ(pair.peer.Receive(), "last");
  EXPECT_EQ(pair.peer.Receive(), "EOF");
  EXPECT_TRUE(other->writer->has_sent_end());
}

TEST_F(FrozenWriterTest, AnEndThatWasSentIsNotSentTwice) {
  Pair pair = ConnectPair();
  pair.writer().HalfClose();
  EXPECT_EQ(pair.peer.Receive(), "EOF");
  const auto other = MoveOn(pair);
  EXPECT_TRUE(other->writer->has_sent_end());
  EXPECT_EQ(pair.peer.Send("still"), "ok");
  char text[5];
  ASSERT_TRUE(RunUntil([&] { return other->socket->Receive(text, 5) == 5; }));
  EXPECT_TRUE(other->socket->is_open());
}

TEST_F(FrozenWriterTest, TheAgeOfWhatWaitsGoesOn) {
  Pair pair = ConnectPair();
  const std::string first(kLargeWrite, 'a');
  pair.writer().WriteNow(std::vector<std::string_view>{first});
  time().Advance(std::chrono::seconds(100));
  pair.writer().Write("younger");
  const auto other = MoveOn(pair);  // Its limit is 2 minutes.
  time().Advance(std::chrono::seconds(19));
  Settle();
  EXPECT_TRUE(other->socket->is_open());
  time().Advance(std::chrono::seconds(2));
  ASSERT_TRUE(RunUntil([&] { return !other->socket->is_open(); }));
  EXPECT_EQ(other->socket->reason(), CloseReason::kBufferAge);
}

TEST_F(FrozenWriterTest, WhatIsYoungerHasItsOwnAge) {
  Pair pair = ConnectPair();
  const std::string first(kLargeWrite, 'a');
  pair.writer().WriteNow(std::vector<std::string_view>{first});
  time().Advance(std::chrono::seconds(100));
  const std::string second(kLargeWrite, 'b');
  pair.writer().Write(second);
  const auto other = MoveOn(pair);
  // The older part goes.
  EXPECT_EQ(pair.peer.ReceiveExactly(kLargeWrite), first);
  Settle();
  ASSERT_GT(other->writer->bytes_to_write(), 0u);
  time().Advance(std::chrono::seconds(119));
  Settle();
  EXPECT_TRUE(other->socket->is_open());
  time().Advance(std::chrono::seconds(2));
  ASSERT_TRUE(RunUntil([&] { return !other->socket->is_open(); }));
  EXPECT_EQ(other->socket->reason(), CloseReason::kBufferAge);
}

}  // namespace
}  // namespace portreeve::testing
