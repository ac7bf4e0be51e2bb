// Where the lines of portreeved's log and audit go, and that nothing waits for
// them.
#include <gmock/gmock.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
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

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
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
  EXPECT_EQ(daemon.error_output().find("started"), std::string::npos);
}

TEST(LogTest, DroppedLinesAreCountedOnceStderrIsRead) {
  DaemonProcess daemon({}, Stderr::kFull);
  ASSERT_TRUE(daemon.WaitUntilReady());
  Refusals refusals(daemon.Target());
  // More than the 1 MiB that waits.
  refusals.Make(8000);
  if (HasFatalFailure()) {
    refusals.Make(1);
    (void)daemon.WaitForErrorLine(LongName(refusals.made() - 1));
    for (const std::string& line : LinesOf(daemon.error_output())) {
      if (line.find("filler") == line.npos && line.front() != '{') {
        ADD_FAILURE() << line;
      }
    }
  }
  const std::string note = " lines were dropped here: ";
  EXPECT_NE(daemon.WaitForErrorLine(note), "");
  refusals.Make(1);
  EXPECT_NE(daemon.WaitForErrorLine(LongName(refusals.made() - 1)), "");
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.WaitForExit(), 0);
  int next = 0;
  for (const std::string& line : LinesOf(daemon.error_output())) {
    if (line.find("filler") != line.npos) continue;
    if (const size_t at = line.find(note); at != line.npos) {
      next += std::stoi(line.substr(line.rfind(' ', at - 1)));
    } else if (line.front() != '{') {
      continue;  // Not one of the audit.
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
  EXPECT_THAT(daemon.WaitForErrorLine("write the audit log"),
              EndsWith(" error write the audit log: No space left on device"));
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.WaitForExit(), 0);
}

// A run with one client, a SIGHUP and a SIGTERM; what it has logged, without
// the audit.
Lines LogOfARun(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--listen", "tcp:127.0.0.1:0 echo",
                                     "--drain", "10m", "--audit", "/dev/null"});
  DaemonProcess daemon(std::move(arguments));
  EXPECT_TRUE(daemon.WaitUntilReady());
  PlainClient client(daemon.ListenerPort(0));
  ExpectEcho(client);
  daemon.Signal(SIGHUP);
  EXPECT_NE(daemon.WaitForErrorLine("opened anew: /dev/null"), "");
  daemon.Signal(SIGTERM);
  // It counts who may go on.
  EXPECT_NE(daemon.WaitForErrorLine("draining: "), "");
  client.Close();
  EXPECT_EQ(daemon.WaitForExit(), 0);
  return LinesOf(daemon.error_output());
}

// The lines of a run at least of level info, but for the warning of root.
std::vector<std::string> Milestones() {
  return {
      "started: portreeved [0-9.]+, process [0-9]+, control "
      "tcp:127.0.0.1:[0-9]+, 1 listener, [0-9]+ loops?",
      "SIGHUP: .*",
      "the audit log was opened anew: /dev/null",
      "SIGTERM",
      "draining: nothing is accepted any more; 1 connection may go on for "
      "10m",
      "drained: every connection has ended",
      "stopped"};
}

#define TIME "2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\\.[0-9]{3}Z"

TEST(LogTest, ARunIsToldFromItsStartToItsEnd) {
  Lines log = LogOfARun({});
  if (log.size() > 1 && log[1].find("running as root") != log[1].npos) {
    EXPECT_THAT(log[1], MatchesRegex(TIME " warning running as root .*"));
    log.erase(log.begin() + 1);
  }
  const std::vector<std::string> milestones = Milestones();
  ASSERT_EQ(log.size(), milestones.size());
  for (size_t i = 0; i < log.size(); ++i) {
    EXPECT_THAT(log[i], MatchesRegex(TIME " info " + milestones[i]));
  }
}

std::string Field(const google::protobuf::Struct& line, const char* name) {
  const auto it = line.fields().find(name);
  return it == line.fields().end() ? "" : it->second.string_value();
}

TEST(LogTest, AsJsonEachLineIsAnObject) {
  const Lines log = LogOfARun({"--log-format", "json", "--log-level", "debug"});
  std::vector<std::string> infos;
  int num_ends = 0;
  for (const std::string& text : log) {
    google::protobuf::Struct line;
    ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(text, &line).ok())
        << text;
    EXPECT_THAT(Field(line, "time"), MatchesRegex(TIME));
    const std::string message = Field(line, "message");
    if (Field(line, "level") == "info") infos.push_back(message);
    if (Field(line, "level") != "debug") continue;
    ++num_ends;
    EXPECT_THAT(message, HasSubstr("ended: PEER_CLOSED after "));
    EXPECT_THAT(Field(line, "listener"), MatchesRegex("listeners/.+"));
    EXPECT_THAT(Field(line, "connection"), MatchesRegex("connections/.+"));
  }
  EXPECT_EQ(num_ends, 1);
  const std::vector<std::string> milestones = Milestones();
  ASSERT_EQ(infos.size(), milestones.size());
  for (size_t i = 0; i < infos.size(); ++i) {
    EXPECT_THAT(infos[i], MatchesRegex(milestones[i]));
  }
}

TEST(LogTest, LinesBelowTheLevelAreLeftOut) {
  DaemonProcess daemon({"--log-level", "error", "--audit", "/dev/null"});
  ASSERT_TRUE(daemon.WaitUntilReady());
  daemon.Signal(SIGTERM);
  EXPECT_EQ(daemon.WaitForExit(), 0);
  EXPECT_EQ(daemon.error_output(), "");
}

TEST(LogTest, AStartThatFailsIsOneObjectAsJson) {
  DaemonProcess first;
  ASSERT_TRUE(first.WaitUntilReady());
  DaemonProcess second(
      {"--log-format", "json", "--control", first.Printed("control ").at(0)});
  EXPECT_FALSE(second.WaitUntilReady());
  EXPECT_EQ(second.WaitForExit(), 1);
  google::protobuf::Struct line;
  ASSERT_TRUE(
      google::protobuf::util::JsonStringToMessage(second.error_output(), &line)
          .ok())
      << second.error_output();
  EXPECT_EQ(Field(line, "level"), "error");
  EXPECT_THAT(Field(line, "message"), HasSubstr("Address already in use"));
}

}  // namespace
}  // namespace portreeve::testing
