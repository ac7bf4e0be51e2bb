// --max-control-memory of a real daemon.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "portreeve/v1/connection.grpc.pb.h"
#include "tests/integration/control_fixture.h"
#include "tests/server/stream_client.h"

namespace portreeve::testing {
namespace {

using ControlMemoryTest = ControlFixture;

// As many may wait where there is more memory.
TEST_F(ControlMemoryTest, WhoTakesMoreIsEnded) {
  DaemonProcess daemon({"--max-control-memory", "1MiB"});
  ASSERT_TRUE(daemon.WaitUntilReady());
  const Channel other = Called(daemon.Target());
  const auto stub = v1::ConnectionService::NewStub(Called(daemon.Target()));
  std::vector<std::unique_ptr<SocketCall>> waiting;
  for (int i = 0; i < 900; ++i) {
    waiting.push_back(
        std::make_unique<SocketCall>(*stub, &SocketCall::Stub::Attach));
  }
  EXPECT_TRUE(Contains(daemon.WaitForErrorLine("OVERLOADED"),
                       "(--max-control-memory)"));
  EXPECT_TRUE(List(other).ok());
}

}  // namespace
}  // namespace portreeve::testing
