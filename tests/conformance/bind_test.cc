// Scenarios (j) and (l): bind errors, the backlog.
#include <fstream>
#include <sstream>

#include "lib/base/status.h"
#include "lib/connect/connect.h"
#include "tests/testing/server_fixture.h"
#include "tests/testing/sockets.h"

namespace portreeve::testing {
namespace {

class BindTest : public InetServerTest {
 protected:
  // The queue and its limit as the kernel shows them for a listening port.
  static std::pair<int, int> QueueOf(int port) {
    FILE* const ss = popen(
        ("ss -ltnH 'sport = :" + std::to_string(port) + "'").c_str(), "r");
    char state[32];
    int queue = -1;
    int limit = -1;
    if (fscanf(ss, "%31s %d %d", state, &queue, &limit) != 3) limit = -1;
    pclose(ss);
    return {queue, limit};
  }

  static int SoMaxConn() {
    std::ifstream file("/proc/sys/net/core/somaxconn");
    int value = 0;
    file >> value;
    return value;
  }
};

TEST_F(BindTest, J1_PortInUse) {
  Server<Inet>& server = Create(Steered());
  for (const auto& where :
       {WhereToListen<Inet>::OfPort(server.listening_on()),
        WhereToListen<Inet>::OfLocalhost(server.listening_on())}) {
    const absl::Status status = TryCreate(where);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(DetailOf(status).reason, Reason::kAddressInUse);
    EXPECT_EQ(DetailOf(status).error_number, EADDRINUSE);
    EXPECT_EQ(DetailOf(status).address, ToString(where));
    EXPECT_EQ(status.message(),
              "bind " + ToString(where) + ": Address already in use");
  }
}

// Its options are the caller's; what would be left undone is refused.
TEST_F(BindTest, S2_WhatASocketThatIsGivenIsNotFor) {
  const auto error_on = [&](const Descriptor& fd,
                            const WhereToListen<Inet>& where) {
    const absl::Status error = TryCreate(where, CopyOf(fd));
    EXPECT_FALSE(IsListening(fd));
    EXPECT_FALSE(IsNonBlocking(fd));
    return error;
  };
  WhereToListen<Inet> where = Where();
  const Descriptor v6 = NewSocket(AF_INET6);
  EXPECT_EQ(error_on(v6, where).message(),
            "socket: must be an IPv4 socket for tcp:127.0.0.1:0, but is an "
            "IPv6 one");
  const Descriptor v4 = NewSocket(AF_INET);
  where.port = -1;
  EXPECT_EQ(DetailOf(error_on(v4, where)).field, "port");
  where = Where();
  where.bind_to_interface = "lo";
  EXPECT_EQ(DetailOf(error_on(v4, where)).field, "bind_to_interface");
  EXPECT_EQ(DetailOf(error_on(BoundSocket(AddressOf(Where())), where)).field,
            "bind_to_interface");
}

TEST_F(BindTest, S2_ABoundSocketThatIsGivenMayBeOfTheOtherFamily) {
  const Inet::Address address(asio::ip::address_v6::loopback(), 0);
  auto server =
      Server<Inet>::Create(executor(), Where(), RaiseHandlerError(), Echo(),
                           ServerOptions(), BoundSocket(address));
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ((*server)->listening_on_address().address(), address.address());
  RawClient client = ConnectedClient(**server);
  Adopt(*std::move(server));
  EXPECT_EQ(client.Send("hello\n"), "ok");
  EXPECT_EQ(client.Receive(), "hello\n");
}

TEST_F(BindTest, J1_AddressOfNoLocalInterface) {
  const absl::Status status = TryCreate(
      WhereToListen<Inet>::OfAddress(asio::ip::make_address("203.0.113.1"), 0));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(DetailOf(status).reason, Reason::kAddressNotAvailable);
  EXPECT_EQ(DetailOf(status).error_number, EADDRNOTAVAIL);
}

TEST_F(BindTest, J1_PortOutsideItsRangeIsRefusedNotTruncated) {
  for (const int port : {70000, -1, 65536}) {
    const absl::Status status = TryCreate(WhereToListen<Inet>::OfPort(port));
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(DetailOf(status).field, "port");
  }
}

TEST_F(BindTest, S1_Ipv6OnlyAndReusePort) {
  auto where = WhereToListen<Inet>::OfAddress(asio::ip::address_v6::any(), 0);
  // The same port is free for IPv4, unless somebody else on this machine has
  // it, who does not have them all.
  const auto is_free_for_ipv4 = [&] {
    const int port = CreateAt(where, Steered()).listening_on();
    return TryCreate(WhereToListen<Inet>::OfPort(port)).ok();
  };
  int num_tried = 1;
  while (!is_free_for_ipv4()) ASSERT_LT(++num_tried, 100);

  where = WhereToListen<Inet>::OfLocalhost(0);
  where.reuse_port = true;
  Server<Inet>& first = CreateAt(where, Steered());
  where.port = first.listening_on();
  EXPECT_TRUE(TryCreate(where).ok());
}

TEST_F(BindTest, S1_ReuseAddressOff) {
  auto where = WhereToListen<Inet>::OfLocalhost(0);
  where.reuse_address = false;
  Server<Inet>& server = CreateAt(where, Steered());
  RawClient client = ConnectedClient(server);
  WaitForCall(0);
  RunUntil(server.Close());
  // The old connection holds the port.
  where.port = server.listening_on();
  EXPECT_EQ(DetailOf(TryCreate(where)).reason, Reason::kAddressInUse);
}

TEST_F(BindTest, S11_BindToInterface) {
  auto where = WhereToListen<Inet>::OfLocalhost(0);
  where.bind_to_interface = "lo";
  Server<Inet>& server = CreateAt(where, Steered());
  RawClient client = ConnectedClient(server);
  WaitForCall(0);
  where.bind_to_interface = "no-such-if";
  EXPECT_EQ(DetailOf(TryCreate(where)).field, "bind_to_interface");
  where.bind_to_interface = "a-name-that-is-too-long";
  EXPECT_EQ(DetailOf(TryCreate(where)).field, "bind_to_interface");
}

TEST_F(BindTest, L1_BacklogAsTheKernelSeesIt) {
  for (const int asked : {64, 5, 0, 1000000}) {
    ServerOptions options;
    options.max_pending_connections = asked;
    Server<Inet>& server = Create(Steered(), options);
    const int expected = std::min(asked, SoMaxConn());
    EXPECT_EQ(QueueOf(server.listening_on()).second, expected);
    EXPECT_EQ(server.any_server().effective_backlog(), expected);
  }
  Server<Inet>& server = Create(Steered());
  EXPECT_TRUE(server.any_server().SetMaxPendingConnections(7).ok());
  EXPECT_EQ(QueueOf(server.listening_on()).second, 7);
  EXPECT_EQ(server.any_server().effective_backlog(), 7);
}

TEST_F(BindTest, L2_MoreThanTheBacklogTimeOut) {
  ServerOptions options;
  options.max_connections = 1;
  options.max_pending_connections = 2;
  Server<Inet>& server = Create(Steered(), options);
  RawClient served = ConnectedClient(server);
  WaitForCall(0);
  EXPECT_EQ(TakeLog().size(), 1u);
  // backlog + 1 wait in the kernel (Linux).
  RawClient c2 = ConnectedClient(server);
  RawClient c3 = ConnectedClient(server);
  RawClient c4 = ConnectedClient(server);
  EXPECT_EQ(QueueOf(server.listening_on()).first, 3);
  const auto where =
      WhereToConnect<Inet>::OfInetAddress(server.listening_on_address());
  for (int i = 5; i <= 6; ++i) {
    ConnectOptions connect_options;
    connect_options.timeout = std::chrono::milliseconds(400);
    bool ended = false;
    std::string text;
    auto connect = [&]() -> Task<> {
      try {
        co_await ConnectSock<Inet>(where, connect_options);
      } catch (const StatusError& error) {
        text = error.what();
      }
      ended = true;
    };
    Start(connect());
    Settle();
    EXPECT_FALSE(ended);
    time().Advance(std::chrono::milliseconds(400));
    RunUntil([&] { return ended; });
    EXPECT_EQ(text, "connection attempt timeout " + ToString(where));
  }
  EXPECT_EQ(calls().size(), 1u);
}

}  // namespace
}  // namespace portreeve::testing
