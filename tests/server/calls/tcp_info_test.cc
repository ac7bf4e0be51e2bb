// GetConnection with tcp_info: of every kind of connection.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/server/remote_fixture.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {
namespace {

class TcpInfoTest : public RemoteFixture {
 protected:
  v1::Connection Ask(const std::string& name, bool tcp_info = true) {
    v1::GetConnectionRequest request;
    request.set_name(name);
    request.set_tcp_info(tcp_info);
    grpc::ClientContext context;
    v1::Connection connection;
    EXPECT_EQ(
        Shown(connections().GetConnection(&context, request, &connection)),
        "OK");
    return connection;
  }
  // A client of a new echo listener that has an answer, and its connection.
  std::unique_ptr<PlainClient> EchoClient(std::string* name) {
    const v1::Listener listener = Create(EchoSpec());
    auto client = std::make_unique<PlainClient>(PortOf(listener));
    client->Send("hello");
    client->Expect("hello");
    *name = Connections(listener.name()).at(0).name();
    return client;
  }
  std::unique_ptr<SocketCall> Dial(int port) {
    v1::ClientFrame frame;
    auto& inet =
        *frame.mutable_dial()->mutable_where_to_connect()->mutable_inet();
    inet.set_host("127.0.0.1");
    inet.set_port(port);
    auto call =
        std::make_unique<SocketCall>(connections(), &SocketCall::Stub::Dial);
    call->Send(frame);
    return call;
  }
};

TEST_F(TcpInfoTest, ComesOfABuiltInHandlersConnectionWhenItIsAskedFor) {
  std::string name;
  const auto client = EchoClient(&name);
  EXPECT_FALSE(Ask(name, false).has_tcp_info());
  const v1::Connection connection = Ask(name);
  ASSERT_TRUE(connection.has_tcp_info());
  EXPECT_EQ(connection.bytes_received(), 5);
  const v1::TcpInfo& info = connection.tcp_info();
  EXPECT_EQ(info.state(), "ESTAB");
  EXPECT_EQ(info.received_bytes(), 5);
  EXPECT_EQ(info.unsent_bytes(), 0);
  EXPECT_GT(info.congestion_window(), 0);
  EXPECT_GT(info.segment_size(), 0);
  EXPECT_GT(info.rtt().nanos(), 0);
  WaitUntil([&] { return Ask(name).tcp_info().acknowledged_bytes() == 5; });
  client->HalfClose();
  EXPECT_EQ(client->Receive(), "EOF");
}

TEST_F(TcpInfoTest, ComesOfForwardedAttachedAndDialledOnes) {
  PlainListener target;
  v1::ListenerSpec spec = EchoSpec();
  auto& upstream =
      *spec.mutable_handler()->mutable_forward()->mutable_upstream();
  upstream.mutable_inet()->set_host("127.0.0.1");
  upstream.mutable_inet()->set_port(target.port());
  const v1::Listener forward = Create(spec, "forward");
  PlainClient client(PortOf(forward));
  client.Send("123");
  PlainClient server = target.Accept();
  server.Expect("123");
  server.Send("1234567");
  client.Expect("1234567");
  // The numbers are those of the client's socket, and not of the upstream's.
  const std::string name = Connections("listeners/forward").at(0).name();
  EXPECT_EQ(Ask(name).tcp_info().received_bytes(), 3);

  CreateRemote();
  const Served offered = Offered();
  EXPECT_EQ(Ask(offered.name).state(), v1::CONNECTION_STATE_UNCLAIMED);
  EXPECT_EQ(Ask(offered.name).tcp_info().state(), "ESTAB");
  const Served attached = Attached();
  EXPECT_EQ(Ask(attached.name).tcp_info().state(), "ESTAB");
  attached.peer->HalfClose();
  WaitUntil(
      [&] { return Ask(attached.name).tcp_info().state() == "CLOSE-WAIT"; });

  const auto dial = Dial(target.port());
  const std::string dialled = dial->ReadOpened().name();
  const PlainClient peer = target.Accept();
  EXPECT_EQ(Ask(dialled).tcp_info().state(), "ESTAB");
}

TEST_F(TcpInfoTest, OneThatOpensHasNone) {
  PlainListener full(0);
  const PlainClient filler(full.port());
  const auto call = Dial(full.port());
  WaitUntil([this] { return Connections().size() == 1; });
  const v1::Connection opening = Ask(Connections()[0].name());
  EXPECT_EQ(opening.state(), v1::CONNECTION_STATE_OPENING);
  EXPECT_FALSE(opening.has_tcp_info());
  const PlainClient accepted = full.Accept();
  call->ReadOpened();
  EXPECT_TRUE(Ask(opening.name()).has_tcp_info());
}

TEST_F(TcpInfoTest, UnixSocketsHaveNone) {
  const TemporaryFolder folder;
  const std::string path = folder.File("s");
  for (const bool remote : {false, true}) {
    v1::ListenerSpec spec = remote ? RemoteSpec() : EchoSpec();
    spec.mutable_where_to_listen()->mutable_unix_socket()->set_path(path);
    const v1::Listener listener = Create(spec, remote ? "remote" : "echo");
    std::optional<WorkerCall> worker;
    if (remote) worker.emplace(handlers(), listener.name());
    const PlainClient client(path);
    WaitUntil([&] { return Connections(listener.name()).size() == 1; });
    const v1::Connection connection =
        Ask(Connections(listener.name())[0].name());
    EXPECT_EQ(connection.peer().kind_case(), v1::Address::kUnixSocket);
    EXPECT_FALSE(connection.has_tcp_info());
    Close(listener.name(), v1::EXISTING_CONNECTIONS_RESET);
  }
}

TEST_F(TcpInfoTest, UnknownOnesAreRefused) {
  v1::GetConnectionRequest request;
  request.set_tcp_info(true);
  v1::Connection connection;
  request.set_name("connections/c0");
  grpc::ClientContext malformed;
  EXPECT_EQ(
      Shown(connections().GetConnection(&malformed, request, &connection)),
      "5 / NOT_FOUND");
}

}  // namespace
}  // namespace portreeve::testing
