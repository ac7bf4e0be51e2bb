#include "server/calls/connection_service.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/server/service_fixture.h"

namespace portreeve::testing {
namespace {

class ConnectionServiceTest : public ServiceFixture {
 protected:
  // A client that the listener serves.
  std::unique_ptr<PlainClient> Served(const v1::Listener& listener) {
    auto client = std::make_unique<PlainClient>(
        listener.status().listening_on().inet().port());
    client->Send("x");
    EXPECT_EQ(client->Receive(), "x");
    return client;
  }
  std::string Get(const std::string& name, v1::Connection* connection) {
    v1::GetConnectionRequest request;
    request.set_name(name);
    grpc::ClientContext context;
    return Shown(connections().GetConnection(&context, request, connection));
  }
  v1::Connection CloseConnection(const std::string& name, v1::CloseMode mode) {
    v1::CloseConnectionRequest request;
    request.set_name(name);
    request.set_mode(mode);
    grpc::ClientContext context;
    v1::Connection connection;
    EXPECT_EQ(
        Shown(connections().CloseConnection(&context, request, &connection)),
        "OK");
    return connection;
  }
};

TEST_F(ConnectionServiceTest, ListsByListenerInTheOrderOfNames) {
  const v1::Listener a = Create(EchoSpec(), "a");
  const v1::Listener b = Create(EchoSpec(), "b");
  std::vector<std::unique_ptr<PlainClient>> clients;
  for (int i = 0; i < 12; ++i) clients.push_back(Served(i % 2 == 0 ? a : b));
  EXPECT_EQ(Connections("listeners/a").size(), 6u);
  EXPECT_EQ(Connections("listeners/b").size(), 6u);
  std::vector<std::string> names;
  for (const auto& connection : Connections()) {
    names.push_back(connection.name());
  }
  EXPECT_EQ(names.size(), 12u);
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
}

TEST_F(ConnectionServiceTest, PagesHoldWhileConnectionsGo) {
  const v1::Listener listener = Create(EchoSpec());
  std::vector<std::unique_ptr<PlainClient>> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(Served(listener));
  v1::ListConnectionsRequest request;
  request.set_page_size(2);
  std::set<std::string> names;
  for (;;) {
    grpc::ClientContext context;
    v1::ListConnectionsResponse page;
    ASSERT_EQ(Shown(connections().ListConnections(&context, request, &page)),
              "OK");
    for (const auto& connection : page.connections()) {
      names.insert(connection.name());
    }
    if (page.next_page_token().empty()) break;
    // The one that the token stands for goes.
    CloseConnection(page.connections().rbegin()->name(), v1::CLOSE_MODE_RESET);
    request.set_page_token(page.next_page_token());
  }
  EXPECT_EQ(names.size(), 5u);
}

TEST_F(ConnectionServiceTest, GetShowsWhatGoesThrough) {
  const v1::Listener listener = Create(EchoSpec());
  const auto client = Served(listener);
  const std::string name = Connections().at(0).name();
  v1::Connection connection;
  // A loop of its own counts what it has sent after the client may have it.
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  do {
    ASSERT_EQ(Get(name, &connection), "OK");
    ASSERT_LT(std::chrono::steady_clock::now(), end);
  } while (connection.bytes_sent() == 0);
  EXPECT_EQ(connection.listener(), listener.name());
  EXPECT_EQ(connection.state(), v1::CONNECTION_STATE_OPEN);
  EXPECT_EQ(connection.direction(), v1::DIRECTION_INBOUND);
  EXPECT_EQ(connection.local().DebugString(),
            listener.status().listening_on().DebugString());
  EXPECT_EQ(connection.bytes_received(), 1);
  EXPECT_EQ(connection.bytes_sent(), 1);
  EXPECT_EQ(connection.close_reason(), v1::CLOSE_REASON_UNSPECIFIED);
}

TEST_F(ConnectionServiceTest, CloseSendsFinAndResetResets) {
  const v1::Listener listener = Create(EchoSpec());
  for (const v1::CloseMode mode :
       {v1::CLOSE_MODE_UNSPECIFIED, v1::CLOSE_MODE_CLOSE,
        v1::CLOSE_MODE_RESET}) {
    const auto client = Served(listener);
    const std::string name = Connections().at(0).name();
    const v1::Connection closed = CloseConnection(name, mode);
    EXPECT_EQ(closed.name(), name);
    EXPECT_EQ(closed.state(), v1::CONNECTION_STATE_CLOSED);
    EXPECT_EQ(closed.close_reason(), v1::CLOSE_REASON_CALLED);
    EXPECT_TRUE(closed.has_close_time());
    EXPECT_EQ(client->Receive(),
              mode == v1::CLOSE_MODE_RESET ? "ECONNRESET" : "EOF");
    v1::Connection connection;
    EXPECT_EQ(Get(name, &connection), "5 / NOT_FOUND");
  }
}

TEST_F(ConnectionServiceTest, ForwardShowsItsUpstream) {
  const v1::Listener echo = Create(EchoSpec());
  v1::ListenerSpec spec = EchoSpec();
  auto& upstream =
      *spec.mutable_handler()->mutable_forward()->mutable_upstream();
  upstream.mutable_inet()->set_host("127.0.0.1");
  upstream.mutable_inet()->set_port(echo.status().listening_on().inet().port());
  const v1::Listener forward = Create(spec);
  EXPECT_EQ(forward.spec().handler().forward().connect_timeout().seconds(), 30);
  const auto client = Served(forward);
  const auto connections = Connections(forward.name());
  ASSERT_EQ(connections.size(), 1u);
  EXPECT_EQ(connections[0].upstream().DebugString(),
            echo.status().listening_on().DebugString());
}

}  // namespace
}  // namespace portreeve::testing
