// Unix clients that have bound their sockets, to whatever bind(2) takes.
#include "tests/testing/unix_names.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/status.h"
#include "lib/connect/connect.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {
namespace {

class UnixNamesTest : public UnixServerTest {
 protected:
  UnixNamesTest() { EXPECT_EQ(chdir(folder().path().c_str()), 0); }

  // What comes back.
  std::string SendAndReceive(const Descriptor& client,
                             const std::string& text) {
    EXPECT_EQ(send(client.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
    std::string received(text.size(), '\0');
    ssize_t size = -1;
    RunUntil([&] {
      size = recv(client.get(), received.data(), received.size(), MSG_DONTWAIT);
      return size >= 0;
    });
    received.resize(static_cast<size_t>(size));
    return received;
  }

  static Task<> SendBack(Socket<Unix> socket) {
    std::array<char, 3> space;
    const size_t size = co_await socket.asio_socket().async_read_some(
        asio::buffer(space), kAwait);
    EXPECT_EQ(socket.core()->Send(space.data(), size),
              static_cast<ssize_t>(size));
  }
};

TEST_F(UnixNamesTest, AHandlerIsGivenTheName) {
  Server<Unix>& server = Create(Echo());
  size_t count = 0;
  for (const UnixName& kind : UnixNames(folder().path())) {
    SCOPED_TRACE(kind.label);
    const Descriptor client =
        ConnectedUnixSocket(kind.name, server.listening_on());
    const Call& call = WaitForCall(count++);
    EXPECT_EQ(call.address.path(), kind.name);
    EXPECT_EQ(SendAndReceive(client, "hi\n"), "hi\n");
  }
}

TEST_F(UnixNamesTest, AHandlerOfSocketsIsGivenTheName) {
  std::vector<std::string> names;
  auto handler = [&names](Unix::Address address,
                          Socket<Unix> socket) -> Task<> {
    names.push_back(address.path());
    EXPECT_EQ(socket.peer_address().path(), address.path());
    return SendBack(std::move(socket));
  };
  auto server = Server<Unix>::CreateSock(executor(), Where(),
                                         RaiseHandlerError(), handler);
  ASSERT_TRUE(server.ok());
  const std::string path = (*server)->listening_on();
  Adopt(*std::move(server));
  for (const UnixName& kind : UnixNames(folder().path())) {
    SCOPED_TRACE(kind.label);
    const Descriptor client = ConnectedUnixSocket(kind.name, path);
    EXPECT_EQ(SendAndReceive(client, "hi\n"), "hi\n");
    ASSERT_FALSE(names.empty());
    EXPECT_EQ(names.back(), kind.name);
  }
}

// The name of a client may be none to connect to: no name at all, one byte too
// long, or with a NUL inside.
TEST_F(UnixNamesTest, WhatCannotBeConnectedToIsRefused) {
  Server<Unix>& server = Create(Steered());
  size_t count = 0;
  for (const UnixName& kind : UnixNames(folder().path())) {
    SCOPED_TRACE(kind.label);
    const Descriptor client =
        ConnectedUnixSocket(kind.name, server.listening_on());
    const Call& call = WaitForCall(count++);
    const auto where = WhereToConnect<Unix>::OfUnixAddress(call.address);
    const bool is_path = !kind.name.empty() &&
                         kind.name.find('\0', 1) == std::string::npos &&
                         kind.name.size() <= kMaxUnixPathBytes;
    EXPECT_EQ(Validate(where).ok(), is_path);
    try {
      Run(ConnectSock<Unix>(where, ConnectOptions()));
      ADD_FAILURE() << "nobody listens there";
    } catch (const StatusError& error) {
      EXPECT_EQ(DetailOf(error.status()).reason,
                is_path ? Reason::kConnectRefused : Reason::kInvalidField);
    }
  }
}

}  // namespace
}  // namespace portreeve::testing
