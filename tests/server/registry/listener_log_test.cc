// What is logged of listeners and of the ends of connections.
#include "server/registry/listener_log.h"

#include <gmock/gmock.h>

#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/server/registry_fixture.h"
#include "tests/testing/log_lines.h"

namespace portreeve::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class ListenerLogTest : public RegistryTest {
 protected:
  ListenerLog& log() { return log_; }

 private:
  ListenerLog log_{time(), std::make_shared<const std::string>("listeners/a")};
};

std::exception_ptr Error(const std::string& text) {
  return std::make_exception_ptr(std::runtime_error(text));
}

TEST_F(ListenerLogTest, ErrorsOfHandlersAreToldOnceAMinute) {
  log().OnHandlerError(1, Error("first"));
  log().OnHandlerError(2, Error("second"));
  time().Advance(FailureReports::kInterval);
  log().OnHandlerError(3, Error("third"));
  EXPECT_THAT(
      TakeLog(),
      ElementsAre("warning: listeners/a connections/a1: HANDLER_ERROR: first",
                  "warning: listeners/a connections/a3: HANDLER_ERROR: third "
                  "(2 times)"));
}

TEST_F(ListenerLogTest, WhatClosesAListenerIsAnErrorAndToldOnce) {
  log().OnError(Error("boom"));
  EXPECT_THAT(TakeLog(), ElementsAre("error: listeners/a: boom"));
  const std::exception_ptr raised = Error("raised");
  log().OnRaised(1, raised);
  log().OnError(raised);
  EXPECT_THAT(TakeLog(),
              ElementsAre("error: listeners/a connections/a1: HANDLER_ERROR: "
                          "raised; the listener closes"));
  log().OnError(Error("another"));
  EXPECT_THAT(TakeLog(), ElementsAre("error: listeners/a: another"));
}

TEST_F(ListenerLogTest, LimitsAreWarnings) {
  log().OnLimitReached(7);
  log().OnAcceptFailed(Inet::Address(asio::ip::make_address("127.0.0.1"), 80),
                       EMFILE, 3);
  EXPECT_THAT(TakeLog(),
              ElementsAre("warning: listeners/a: at the limit: max_connections "
                          "7; new connections wait until one is closed",
                          "warning: listeners/a: accept tcp:127.0.0.1:80: Too "
                          "many open files (3 times); accepting pauses and is "
                          "tried again"));
}

class ConnectionLogTest : public RegistryTest {
 protected:
  // Connects to `listener`, which ends the connection once the client has sent
  // "ping" and its end, and gives the connection's name.
  std::string Pass(const v1::Listener& listener) {
    testing::RawClient client = Connect(listener);
    client.Send("ping");
    client.CloseSending();
    (void)client.Receive();
    RunUntil([this] { return num_connections() == 0; });
    std::string name;
    for (const v1::Event& event : TakeEvents()) {
      if (event.has_connection_closed()) {
        name = event.connection_closed().connection().name();
      }
      if (event.has_connection_dropped()) {
        name = event.connection_dropped().connection().name();
      }
    }
    return name;
  }
};

TEST_F(ConnectionLogTest, AtDebugEachEndIsALineWithItsReason) {
  const v1::Listener echo = Create("echo");
  const testing::LogLines log(LogLevel::kDebug);
  const std::string name = Pass(echo);
  EXPECT_THAT(log.lines(),
              ElementsAre(MatchesRegex(
                  "debug: listeners/echo " + name +
                  ": ended: PEER_CLOSED after [0-9.]+[num]?s; peer "
                  "tcp:127\\.0\\.0\\.1:[0-9]+, received 4, sent 4")));
}

TEST_F(ConnectionLogTest, WhatWasReceivedIsNotWhatWasSent) {
  v1::CreateListenerRequest request = Request("discard");
  request.mutable_spec()->mutable_handler()->mutable_discard();
  const auto discard = TryCreate(request);
  ASSERT_TRUE(discard.ok()) << discard.status();
  const testing::LogLines log(LogLevel::kDebug);
  Pass(*discard);
  EXPECT_THAT(log.lines(), ElementsAre(HasSubstr(", received 4, sent 0")));
}

TEST_F(ConnectionLogTest, WithoutDebugNoEndIsALine) {
  const v1::Listener echo = Create("echo");
  const testing::LogLines log;
  Pass(echo);
  EXPECT_THAT(log.lines(), ElementsAre());
}

TEST_F(ConnectionLogTest, AForwardThatFailedHasUpstreamAndCause) {
  v1::CreateListenerRequest request = Request("front");
  auto& inet = *request.mutable_spec()
                    ->mutable_handler()
                    ->mutable_forward()
                    ->mutable_upstream()
                    ->mutable_inet();
  inet.set_host("127.0.0.1");
  {
    // Nobody listens on the port of a listener that is closed.
    const v1::Listener closed = Create("closed");
    inet.set_port(closed.status().listening_on().inet().port());
    Close("closed");
  }
  const auto front = TryCreate(request);
  ASSERT_TRUE(front.ok()) << front.status();
  const testing::LogLines log(LogLevel::kDebug);
  Pass(*front);
  const std::vector<std::string> lines = log.lines();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_THAT(lines[1], HasSubstr(": ended: UPSTREAM_UNREACHABLE after "));
  EXPECT_THAT(lines[1],
              HasSubstr(absl::StrCat("; upstream tcp:127.0.0.1:", inet.port(),
                                     "; CONNECT_REFUSED: connect ")));
}

TEST_F(ConnectionLogTest, WhatIsDroppedIsALineToo) {
  v1::CreateListenerRequest request = Request("drops");
  request.mutable_spec()->set_drop_incoming_connections(true);
  const auto drops = TryCreate(request);
  ASSERT_TRUE(drops.ok()) << drops.status();
  const testing::LogLines log(LogLevel::kDebug);
  const std::string name = Pass(*drops);
  EXPECT_THAT(log.lines(),
              ElementsAre(HasSubstr("listeners/drops " + name +
                                    ": ended: DROPPED after 0; peer tcp:")));
}

}  // namespace
}  // namespace portreeve::server
