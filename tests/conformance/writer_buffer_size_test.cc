// CONFORMANCE C8: writer_buffer_size, of a connect and of a server.
#include <new>
#include <optional>
#include <string>

#include "lib/serve/server.h"
#include "tests/testing/connect_fixture.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::testing {
namespace {

constexpr size_t kPiece = 100;
constexpr int kPieces = 100;

class WriterBufferSizeTest : public ConnectFixture {
 protected:
  // Whether the Writer takes memory for what is written after the first piece.
  static bool TakesMemoryForMore(Writer& writer) {
    const std::string piece(kPiece, 'x');
    writer.Write(piece);
    RefuseMemoryAfter(0, kUntilGivenAgain);
    try {
      for (int i = 1; i < kPieces; ++i) writer.Write(piece);
    } catch (const std::bad_alloc&) {
      // That is the answer.
    }
    return GiveMemoryAgain();
  }
};

TEST_F(WriterBufferSizeTest, OfAConnection) {
  ConnectOptions options;
  for (const size_t size : {size_t{0}, kPiece, kPieces * kPiece}) {
    SCOPED_TRACE(size);
    options.writer_buffer_size = size;
    Pair pair = ConnectPair(options);
    EXPECT_EQ(TakesMemoryForMore(pair.writer()), size < kPieces * kPiece);
    Settle();
    // Nor is what was taken given back too early.
    EXPECT_EQ(pair.writer().bytes_to_write(), 0u);
    EXPECT_EQ(TakesMemoryForMore(pair.writer()), size < kPieces * kPiece);
    RunUntil(pair.writer().Close());
  }
}

// Where nothing has to wait nothing is taken.
TEST_F(WriterBufferSizeTest, OfBytesThatTheKernelTakesAtOnce) {
  ConnectOptions options;
  options.writer_buffer_size = 1 << 20;
  Pair pair = ConnectPair(options);
  const std::string_view piece = "at once";
  RefuseMemoryAfter(0, kUntilGivenAgain);
  pair.writer().WriteNow({&piece, 1});
  EXPECT_FALSE(GiveMemoryAgain());
  EXPECT_EQ(pair.peer.ReceiveExactly(piece.size()), piece);
}

TEST_F(WriterBufferSizeTest, OfWithConnection) {
  ConnectOptions options;
  options.writer_buffer_size = kPieces * kPiece;
  std::optional<bool> takes_memory;
  auto talk = [&](Socket<Inet>, Reader&, Writer& writer) -> Task<> {
    takes_memory = TakesMemoryForMore(writer);
    co_return;
  };
  const auto ended = StartWatched(WithConnection<Inet>(where(), options, talk));
  RunToEnd(ended);
  EXPECT_EQ(takes_memory, false);
}

TEST_F(WriterBufferSizeTest, OfAServersClient) {
  ServerOptions options;
  options.writer_buffer_size = kPieces * kPiece;
  std::optional<bool> takes_memory;
  auto handler = [&](Inet::Address, Reader&, Writer& writer) -> Task<> {
    takes_memory = TakesMemoryForMore(writer);
    co_return;
  };
  auto server =
      Server<Inet>::Create(executor(), WhereToListen<Inet>::OfLocalhost(0),
                           RaiseHandlerError(), handler, options);
  ASSERT_TRUE(server.ok()) << server.status();
  RawClient client(loop(), Driver());
  ASSERT_EQ(client.Connect((*server)->listening_on_address()), "ok");
  RunUntil([&] { return takes_memory.has_value(); });
  EXPECT_EQ(takes_memory, false);
  client.Close();
  Run((*server)->TearDown());
}

}  // namespace
}  // namespace portreeve::testing
