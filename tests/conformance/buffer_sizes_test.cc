// CONFORMANCE C7: reader_buffer_size, of a connect and of a server; and which
// sizes are taken.
#include <sys/ioctl.h>

#include <string>
#include <utility>

#include "lib/base/status.h"
#include "lib/serve/server.h"
#include "tests/testing/connect_fixture.h"

namespace portreeve::testing {
namespace {

constexpr size_t kSize = 1000;
constexpr int kSent = 10000;

// A line, and more than any of the sizes.
std::string Sent() { return "line\n" + std::string(kSent - 5, 'x'); }

int UnreadOf(int fd) {
  int bytes = 0;
  return ioctl(fd, FIONREAD, &bytes) == 0 ? bytes : -1;
}

class BufferSizesTest : public ConnectFixture {
 protected:
  static ConnectOptions WithSizes(size_t reader, size_t writer = 0) {
    ConnectOptions options;
    options.reader_buffer_size = reader;
    options.writer_buffer_size = writer;
    return options;
  }

  // Has the reader of `fd` read one line of what has come, and gives how much
  // of it the kernel still has.
  int LeftAfterALine(Reader& reader, int fd) {
    RunUntil([&] { return UnreadOf(fd) == kSent; });
    EXPECT_EQ(Run(reader.ReadLine()), "line");
    return UnreadOf(fd);
  }

  // What a connect and the creation of a server say of the sizes.
  std::string ErrorOf(size_t reader, size_t writer) {
    const auto connect =
        StartWatched(Connect<Inet>(where(), WithSizes(reader, writer)));
    RunToEnd(connect);
    const auto sock =
        StartWatched(ConnectSock<Inet>(where(), WithSizes(reader, writer)));
    RunToEnd(sock);
    EXPECT_EQ(connect->text(), sock->text());
    ServerOptions options;
    options.reader_buffer_size = reader;
    options.writer_buffer_size = writer;
    const absl::Status status = Validate(options);
    EXPECT_EQ(status.message(), connect->text());
    return connect->text();
  }
};

TEST_F(BufferSizesTest, OfTheReaderOfAConnection) {
  Pair pair = ConnectPair(WithSizes(kSize));
  ASSERT_EQ(pair.peer.Send(Sent()), "ok");
  EXPECT_EQ(
      LeftAfterALine(pair.reader(), pair.connection->socket.native_handle()),
      kSent - static_cast<int>(kSize));
  // It bounds nothing.
  std::string rest(kSent - 5, '\0');
  EXPECT_EQ(Run(pair.reader().ReadExactly(rest)), rest.size());
  EXPECT_EQ("line\n" + rest, Sent());
}

TEST_F(BufferSizesTest, OfTheReaderOfWithConnection) {
  int left = -1;
  auto talk = [&](Socket<Inet> socket, Reader& reader, Writer&) -> Task<> {
    while (UnreadOf(socket.native_handle()) < kSent) {
      co_await socket.asio_socket().async_wait(asio::socket_base::wait_read,
                                               kTuple);
    }
    (void)co_await reader.ReadLine();
    left = UnreadOf(socket.native_handle());
  };
  const auto ended =
      StartWatched(WithConnection<Inet>(where(), WithSizes(kSize), talk));
  RawClient peer = listener().Accept();
  ASSERT_EQ(peer.Send(Sent()), "ok");
  RunToEnd(ended);
  EXPECT_EQ(left, kSent - static_cast<int>(kSize));
}

TEST_F(BufferSizesTest, OfTheReaderOfAServersClient) {
  int left = -1;
  Server<Inet>* created = nullptr;
  auto handler = [&](Inet::Address, Reader& reader, Writer&) -> Task<> {
    const auto& connections = created->any_server().connections();
    auto& connection =
        static_cast<StreamConnection&>(*connections.begin()->second);
    StreamSocket& socket = connection.socket()->socket();
    while (UnreadOf(socket.native_handle()) < kSent) {
      co_await socket.async_wait(asio::socket_base::wait_read, kTuple);
    }
    (void)co_await reader.ReadLine();
    left = UnreadOf(socket.native_handle());
  };
  ServerOptions options;
  options.reader_buffer_size = kSize;
  auto server =
      Server<Inet>::Create(executor(), WhereToListen<Inet>::OfLocalhost(0),
                           RaiseHandlerError(), handler, options);
  ASSERT_TRUE(server.ok()) << server.status();
  created = server->get();
  RawClient client(loop(), Driver());
  ASSERT_EQ(client.Connect(created->listening_on_address()), "ok");
  ASSERT_EQ(client.Send(Sent()), "ok");
  RunUntil([&] { return left >= 0; });
  EXPECT_EQ(left, kSent - static_cast<int>(kSize));
  client.Close();
  Run(created->TearDown());
}

TEST_F(BufferSizesTest, TheDefaultOfTheReaderIs16KiB) {
  Pair pair = ConnectPair();
  ASSERT_EQ(pair.peer.Send(Sent()), "ok");
  EXPECT_EQ(
      LeftAfterALine(pair.reader(), pair.connection->socket.native_handle()),
      0);
  EXPECT_EQ(BufferSizes().reader, 16u * 1024);
}

TEST_F(BufferSizesTest, AtTheirEdges) {
  constexpr size_t kMost = BufferSizes::kMost;
  EXPECT_EQ(ErrorOf(1, 0), "");
  EXPECT_EQ(ErrorOf(kMost, kMost), "");
  EXPECT_EQ(ErrorOf(0, 0),
            "reader_buffer_size: must be 1-1073741824 bytes, but is 0");
  EXPECT_EQ(ErrorOf(kMost + 1, 0),
            "reader_buffer_size: must be 1-1073741824 bytes, but is "
            "1073741825");
  EXPECT_EQ(ErrorOf(1, kMost + 1),
            "writer_buffer_size: must be 0-1073741824 bytes, but is "
            "1073741825");
}

}  // namespace
}  // namespace portreeve::testing
