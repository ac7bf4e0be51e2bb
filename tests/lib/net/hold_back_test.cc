// What Writer::HoldBack() adds to a Writer, and what goes with it.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/testing/connect_fixture.h"

namespace portreeve::testing {
namespace {

class HoldBack : public ConnectFixture {
 protected:
  static constexpr size_t kPiece = 64 * 1024;
  static constexpr int64_t kMuch = 256 * 1024;  // For the kernel, unsent.

  HoldBack() {
    listener().ShrinkReceiveBuffers();
    pair_.emplace(ConnectPair());
    writer().HoldBack();
  }

  Writer& writer() { return pair_->writer(); }
  RawClient& peer() { return pair_->peer; }

  void WritePiece() {
    const std::string piece(kPiece, 'x');
    const std::vector<std::string_view> pieces = {piece};
    writer().WriteNow(pieces);
    Settle();
    written_ += kPiece;
  }
  // The peer reads nothing.
  void WriteUntilSomeIsHeld() {
    while (writer().bytes_to_write() == 0) WritePiece();
  }
  int64_t sent() const {
    return pair_->connection->socket.core()->bytes_sent();
  }
  void ExpectAll() {
    const RawClient::Drained drained = peer().Drain();
    EXPECT_EQ(drained.bytes, written_);
    EXPECT_EQ(drained.end, "EOF");
  }

  std::optional<Pair> pair_;
  size_t written_ = 0;
};

TEST_F(HoldBack, TheKernelHasSoMuchAndNoMore) {
  WriteUntilSomeIsHeld();
  EXPECT_EQ(writer().bytes_to_write(), kPiece);
  EXPECT_GT(sent(), kMuch);
  EXPECT_LT(sent(), 4 * kMuch);  // The peer's kernel has some, too.
  WritePiece();
  EXPECT_EQ(writer().bytes_to_write(), 2 * kPiece);
  writer().Abort();
}

TEST_F(HoldBack, AllIsSentInTheEndAsThePeerReads) {
  while (written_ < 40 * kPiece) WritePiece();
  const Deferred<FlushResult> flushed = writer().Flushed();
  EXPECT_FALSE(flushed.determined());
  EXPECT_EQ(peer().ReceiveExactly(written_).size(), written_);
  ASSERT_TRUE(RunUntil([&] { return flushed.determined(); }));
  EXPECT_EQ(flushed.value(), FlushResult::kFlushed);
}

TEST_F(HoldBack, HalfCloseGivesTheKernelAll) {
  WriteUntilSomeIsHeld();
  writer().HalfClose();
  EXPECT_FALSE(writer().has_sent_end());
  ASSERT_TRUE(RunUntil([this] { return writer().has_sent_end(); }));
  ExpectAll();
}

TEST_F(HoldBack, CloseGivesTheKernelAll) {
  WriteUntilSomeIsHeld();
  writer().Close();
  ASSERT_TRUE(RunUntil([this] { return writer().bytes_to_write() == 0; }));
  ExpectAll();
}

TEST_F(HoldBack, FlushedOfAllButSome) {
  WriteUntilSomeIsHeld();
  WritePiece();
  const Deferred<FlushResult> all = writer().Flushed();
  const Deferred<FlushResult> begun = writer().Flushed(2 * kPiece - 1);
  EXPECT_TRUE(writer().Flushed(2 * kPiece).determined());
  EXPECT_FALSE(begun.determined());
  writer().Close();
  ASSERT_TRUE(RunUntil([&] { return begun.determined(); }));
  EXPECT_EQ(begun.value(), FlushResult::kFlushed);
  ExpectAll();
  EXPECT_EQ(all.value(), FlushResult::kFlushed);
}

TEST_F(HoldBack, FlushedOfAllButSomeIsLostWithTheSocket) {
  WriteUntilSomeIsHeld();
  const Deferred<FlushResult> begun = writer().Flushed(1);
  writer().Abort();
  ASSERT_TRUE(RunUntil([&] { return begun.determined(); }));
  EXPECT_EQ(begun.value(), FlushResult::kLost);
}

TEST_F(HoldBack, AnEndIsSentAtOnceWhereNothingWaits) {
  EXPECT_FALSE(writer().has_sent_end());
  writer().HalfClose();
  EXPECT_TRUE(writer().has_sent_end());
}

}  // namespace
}  // namespace portreeve::testing
