// Scenarios (a): creating a server, its address, its options.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <tuple>

#include "lib/base/status.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {
namespace {

int GetOption(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof(value);
  getsockopt(fd, level, name, &value, &size);
  return value;
}

TEST_F(InetServerTest, A1_CreateOnAPortChosenByTheOsAndEcho) {
  Server<Inet>& server =
      CreateAt(WhereToListen<Inet>::OfPortChosenByOs(), Echo());
  EXPECT_GT(server.listening_on(), 0);
  EXPECT_EQ(server.listening_on_address().address(),
            asio::ip::address_v4::any());
  EXPECT_EQ(server.num_connections(), 0);

  RawClient client = ConnectedClient(server);
  EXPECT_EQ(server.num_connections(), 0);  // The loop has not run.
  WaitForCall(0);
  EXPECT_EQ(server.num_connections(), 1);
  EXPECT_EQ(client.Send("hello\n"), "ok");
  EXPECT_EQ(client.Receive(), "hello\n");
  EXPECT_EQ(client.Send("again\n"), "ok");
  EXPECT_EQ(client.Receive(), "again\n");
  client.Close();
  RunUntil([&] { return server.num_connections() == 0; });
  EXPECT_TRUE(calls()[0]->over);
  EXPECT_FALSE(server.is_closed());
  EXPECT_FALSE(server.close_finished().determined());
}

TEST_F(InetServerTest, A2_AddressesAnswerAfterCloseToo) {
  Server<Inet>& server = Create(Echo());
  EXPECT_EQ(server.listening_on_address().address(),
            asio::ip::address_v4::loopback());
  const int port = server.listening_on();
  RunUntil(server.Close());
  EXPECT_EQ(server.listening_on(), port);
  // The original raises here.
  EXPECT_EQ(server.listening_on_address().port(), port);

  Server<Inet>& again = CreateAt(WhereToListen<Inet>::OfPort(port), Echo());
  EXPECT_EQ(again.listening_on(), port);
  EXPECT_EQ(again.listening_on_address().address(),
            asio::ip::address_v4::any());
}

TEST_F(InetServerTest, A3_HandlerGetsTheClientsAddress) {
  Server<Inet>& server = Create(Steered());
  RawClient client = ConnectedClient(server);
  EXPECT_EQ(AnyAddress(WaitForCall(0).address), client.local_address());
}

TEST_F(InetServerTest, A4_SocketOptions) {
  int accepted_fd = -1;
  auto handler = [&](Inet::Address, Socket<Inet> socket) -> Task<> {
    accepted_fd = socket.native_handle();
    const Ivar<> never(co_await asio::this_coro::executor);
    co_await never.deferred().Wait();
  };
  auto created = Server<Inet>::CreateSock(executor(), Where(),
                                          RaiseHandlerError(), handler);
  ASSERT_TRUE(created.ok());
  Server<Inet>& server = **created;
  const int listening = server.any_server().native_handle();
  EXPECT_EQ(GetOption(listening, SOL_SOCKET, SO_REUSEADDR), 1);
  EXPECT_EQ(GetOption(listening, IPPROTO_TCP, TCP_NODELAY), 0);
  RawClient client = ConnectedClient(server);
  RunUntil([&] { return accepted_fd >= 0; });
  EXPECT_EQ(GetOption(accepted_fd, IPPROTO_TCP, TCP_NODELAY), 1);
  // The original leaves it off (S14).
  EXPECT_EQ(GetOption(accepted_fd, SOL_SOCKET, SO_KEEPALIVE), 1);
  Adopt(*std::move(created));
}

TEST_F(InetServerTest, NoDelayIsObeyedOnAcceptedSockets) {
  for (const bool no_delay : {true, false}) {
    std::optional<int> seen;
    auto handler = [&](Inet::Address, Socket<Inet> socket) -> Task<> {
      seen = GetOption(socket.native_handle(), IPPROTO_TCP, TCP_NODELAY);
      co_return;
    };
    ServerOptions options;
    options.socket_options.no_delay = no_delay;
    auto created = Server<Inet>::CreateSock(
        executor(), Where(), RaiseHandlerError(), handler, options);
    ASSERT_TRUE(created.ok());
    RawClient client = ConnectedClient(**created);
    RunUntil([&] { return seen.has_value(); });
    EXPECT_EQ(*seen, no_delay ? 1 : 0);
    Adopt(*std::move(created));
  }
}

TEST_F(InetServerTest, A5_BadArgumentsAreRefusedBeforeAnythingIsBound) {
  const WhereToListen<Inet> free_port = Where();
  for (const auto& [connections, batch, backlog, field] :
       std::vector<std::tuple<int, int, int, std::string>>{
           {0, 1, 64, "max_connections"},
           {-1, 1, 64, "max_connections"},
           {5, 0, 64, "max_accepts_per_batch"},
           {5, -7, 64, "max_accepts_per_batch"},
           {5, 1, -1, "max_pending_connections"}}) {
    ServerOptions options;
    options.max_connections = connections;
    options.max_accepts_per_batch = batch;
    options.max_pending_connections = backlog;
    const int descriptors = CountDescriptors();
    const auto server = Server<Inet>::Create(
        executor(), free_port, RaiseHandlerError(), Steered(), options);
    ASSERT_FALSE(server.ok());
    EXPECT_EQ(DetailOf(server.status()).reason, Reason::kInvalidField);
    EXPECT_EQ(DetailOf(server.status()).field, field);
    EXPECT_EQ(CountDescriptors(), descriptors);
  }
}

TEST_F(InetServerTest, A5_BacklogOfZeroIsAccepted) {
  ServerOptions options;
  options.max_pending_connections = 0;
  Server<Inet>& server = Create(Echo(), options);
  RawClient client = ConnectedClient(server);
  EXPECT_EQ(client.Send("x\n"), "ok");
  EXPECT_EQ(client.Receive(), "x\n");
}

TEST_F(InetServerTest, A6_Defaults) {
  Server<Inet>& server = Create(Steered());
  EXPECT_EQ(server.any_server().max_connections(), DefaultMaxConnections());
  EXPECT_EQ(ServerOptions().max_accepts_per_batch, 1);
  EXPECT_EQ(ServerOptions().max_pending_connections, 64);
  EXPECT_FALSE(ServerOptions().drop_incoming_connections);
}

}  // namespace
}  // namespace portreeve::testing
