// How portreeved ends: SIGTERM, SIGINT, and a second signal.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/integration/daemon_client.h"
#include "tests/server/service_fixture.h"
#include "tests/testing/connected_channel.h"
#include "tests/testing/daemon_process.h"

namespace portreeve::testing {
namespace {

const std::vector<std::string> kEcho = {"--listen", "tcp:127.0.0.1:0 echo"};

std::vector<std::string> EchoWithDrain(const std::string& drain) {
  std::vector<std::string> arguments = kEcho;
  arguments.insert(arguments.end(), {"--drain", drain});
  return arguments;
}

// Listeners that are told of in more bytes than gRPC takes for who does not
// read.
void CreateWithLabels(const DaemonProcess& daemon, int count) {
  const auto stub = v1::ListenerService::NewStub(Connected(grpc::CreateChannel(
      daemon.Target(), grpc::InsecureChannelCredentials())));
  v1::CreateListenerRequest request;
  auto& spec = *request.mutable_spec();
  spec.mutable_where_to_listen()->mutable_inet()->set_address("127.0.0.1");
  spec.mutable_handler()->mutable_discard();
  for (int i = 0; i < 15; ++i) {
    (*spec.mutable_labels())[std::to_string(i)] = std::string(250, 'x');
  }
  for (int i = 0; i < count; ++i) {
    grpc::ClientContext context;
    v1::Listener listener;
    ASSERT_TRUE(stub->CreateListener(&context, request, &listener).ok());
  }
}

TEST(ShutdownTest, ConnectionsMayEndWhileTheControlPlaneGoesOn) {
  DaemonProcess daemon(EchoWithDrain("10m"));
  ASSERT_TRUE(daemon.WaitUntilReady());
  DaemonClient control(daemon.Target());
  PlainClient client(daemon.ListenerPort(0));
  client.Send("before");
  EXPECT_EQ(client.Receive(), "before");

  daemon.Signal(SIGTERM);
  control.WaitUntilNotServing();
  // Refused as soon as the listeners are closed, which follows.
  v1::Listener created;
  grpc::Status status;
  do {
    status = control.CreateEcho(created);
  } while (status.ok());
  EXPECT_EQ(RefusalOf(status).reason, "SHUTTING_DOWN");
  const auto listed = control.List();
  EXPECT_TRUE(listed.listeners(0).status().is_closed());
  EXPECT_EQ(listed.listeners(0).status().close_cause(),
            v1::CLOSE_CAUSE_SHUTDOWN);
  client.Send("draining");
  EXPECT_EQ(client.Receive(), "draining");

  client.Close();
  EXPECT_EQ(daemon.WaitForExit(), 0);
}

TEST(ShutdownTest, AfterTheDrainConnectionsCloseAndWatchesEndWithOk) {
  DaemonProcess daemon(EchoWithDrain("50ms"));
  ASSERT_TRUE(daemon.WaitUntilReady());
  DaemonClient control(daemon.Target());
  DaemonClient::Watch watch(control);
  PlainClient client(daemon.ListenerPort(0));
  client.Send("hello");
  EXPECT_EQ(client.Receive(), "hello");

  daemon.Signal(SIGINT);
  EXPECT_EQ(client.Receive(), "EOF");
  std::vector<v1::Event> events;
  EXPECT_TRUE(watch.Drain(events).ok());
  EXPECT_EQ(daemon.WaitForExit(), 0);

  std::vector<v1::Event::KindCase> kinds;
  for (const auto& event : events) kinds.push_back(event.kind_case());
  EXPECT_EQ(
      kinds,
      (std::vector<v1::Event::KindCase>{
          v1::Event::kConnectionAccepted, v1::Event::kListenerCloseStarted,
          v1::Event::kListenerCloseFinished, v1::Event::kConnectionClosed,
          v1::Event::kListenerHandlersDetermined}));
  const auto& closed = events.at(3).connection_closed().connection();
  EXPECT_EQ(closed.close_reason(), v1::CLOSE_REASON_SHUTDOWN);
  EXPECT_EQ(closed.bytes_received(), 5);
  EXPECT_EQ(closed.bytes_sent(), 5);
}

TEST(ShutdownTest, WhatIsAtRestIsClosedBeforeAForward) {
  DaemonProcess upstream(EchoWithDrain("10m"));
  ASSERT_TRUE(upstream.WaitUntilReady());
  DaemonProcess daemon({"--listen", "tcp:127.0.0.1:0 echo", "--listen",
                        "tcp:127.0.0.1:0 discard", "--listen",
                        "tcp:127.0.0.1:0 forward tcp:127.0.0.1:" +
                            std::to_string(upstream.ListenerPort(0))});
  ASSERT_TRUE(daemon.WaitUntilReady());
  DaemonClient control(daemon.Target());
  DaemonClient::Watch watch(control);
  PlainClient echoed(daemon.ListenerPort(0));
  PlainClient discarded(daemon.ListenerPort(1));
  PlainClient forwarded(daemon.ListenerPort(2));
  forwarded.Send("before");
  EXPECT_EQ(forwarded.Receive(), "before");
  // A client that was not accepted by then would be reset.
  for (int i = 0; i < 3; ++i) {
    while (control.List().listeners(i).status().num_connections() == 0) {
    }
  }

  daemon.Signal(SIGTERM);
  EXPECT_EQ(echoed.Receive(), "EOF");
  EXPECT_EQ(discarded.Receive(), "EOF");
  forwarded.Send("after");
  EXPECT_EQ(forwarded.Receive(), "after");
  forwarded.Close();
  std::vector<v1::Event> events;
  EXPECT_TRUE(watch.Drain(events).ok());
  EXPECT_EQ(daemon.WaitForExit(), 0);

  std::vector<v1::CloseReason> reasons;
  for (const auto& event : events) {
    if (!event.has_connection_closed()) continue;
    reasons.push_back(event.connection_closed().connection().close_reason());
  }
  // Their loops tell of them in whatever order: a client may see its end, and
  // go on to end another one, before that is told.
  std::sort(reasons.begin(), reasons.end());
  EXPECT_EQ(reasons, (std::vector<v1::CloseReason>{v1::CLOSE_REASON_PEER_CLOSED,
                                                   v1::CLOSE_REASON_SHUTDOWN,
                                                   v1::CLOSE_REASON_SHUTDOWN}));
}

TEST(ShutdownTest, ASecondSignalIsAtOnce) {
  DaemonProcess daemon(EchoWithDrain("10m"));
  ASSERT_TRUE(daemon.WaitUntilReady());
  DaemonClient control(daemon.Target());
  PlainClient client(daemon.ListenerPort(0));
  client.Send("hello");
  EXPECT_EQ(client.Receive(), "hello");
  daemon.Signal(SIGTERM);
  control.WaitUntilNotServing();
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.WaitForExit(), 1);
  const std::string& log = daemon.error_output();
  const std::string line =
      " warning a second signal cuts what has not ended: 1 connection\n";
  EXPECT_NE(log.find(line), std::string::npos) << log;
  EXPECT_EQ(log.find(line), log.rfind(line)) << log;
}

TEST(ShutdownTest, ASecondSignalThatCutsNothing) {
  DaemonProcess daemon(EchoWithDrain("10m"));
  ASSERT_TRUE(daemon.WaitUntilReady());
  DaemonClient control(daemon.Target());
  DaemonClient::Watch watch(control);
  daemon.Signal(SIGTERM);
  daemon.Signal(SIGINT);
  std::vector<v1::Event> events;
  EXPECT_TRUE(watch.Drain(events).ok());
  EXPECT_EQ(daemon.WaitForExit(), 0);
  EXPECT_EQ(daemon.error_output().find("second signal"), std::string::npos);
}

TEST(ShutdownTest, ASecondSignalCutsTheWatchOfWhoDoesNotRead) {
  DaemonProcess daemon({"--audit", "/dev/null"});
  ASSERT_TRUE(daemon.WaitUntilReady());
  DaemonClient control(daemon.Target());
  DaemonClient idle(daemon.Target());
  DaemonClient::Watch watch(idle);
  CreateWithLabels(daemon, 300);
  daemon.Signal(SIGTERM);
  control.WaitUntilNotServing();
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.WaitForExit(), 1);
  const std::string& log = daemon.error_output();
  EXPECT_NE(log.find(" warning a second signal cuts what has not ended: "
                     "calls whose clients do not read\n"),
            std::string::npos)
      << log;
}

TEST(ShutdownTest, WithoutConnectionsItEndsAtOnce) {
  DaemonProcess daemon(EchoWithDrain("10m"));
  ASSERT_TRUE(daemon.WaitUntilReady());
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.WaitForExit(), 0);
}

}  // namespace
}  // namespace portreeve::testing
