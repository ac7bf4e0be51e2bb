// CONFORMANCE C2: a connect on a socket that it is given.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "lib/base/status.h"
#include "lib/connect/connect.h"
#include "tests/conformance/both_kinds.h"
#include "tests/testing/sockets.h"

namespace portreeve::testing {
namespace {

using Address = Kind::Address;

constexpr int kFamily = kIsInet ? AF_INET : AF_UNIX;

class GivenToConnectTest : public ServerTest {
 protected:
  static WhereToConnect<Inet> At(const Inet::Address& address) {
    return WhereToConnect<Inet>::OfInetAddress(address);
  }
  static WhereToConnect<Unix> At(const Unix::Address& address) {
    return WhereToConnect<Unix>::OfUnixAddress(address);
  }

  // An address of a client's own.
  Descriptor Bound() { return BoundSocket(AddressOf(Where())); }

  absl::Status ErrorOf(Task<Socket<Kind>> connect) {
    std::optional<absl::Status> status;
    auto run = [&](Task<Socket<Kind>> task) -> Task<> {
      try {
        (void)co_await std::move(task);
        status = absl::OkStatus();
      } catch (const StatusError& error) {
        status = error.status();
      }
    };
    Run(run(std::move(connect)));
    return *status;
  }
  absl::Status ErrorOn(Descriptor socket, const WhereToConnect<Kind>& where,
                       ConnectOptions options = {}) {
    return ErrorOf(
        ConnectSock<Kind>(where, std::move(options), std::move(socket)));
  }

  static bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }
};

TEST_F(GivenToConnectTest, OneThatIsNotBoundIsConnected) {
  auto& server = Create(Echo());
  Descriptor fd = NewSocket(kFamily);
  const int number = fd.get();
  const int size = 54321;
  ASSERT_EQ(setsockopt(number, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
  const Socket<Kind> socket = Run(ConnectSock<Kind>(
      At(server.listening_on_address()), ConnectOptions(), std::move(fd)));
  EXPECT_EQ(socket.native_handle(), number);
  const Descriptor copy(dup(number));
  EXPECT_EQ(OptionOf(copy, SOL_SOCKET, SO_RCVBUF), 2 * size);
  EXPECT_TRUE(IsNonBlocking(copy));
  EXPECT_EQ(fcntl(number, F_GETFD), FD_CLOEXEC);
  if (kIsInet) EXPECT_EQ(OptionOf(copy, IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(socket.peer_address(), server.listening_on_address());
  WaitForCall(0);
  socket.CloseNow();
}

TEST_F(GivenToConnectTest, OneThatIsBoundKeepsItsAddress) {
  auto& server = Create(Steered());
  Descriptor fd = Bound();
  const AnyAddress address = LocalAddressOf(fd);
  const Socket<Kind> socket = Run(ConnectSock<Kind>(
      At(server.listening_on_address()), ConnectOptions(), std::move(fd)));
  EXPECT_EQ(AnyAddress(socket.local_address()), address);
  EXPECT_EQ(AnyAddress(WaitForCall(0).address), address);
  socket.CloseNow();
}

TEST_F(GivenToConnectTest, WithAReaderAndAWriter) {
  auto& server = Create(Echo());
  Descriptor fd = NewSocket(kFamily);
  const int number = fd.get();
  auto connection = Run(Connect<Kind>(At(server.listening_on_address()),
                                      ConnectOptions(), std::move(fd)));
  EXPECT_EQ(connection->socket.native_handle(), number);
  connection->writer.Write("hello\n");
  EXPECT_EQ(Run(connection->reader.ReadLine()), "hello");
}

TEST_F(GivenToConnectTest, OfWithConnection) {
  auto& server = Create(Echo());
  Descriptor fd = NewSocket(kFamily);
  const int number = fd.get();
  int used = -1;
  auto talk = [&](Socket<Kind> socket, Reader& reader,
                  Writer& writer) -> Task<std::string> {
    used = socket.native_handle();
    writer.Write("hello\n");
    co_return *co_await reader.ReadLine();
  };
  EXPECT_EQ(Run(WithConnection<Kind>(At(server.listening_on_address()),
                                     ConnectOptions(), talk, std::move(fd))),
            "hello");
  EXPECT_EQ(used, number);
  EXPECT_FALSE(IsOpen(number));
}

TEST_F(GivenToConnectTest, AWrongOneIsRefused) {
  auto& server = Create(Steered());
  const auto where = At(server.listening_on_address());
  const auto text_of = [&](Descriptor fd) {
    const absl::Status error = ErrorOn(std::move(fd), where);
    EXPECT_EQ(DetailOf(error).field, "socket");
    return std::string(error.message());
  };
  EXPECT_EQ(text_of(NewSocket(kFamily, SOCK_DGRAM)),
            "socket: must be a stream socket, but is a datagram one");
  EXPECT_EQ(text_of(NewSocket(kIsInet ? AF_UNIX : AF_INET)),
            kIsInet ? "socket: must be an inet socket, but is a unix one"
                    : "socket: must be a unix socket, but is an IPv4 one");
  EXPECT_EQ(text_of(ListeningSocketAt(AddressOf(Where()), 1)),
            "socket: must not be listening, but is");
  EXPECT_EQ(text_of(Descriptor(dup(STDIN_FILENO))),
            "socket: must be a socket, but is something else");
  EXPECT_EQ(text_of(Descriptor()), "socket: must be an open descriptor");
  RawClient client = ConnectedClient(server);
  EXPECT_EQ(text_of(Descriptor(dup(client.socket().native_handle()))),
            "socket: must not be connected, but is");
  // That connection is the only one that the server has seen.
  Call& call = WaitForCall(0);
  call.writer->Write("still here");
  EXPECT_EQ(client.Receive(), "still here");
  Settle();
  EXPECT_EQ(calls().size(), 1u);
}

TEST_F(GivenToConnectTest, WhatIsRefusedStaysAsItWas) {
  auto& server = Create(Steered());
  const Descriptor fd = NewSocket(kFamily);
  ConnectOptions options;
  options.timeout = Duration::zero();
  EXPECT_EQ(
      DetailOf(ErrorOn(CopyOf(fd), At(server.listening_on_address()), options))
          .reason,
      Reason::kConnectTimeout);
  EXPECT_FALSE(IsNonBlocking(fd));
}

TEST_F(GivenToConnectTest, ItIsClosedWhereTheConnectFails) {
  auto& server = Create(Steered());
  const auto where = At(server.listening_on_address());
  RunUntil(server.Close());
  Descriptor fd = NewSocket(kFamily);
  const int number = fd.get();
  EXPECT_EQ(DetailOf(ErrorOn(std::move(fd), where)).reason,
            Reason::kConnectRefused);
  EXPECT_FALSE(IsOpen(number));
}

}  // namespace
}  // namespace portreeve::testing
