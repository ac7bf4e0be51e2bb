// Where the lines of portreeved's log and audit go, and that nothing waits for
// them.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "portreeve/v1/listener.grpc.pb.h"
#include "tests/integration/daemon_client.h"
#include "tests/server/plain_socket.h"
#include "tests/testing/connected_channel.h"
#include "tests/testing/daemon_process.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::testing {
namespace {

using Stderr = DaemonProcess::Stderr;
using Lines = std::vector<std::string>;

Lines LinesOf(const std::string& text) {
  std::istringstream stream(text);
  Lines lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string ContentOf(const std::string& file) {
  std::ifstream stream(file);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

void ExpectEcho(PlainClient& client) {
  client.Send("hello");
  EXPECT_EQ(client.Receive(), "hello");
}

// A name that is audited nearly whole.
std::string LongName(int i) {
  std::string id = "x" + std::to_string(i) + "x";
  id.resize(50, 'x');
  return "listeners/" + id;
}

// Calls that are audited as NOT_FOUND.
class Refusals {
 public:
  explicit Refusals(const std::string& target)
      : stub_(v1::ListenerService::NewStub(Connected(grpc::CreateChannel(
            target, grpc::InsecureChannelCredentials())))) {}

  void Make(int count) {
    for (int i = 0; i < count; ++i) {
      grpc::ClientContext context;
      v1::DeleteListenerRequest request;
      request.set_name(LongName(made_++));
      google::protobuf::Empty response;
      const auto status = stub_->DeleteListener(&context, request, &response);
      ASSERT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND)
          << status.error_message();
    }
  }
  int made() const { return made_; }

 private:
  const std::unique_ptr<v1::ListenerService::Stub> stub_;
  int made_ = 0;
};

// A client comes while another one takes the only place, which a loop logs.
void ComeAtTheLimit(DaemonProcess& daemon) {
  const auto stub = v1::ListenerService::NewStub(Connected(grpc::CreateChannel(
      daemon.Target(), grpc::InsecureChannelCredentials())));
  v1::CreateListenerRequest request;
  auto* spec = request.mutable_spec();
  spec->mutable_where_to_listen()->mutable_inet()->set_address("127.0.0.1");
  spec->mutable_handler()->mutable_echo();
  spec->set_max_connections(1);
  grpc::ClientContext context;
  v1::Listener listener;
  ASSERT_TRUE(stub->CreateListener(&context, request, &listener).ok());
  const int port = listener.status().listening_on().inet().port();
  PlainClient first(port);
  ExpectEcho(first);
  PlainClient second(port);
  ExpectEcho(first);
  first.Close();
  ExpectEcho(second);
}

TEST(LogTest, NothingWaitsForWhoReadsStderr) {
  DaemonProcess daemon({"--listen", "tcp:127.0.0.1:0 echo", "--drain", "10m"},
                       Stderr::kFull);
  ASSERT_TRUE(daemon.WaitUntilReady());
  PlainClient old(daemon.ListenerPort(0));
  ExpectEcho(old);
  DaemonClient control(daemon.Target());
  control.Create("audited");
  control.CloseAndDelete("listeners/audited");
  ComeAtTheLimit(daemon);
  ExpectEcho(old);
  PlainClient later(daemon.ListenerPort(0));
  ExpectEcho(later);
  EXPECT_EQ(control.List().listeners_size(), 2);
  daemon.Signal(SIGHUP);
  daemon.Signal(SIGTERM);
  control.WaitUntilNotServing();
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.WaitForExit(), 1);
  // Else the pipe was not full.
  EXPECT_EQ(daemon.error_output().find("portreeved"), std::string::npos);
}

TEST(LogTest, DroppedLinesAreCountedOnceStderrIsRead) {
  DaemonProcess daemon({}, Stderr::kFull);
  ASSERT_TRUE(daemon.WaitUntilReady());
  Refusals refusals(daemon.Target());
  // More than the 1 MiB that waits.
  refusals.Make(8000);
  const std::string note = " lines were dropped here: ";
  EXPECT_NE(daemon.WaitForErrorLine(note), "");
  refusals.Make(1);
  EXPECT_NE(daemon.WaitForErrorLine(LongName(refusals.made() - 1)), "");
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.WaitForExit(), 0);
  int next = 0;
  for (const std::string& line : LinesOf(daemon.error_output())) {
    if (line.find("filler") != line.npos || line.find("warning:") != line.npos)
      continue;
    if (line.find(note) != line.npos) {
      next += std::stoi(line.substr(line.find(' ')));
    } else if (next < refusals.made()) {
      ASSERT_NE(line.find("\"" + LongName(next) + "\""), line.npos) << line;
      ++next;
    }
  }
  EXPECT_EQ(next, refusals.made());
}

TEST(LogTest, AnAuditThatWasMovedAwayIsMadeAnew) {
  const TemporaryFolder folder;
  const std::string audit = folder.File("audit");
  DaemonProcess daemon({"--audit", audit});
  ASSERT_TRUE(daemon.WaitUntilReady());
  Refusals refusals(daemon.Target());
  refusals.Make(1);
  while (ContentOf(audit).empty()) {
    std::this_thread::yield();
  }
  ASSERT_EQ(std::rename(audit.c_str(), folder.File("audit.1").c_str()), 0);
  refusals.Make(1);
  EXPECT_NE(daemon.WaitForErrorLine("opened anew: " + audit), "");
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.WaitForExit(), 0);
  for (int i = 0; i < 2; ++i) {
    const std::string text = ContentOf(i == 0 ? folder.File("audit.1") : audit);
    const Lines lines = LinesOf(text);
    ASSERT_EQ(lines.size(), 1u) << text;
    EXPECT_NE(text.find(LongName(i)), std::string::npos) << text;
  }
}

TEST(LogTest, AFullDiskHoldsUpNothing) {
  DaemonProcess daemon({"--audit", "/dev/full"});
  ASSERT_TRUE(daemon.WaitUntilReady());
  Refusals refusals(daemon.Target());
  refusals.Make(3);
  EXPECT_EQ(daemon.WaitForErrorLine("audit log"),
            "portreeved: write the audit log: No space left on device");
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.WaitForExit(), 0);
}

}  // namespace
}  // namespace portreeve::testing
