// gRPC is given connections on threads of its own: who gives one to it may have
// to read what the client sends, for as long as it sends.
#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "server/daemon/control_plane.h"
#include "tests/testing/connected_channel.h"
#include "tests/testing/server_fixture.h"

namespace portreeve::server {
namespace {

using testing::Connected;
using testing::TemporaryFolder;

// What gRPC says of its transports, in whichever thread.
std::atomic<const Loop*> traced_loop = nullptr;
std::atomic<int> num_lines = 0;
std::atomic<int> num_lines_of_loop = 0;

void Count(gpr_log_func_args*) {
  ++num_lines;
  const Loop* const loop = traced_loop;
  if (loop != nullptr && loop->OnLoop()) ++num_lines_of_loop;
}

class Trace {
 public:
  explicit Trace(const Loop& loop) {
    traced_loop = &loop;
    grpc_init();
    gpr_set_log_function(&Count);
    gpr_set_log_verbosity(GPR_LOG_SEVERITY_DEBUG);
    EXPECT_EQ(grpc_tracer_set_enabled("http", 1), 1);
  }
  ~Trace() {
    traced_loop = nullptr;
    grpc_tracer_set_enabled("http", 0);
    gpr_set_log_function(nullptr);
  }
};

TEST(ControlHandOverTest, TheLoopHasNoPartInIt) {
  const TemporaryFolder folder;
  const std::string path = folder.File("control");
  Loop loop;
  const Trace trace(loop);
  ControlPlane::Options options;
  options.places.push_back({Unix::Address(path)});
  options.accounted = [] { return int64_t{0}; };
  options.on_bound = [](const auto&) { return absl::OkStatus(); };
  const auto plane = ControlPlane::Start(loop, {}, options);
  ASSERT_TRUE(plane.ok()) << plane.status();
  Connected(
      grpc::CreateChannel("unix:" + path, grpc::InsecureChannelCredentials()));
  EXPECT_GT(num_lines, 0);
  EXPECT_EQ(num_lines_of_loop, 0);
}

}  // namespace
}  // namespace portreeve::server
