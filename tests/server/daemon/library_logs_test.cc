// The lines of gRPC and of libprotobuf, in the daemon's log.
#include "server/daemon/library_logs.h"

#include <gmock/gmock.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/wrappers.pb.h>
#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/log.h"
#include "tests/testing/loop_fixture.h"

namespace portreeve::server {
namespace {

using ::portreeve::testing::LoggedText;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::StartsWith;

TEST(LibraryLogsTest, TheirLinesAreTheDaemons) {
  std::vector<std::string> lines;
  SetLogSink(
      [&lines](const LogLine& line) { lines.push_back(LoggedText(line)); });
  ::testing::internal::CaptureStderr();
  setenv("GRPC_VERBOSITY", "ERROR", 1);
  LogTheLinesOfLibraries();
  gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
  gpr_log(GPR_ERROR, "number %d", 1);
  GOOGLE_LOG(ERROR) << "number " << 2;
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  SetLogSink(nullptr);
  EXPECT_THAT(
      lines,
      ElementsAre(
          AllOf(StartsWith("error: gRPC: "), EndsWith(": number 1")),
          AllOf(StartsWith("error: protobuf: "), EndsWith(": number 2"))));
}

TEST(LibraryLogsTest, WithoutItsVerbosityNothingOfGrpcIsLogged) {
  std::vector<std::string> lines;
  SetLogSink(
      [&lines](const LogLine& line) { lines.push_back(LoggedText(line)); });
  unsetenv("GRPC_VERBOSITY");
  LogTheLinesOfLibraries();
  grpc_init();
  gpr_log(GPR_ERROR, "number %d", 1);
  GOOGLE_LOG(ERROR) << "number " << 2;
  grpc_shutdown();
  SetLogSink(nullptr);
  EXPECT_THAT(lines, ElementsAre(EndsWith(": number 2")));
}

TEST(LibraryLogsTest, RequestsThatAreNotUtf8FillNoLog) {
  std::vector<std::string> lines;
  SetLogSink(
      [&lines](const LogLine& line) { lines.push_back(LoggedText(line)); });
  LogTheLinesOfLibraries();
  google::protobuf::StringValue request;
  EXPECT_FALSE(request.ParseFromString("\x0a\x01\xff"));
  SetLogSink(nullptr);
  EXPECT_THAT(lines, ElementsAre());
}

void FailAnAssertion() {
  unsetenv("GRPC_VERBOSITY");
  LogTheLinesOfLibraries();
  grpc_init();
  // Nobody writes what waits for its turn: the process is gone by then.
  SetLogSink([](const LogLine&) {});
  GPR_ASSERT(1 + 1 == 3);
}

TEST(LibraryLogsDeathTest, GrpcSaysWhyItEndsTheProcess) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(FailAnAssertion(),
               "portreeved: gRPC: .*assertion failed: 1 \\+ 1 == 3");
}

}  // namespace
}  // namespace portreeve::server
