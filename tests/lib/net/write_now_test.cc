// What Writer::WriteNow(), Reader::TryRead() and WaitUntilReadable() add to
// Reader and Writer.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/testing/connect_fixture.h"

namespace portreeve::testing {
namespace {

class WriteNow : public ConnectFixture {
 protected:
  // What TryRead() gives; "nothing" where it would wait.
  static std::string TryRead(Reader& reader, size_t most = 100) {
    std::string data(most, '\0');
    const std::optional<size_t> size = reader.TryRead(data);
    return size ? data.substr(0, *size) : "nothing";
  }
};

TEST_F(WriteNow, TheKernelHasItAtOnce) {
  Pair pair = ConnectPair();
  const std::vector<std::string_view> pieces = {"", "a", "bc", "", "def", ""};
  pair.writer().WriteNow(pieces);
  EXPECT_EQ(pair.connection->socket.core()->bytes_sent(), 6);
  EXPECT_EQ(pair.writer().bytes_to_write(), 0u);
  EXPECT_TRUE(pair.writer().Flushed().determined());
  EXPECT_EQ(pair.peer.ReceiveExactly(6), "abcdef");
}

TEST_F(WriteNow, OfNothingDoesNothing) {
  Pair pair = ConnectPair();
  const std::vector<std::string_view> pieces = {"", ""};
  pair.writer().WriteNow(pieces);
  pair.writer().WriteNow({});
  EXPECT_EQ(pair.connection->socket.core()->bytes_sent(), 0);
  EXPECT_EQ(pair.writer().bytes_to_write(), 0u);
  EXPECT_TRUE(pair.connection->socket.is_open());
}

TEST_F(WriteNow, MorePiecesThanOneCallTakes) {
  Pair pair = ConnectPair();
  std::string all;
  for (int i = 0; i < 1000; ++i) all += std::to_string(i) + " ";
  std::vector<std::string_view> pieces;
  for (size_t at = 0; at < all.size(); ++at) {
    pieces.push_back(std::string_view(all).substr(at, 1));
  }
  pair.writer().WriteNow(pieces);
  EXPECT_EQ(pair.writer().bytes_to_write(), 0u);
  EXPECT_EQ(pair.peer.ReceiveExactly(all.size()), all);
}

TEST_F(WriteNow, GoesBehindWhatWaits) {
  Pair pair = ConnectPair();
  const std::vector<std::string_view> pieces = {"sec", "ond"};
  pair.writer().Write("first ");
  pair.writer().WriteNow(pieces);
  EXPECT_EQ(pair.writer().bytes_to_write(), 12u);
  pair.writer().Write(" third");
  EXPECT_EQ(pair.peer.ReceiveExactly(18), "first second third");
}

TEST_F(WriteNow, TheRestIsCopiedAndFollowedInOrder) {
  Pair pair = ConnectPair();
  std::string first(kLargeWrite, 'a');
  for (size_t i = 0; i < first.size(); ++i) first[i] = "abcdefg"[i % 7];
  const std::string expected = first + "second";
  const std::string_view all(first);
  const std::vector<std::string_view> pieces = {
      all.substr(0, 10), all.substr(10, kLargeWrite / 2),
      all.substr(10 + kLargeWrite / 2)};
  pair.writer().WriteNow(pieces);
  const size_t waiting = pair.writer().bytes_to_write();
  EXPECT_GT(waiting, 0u);
  EXPECT_LT(waiting, kLargeWrite);
  EXPECT_EQ(static_cast<size_t>(pair.connection->socket.core()->bytes_sent()),
            kLargeWrite - waiting);
  const Deferred<FlushResult> flushed = pair.writer().Flushed();
  first.assign(kLargeWrite, 'X');
  const std::vector<std::string_view> second = {"second"};
  pair.writer().WriteNow(second);
  EXPECT_EQ(pair.writer().bytes_to_write(), waiting + 6);
  Settle();
  EXPECT_FALSE(flushed.determined());
  EXPECT_TRUE(pair.peer.ReceiveExactly(expected.size()) == expected);
  RunUntil([&] { return flushed.determined(); });
  EXPECT_EQ(flushed.value(), FlushResult::kFlushed);
}

TEST_F(WriteNow, TheAgeLimitHoldsForTheRest) {
  listener().ShrinkReceiveBuffers();
  Pair pair = ConnectPair(WithAgeLimit(BufferAgeLimit::AtMost(seconds(1))));
  const std::string large(kLargeWrite, 'x');
  const std::vector<std::string_view> pieces = {large};
  pair.writer().WriteNow(pieces);
  Settle();
  time().Advance(milliseconds(999));
  Settle();
  EXPECT_TRUE(pair.connection->socket.is_open());
  time().Advance(milliseconds(101));
  Settle();
  EXPECT_FALSE(pair.connection->socket.is_open());
  EXPECT_EQ(pair.connection->socket.reason(), CloseReason::kBufferAge);
  EXPECT_EQ(TakeErrors(),
            std::vector<std::string>{"writer buffer has data older than 1s"});
}

TEST_F(WriteNow, AClosedWriterThrows) {
  Pair pair = ConnectPair();
  const std::vector<std::string_view> pieces = {"late"};
  pair.writer().HalfClose();
  EXPECT_THROW(pair.writer().WriteNow(pieces), StatusError);
  pair.writer().Close();
  EXPECT_THROW(pair.writer().WriteNow(pieces), StatusError);
}

TEST_F(WriteNow, APeerThatHasLeftIsNoticed) {
  WriterOptions options;
  options.raise_when_consumer_leaves = false;
  Pair pair = ConnectPair();
  Writer writer(pair.connection->socket.core(), Monitor(), options);
  pair.peer.Reset();
  const std::vector<std::string_view> pieces = {"anybody?"};
  RunUntil([&] {
    if (!writer.is_closed()) writer.WriteNow(pieces);
    return writer.is_closed();
  });
  EXPECT_TRUE(writer.consumer_left().determined());
  EXPECT_FALSE(pair.connection->socket.is_open());
  EXPECT_EQ(pair.connection->socket.reason(), CloseReason::kPeerReset);
}

TEST_F(WriteNow, TryReadGivesWhatThereIs) {
  Pair pair = ConnectPair();
  EXPECT_EQ(TryRead(pair.reader()), "nothing");
  const auto readable = StartWatched(pair.reader().WaitUntilReadable());
  Settle();
  EXPECT_FALSE(readable->ended);
  EXPECT_THROW(TryRead(pair.reader()), StatusError);  // In use.
  EXPECT_EQ(pair.peer.Send("line\nrest"), "ok");
  ASSERT_TRUE(RunToEnd(readable));
  EXPECT_EQ(Run(pair.reader().ReadLine()), "line");
  // Of what the Reader holds, and at once.
  ASSERT_TRUE(RunToEnd(StartWatched(pair.reader().WaitUntilReadable())));
  EXPECT_EQ(TryRead(pair.reader(), 3), "res");
  EXPECT_EQ(TryRead(pair.reader()), "t");
  EXPECT_EQ(TryRead(pair.reader()), "nothing");
  pair.peer.Close();
  ASSERT_TRUE(RunToEnd(StartWatched(pair.reader().WaitUntilReadable())));
  EXPECT_EQ(TryRead(pair.reader()), "");
  ASSERT_TRUE(RunToEnd(StartWatched(pair.reader().WaitUntilReadable())));
}

}  // namespace
}  // namespace portreeve::testing
