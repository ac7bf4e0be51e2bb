// What clients and the log learn of forwards that fail.
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/server/plain_socket.h"
#include "tests/server/registry_fixture.h"

namespace portreeve::server {
namespace {

using testing::RawClient;
using Closes = std::map<std::string, int64_t>;

class UpstreamFailureTest : public RegistryTest {
 protected:
  // A port on which nobody listens.
  int ClosedPort() {
    const v1::Listener free = Create("free");
    Close("free");
    EXPECT_TRUE(DeleteNow(*registry_, "free").ok());
    return free.status().listening_on().inet().port();
  }
  v1::Listener CreateForward(const std::string& id, const std::string& host,
                             int port) {
    v1::CreateListenerRequest request = Request(id);
    auto& upstream = *request.mutable_spec()
                          ->mutable_handler()
                          ->mutable_forward()
                          ->mutable_upstream()
                          ->mutable_inet();
    upstream.set_host(host);
    upstream.set_port(port);
    const auto listener = TryCreate(request);
    EXPECT_TRUE(listener.ok()) << listener.status();
    return *listener;
  }
  // A client that is reset.
  void ConnectInVain(const v1::Listener& listener) {
    EXPECT_EQ(Connect(listener).Receive(), "ECONNRESET");
    RunUntil([this] { return num_connections() == 0; });
  }
  // The connections that were closed since the last call.
  std::vector<v1::Connection> TakeClosed() {
    std::vector<v1::Connection> closed;
    for (const v1::Event& event : TakeEvents()) {
      if (!event.has_connection_closed()) continue;
      closed.push_back(event.connection_closed().connection());
    }
    return closed;
  }
  Closes ClosesOf(const std::string& id) {
    const v1::Listener listener = registry_->Get(id)->message();
    const auto& closes = listener.status().closed_by_reason();
    return Closes(closes.begin(), closes.end());
  }
};

TEST_F(UpstreamFailureTest, TheUpstreamIsNamedInTheEventWithTheCause) {
  const int port = ClosedPort();
  const std::string address = absl::StrCat("tcp:127.0.0.1:", port);
  ConnectInVain(CreateForward("front", "127.0.0.1", port));
  const std::vector<v1::Connection> closed = TakeClosed();
  ASSERT_EQ(closed.size(), 1u);
  EXPECT_EQ(closed[0].close_reason(), v1::CLOSE_REASON_UPSTREAM_UNREACHABLE);
  EXPECT_EQ(closed[0].upstream().inet().port(), port);
  EXPECT_EQ(closed[0].failure().reason(), "CONNECT_REFUSED");
  EXPECT_EQ(closed[0].failure().message(),
            "connect " + address + ": Connection refused");
  EXPECT_EQ(closed[0].failure().error_number(), ECONNREFUSED);
}

TEST_F(UpstreamFailureTest, ClosesAreCountedByReasonAndKept) {
  const int port = ClosedPort();
  const v1::Listener front = CreateForward("front", "127.0.0.1", port);
  for (int i = 0; i < 3; ++i) ConnectInVain(front);
  const Closes expected{{"UPSTREAM_UNREACHABLE", 3},
                        {"UPSTREAM_UNREACHABLE/CONNECT_REFUSED", 3}};
  EXPECT_EQ(ClosesOf("front"), expected);

  const v1::Listener echo = Create("echo");
  EXPECT_EQ(ClosesOf("echo"), Closes());
  {
    RawClient client = Connect(echo);
    client.CloseSending();
    EXPECT_EQ(client.Receive(), "EOF");
    RunUntil([this] { return num_connections() == 0; });
  }
  v1::UpdateListenerRequest drop;
  drop.mutable_listener()->mutable_spec()->set_drop_incoming_connections(true);
  drop.mutable_update_mask()->add_paths("spec.drop_incoming_connections");
  ASSERT_TRUE(UpdateNow(*registry_, "echo", drop).ok());
  EXPECT_EQ(Connect(echo).Receive(), "EOF");
  const Closes echoes{{"DROPPED", 1}, {"PEER_CLOSED", 1}};
  EXPECT_EQ(ClosesOf("echo"), echoes);

  Close("front");
  Close("echo");
  EXPECT_EQ(ClosesOf("front"), expected);
  EXPECT_EQ(ClosesOf("echo"), echoes);
}

TEST_F(UpstreamFailureTest, TheLogTellsTheFirstAndThenOneAMinute) {
  const int port = ClosedPort();
  const std::string address = absl::StrCat("tcp:127.0.0.1:", port);
  const std::string text =
      absl::StrCat(": upstream ", address, ": CONNECT_REFUSED: connect ",
                   address, ": Connection refused");
  const v1::Listener front = CreateForward("front", "127.0.0.1", port);
  TakeLog();
  for (int i = 0; i < 3; ++i) ConnectInVain(front);
  std::vector<v1::Connection> closed = TakeClosed();
  ASSERT_EQ(closed.size(), 3u);
  const std::string prefix = "warning: listeners/front ";
  EXPECT_EQ(TakeLog(),
            std::vector<std::string>{prefix + closed[0].name() + text});
  time().Advance(std::chrono::minutes(1));
  ConnectInVain(front);
  closed = TakeClosed();
  ASSERT_EQ(closed.size(), 1u);
  EXPECT_EQ(TakeLog(), std::vector<std::string>{prefix + closed[0].name() +
                                                text + " (3 times)"});
}

TEST_F(UpstreamFailureTest, AnUpstreamThatResetsAtOnceIsToldOthersAreNot) {
  testing::PlainListener upstream;
  const v1::Listener front =
      CreateForward("front", "127.0.0.1", upstream.port());
  // Whether `greeting` is sent before the reset; the lines of the log then.
  const auto reset_after = [&](const std::string& greeting) {
    TakeLog();
    RawClient client = Connect(front);
    RunUntil([&] { return upstream.HasClient(); });
    testing::PlainClient accepted = upstream.Accept();
    if (!greeting.empty()) {
      accepted.Send(greeting);
      EXPECT_EQ(client.ReceiveExactly(greeting.size()), greeting);
    }
    accepted.Reset();
    EXPECT_EQ(client.Receive(), "ECONNRESET");
    RunUntil([this] { return num_connections() == 0; });
    return TakeLog();
  };
  EXPECT_EQ(reset_after("hello").size(), 0u);
  const std::vector<std::string> log = reset_after("");
  ASSERT_EQ(log.size(), 1u);
  EXPECT_NE(log[0].find(": UPSTREAM_RESET: the upstream has reset"),
            std::string::npos)
      << log[0];
  EXPECT_EQ(ClosesOf("front"), (Closes{{"UPSTREAM_RESET", 2}}));
}

TEST_F(UpstreamFailureTest, AnUpstreamThatIsReachedIsNoFailure) {
  const v1::Listener echo = Create("echo");
  const int port = echo.status().listening_on().inet().port();
  const v1::Listener front = CreateForward("front", "127.0.0.1", port);
  TakeLog();
  RawClient client = Connect(front);
  client.Send("ping");
  EXPECT_EQ(client.ReceiveExactly(4), "ping");
  client.CloseSending();
  EXPECT_EQ(client.Receive(), "EOF");
  RunUntil([this] { return num_connections() == 0; });
  EXPECT_EQ(ClosesOf("front"), (Closes{{"PEER_CLOSED", 1}}));
  for (const v1::Connection& closed : TakeClosed()) {
    EXPECT_FALSE(closed.has_failure()) << closed.DebugString();
  }
  EXPECT_EQ(TakeLog(), std::vector<std::string>());
}

}  // namespace
}  // namespace portreeve::server
