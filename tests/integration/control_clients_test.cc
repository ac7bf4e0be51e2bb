// Who the clients of the control plane of a real daemon are, what answers them,
// and how it ends.
#include <gtest/gtest.h>
#include <pwd.h>
#include <signal.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/floods/flood_frames.h"
#include "tests/integration/control_fixture.h"
#include "tests/integration/daemon_client.h"
#include "tests/server/plain_socket.h"

namespace portreeve::testing {
namespace {

using ControlClientsTest = ControlFixture;

TEST_F(ControlClientsTest, ClientsHaveNames) {
  const std::string file = folder_.File("audit");
  const std::string control = "unix:" + folder_.File("control");
  DaemonProcess daemon(
      {"--control", "tcp:127.0.0.1:0", "--control", control, "--audit", file});
  ASSERT_TRUE(daemon.WaitUntilReady());
  ASSERT_TRUE(Call(Plain(daemon.Target()), kCreate, CreateRequest("a")).ok());
  ASSERT_TRUE(Call(Plain(control), kCreate, CreateRequest("b", "same")).ok());
  // Another connection of the same user.
  ASSERT_TRUE(Call(Plain(control), kCreate, CreateRequest("b", "same")).ok());
  // Somebody else.
  EXPECT_EQ(RefusalOf(Call(Plain(daemon.Target()), kCreate,
                           CreateRequest("b", "same")))
                .code,
            grpc::StatusCode::ALREADY_EXISTS);
  ASSERT_TRUE(Await([&] { return AuditOf(file).size() >= 4; }));
  const auto lines = AuditOf(file);
  EXPECT_TRUE(Contains(lines[0], "\"who\":\"ipv4:127.0.0.1:")) << lines[0];
  const passwd* const user = getpwuid(getuid());
  const std::string who =
      "\"who\":\"unix:uid=" + std::to_string(getuid()) +
      (user == nullptr ? "" : "(" + std::string(user->pw_name) + ")") + "\"";
  EXPECT_TRUE(Contains(lines[1], who)) << lines[1];
  EXPECT_TRUE(Contains(lines[2], who)) << lines[2];
}

TEST_F(ControlClientsTest, WhoComesByTlsHasTheRoleOfTheCertificate) {
  const std::string file = folder_.File("audit");
  const std::string control = "unix:" + folder_.File("control");
  const std::string policy = Write("policy", R"(
      identities { name: "viewer" role: ROLE_VIEWER })");
  DaemonProcess daemon(
      Arguments({"--control", "tcp:127.0.0.1:0", "--control", control,
                 "--audit", file, "--policy", policy}));
  ASSERT_TRUE(daemon.WaitUntilReady());
  const Channel viewer = Secure(daemon.Target(), ca_, ca_.ForClient("viewer"));
  EXPECT_TRUE(List(viewer).ok());
  EXPECT_EQ(RefusalOf(Call(viewer, kCreate, CreateRequest("a"))).reason,
            "ROLE_REQUIRED");
  const Channel stranger = Secure(daemon.Target(), ca_, client_);
  EXPECT_EQ(RefusalOf(List(stranger)).reason, "ROLE_REQUIRED");
  EXPECT_EQ(List(Plain(daemon.Target())).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(Call(Plain(control), kCreate, CreateRequest("b")).ok());
  ASSERT_TRUE(Await([&] { return AuditOf(file).size() >= 2; }));
  const auto lines = AuditOf(file);
  EXPECT_TRUE(Contains(lines[0], "\"who\":\"viewer\"")) << lines[0];
  EXPECT_TRUE(Contains(lines[1], "\"who\":\"unix:uid=")) << lines[1];
}

TEST_F(ControlClientsTest, GoesOnWhileConnectionsDrain) {
  const std::string path = folder_.File("control");
  DaemonProcess daemon({"--drain", "1h", "--control", "tcp:127.0.0.1:0",
                        "--control", "unix:" + path, "--listen",
                        "tcp:127.0.0.1:0 echo"});
  ASSERT_TRUE(daemon.WaitUntilReady());
  PlainClient client(daemon.ListenerPort(0));
  client.Send("hello");
  client.Expect("hello");
  DaemonClient control(daemon.Target());
  daemon.Signal(SIGTERM);
  control.WaitUntilNotServing();
  // Who comes now, too.
  EXPECT_TRUE(List(Plain(daemon.Target())).ok());
  EXPECT_TRUE(List(Plain("unix:" + path)).ok());
  const int port = ControlPort(daemon);
  client.HalfClose();
  EXPECT_EQ(client.ReceiveAll(), "|EOF");
  EXPECT_EQ(daemon.WaitForExit(), 0);
  EXPECT_FALSE(std::filesystem::exists(path));
  DaemonProcess next({"--control", "tcp:127.0.0.1:" + std::to_string(port)});
  EXPECT_TRUE(next.WaitUntilReady());
}

TEST_F(ControlClientsTest, EndsWhileClientsConnect) {
  for (int round = 0; round < 5; ++round) {
    DaemonProcess daemon({"--drain", "0s"});
    ASSERT_TRUE(daemon.WaitUntilReady());
    std::vector<std::unique_ptr<PlainClient>> clients;
    for (int i = 0; i < 50; ++i) {
      clients.push_back(std::make_unique<PlainClient>(ControlPort(daemon)));
      if (i % 2 == 0) {
        clients.back()->Send(
            FloodFrames(FloodKind::kOpen, kCreate).Beginning());
      }
      if (i == 10 * round) break;
    }
    // They have connected, and nobody may have seen them yet.
    daemon.Signal(SIGTERM);
    EXPECT_EQ(daemon.WaitForExit(), 0) << daemon.error_output();
    for (const auto& client : clients) (void)client->ReceiveAll();
  }
}

TEST_F(ControlClientsTest, AUnixPathBelongsToOneDaemon) {
  const std::string control = "unix:" + folder_.File("control");
  {
    DaemonProcess daemon({"--control", control});
    ASSERT_TRUE(daemon.WaitUntilReady());
    DaemonProcess second({"--control", control});
    EXPECT_FALSE(second.WaitUntilReady());
    EXPECT_EQ(second.WaitForExit(), 1);
    EXPECT_TRUE(Contains(second.error_output(), "--control"))
        << second.error_output();
    EXPECT_TRUE(Contains(second.error_output(), "in use"))
        << second.error_output();
    EXPECT_TRUE(List(Plain(control)).ok());
  }
  // It was killed, and has left its file.
  EXPECT_TRUE(std::filesystem::exists(folder_.File("control")));
  DaemonProcess third({"--control", control});
  ASSERT_TRUE(third.WaitUntilReady());
  EXPECT_TRUE(List(Plain(control)).ok());
}

TEST_F(ControlClientsTest, TheAddressOfAllTakesIpv4Too) {
  DaemonProcess daemon({"--control", "tcp:[::]:0", "--insecure"});
  ASSERT_TRUE(daemon.WaitUntilReady());
  const std::string port = std::to_string(ControlPort(daemon));
  EXPECT_TRUE(List(Plain("127.0.0.1:" + port)).ok());
  EXPECT_TRUE(List(Plain("[::1]:" + port)).ok());
}

TEST_F(ControlClientsTest, MethodsThatNobodyHasAreRefused) {
  DaemonProcess daemon;
  ASSERT_TRUE(daemon.WaitUntilReady());
  const Channel channel = Plain(daemon.Target());
  for (const char* method :
       {"/x/Y", "/portreeve.v1.ListenerService/Frobnicate", "/x"}) {
    const grpc::Status status = Call(channel, method);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED) << method;
    // So says a service that has them counted; gRPC itself says nothing.
    EXPECT_EQ(status.error_message(),
              "there is no method " + std::string(method));
  }
  EXPECT_TRUE(Call(channel, "/grpc.health.v1.Health/Check").ok());
  // list_services: "".
  const std::string list_services("\x3a\0", 2);
  EXPECT_TRUE(Call(channel,
                   "/grpc.reflection.v1alpha.ServerReflection/"
                   "ServerReflectionInfo",
                   list_services)
                  .ok());
}

}  // namespace
}  // namespace portreeve::testing
