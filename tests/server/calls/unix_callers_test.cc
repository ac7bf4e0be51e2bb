// Whom of those who come by a unix socket the system's user database is asked
// about.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <string>

#include "lib/base/loop.h"
#include "portreeve/v1/listener.grpc.pb.h"
#include "server/access/gate.h"
#include "server/calls/unary.h"
#include "server/daemon/control_plane.h"
#include "tests/testing/server_fixture.h"

namespace {

std::atomic<int> num_questions = 0;

}  // namespace

// In place of the system's: nobody is known by another name.
extern "C" int getpwuid_r(uid_t uid, passwd* entry, char* space, size_t size,
                          passwd** found) {
  ++num_questions;
  std::strncpy(space, "ann", size);
  *entry = passwd{};
  entry->pw_uid = uid;
  entry->pw_name = space;
  *found = entry;
  return 0;
}

namespace portreeve::server {
namespace {

// Asks the gate about the method that the request names, and answers with the
// caller.
class GateService final : public v1::ListenerService::CallbackService {
 public:
  explicit GateService(Gate& gate) : gate_(gate) {}

  grpc::ServerUnaryReactor* GetListener(grpc::CallbackServerContext* context,
                                        const v1::GetListenerRequest* request,
                                        v1::Listener* response) override {
    const auto caller = gate_.Admit(*context, request->name());
    if (caller.ok()) response->set_name(caller->who + " " + caller->identity);
    return Answer(context, caller.status());
  }

 private:
  Gate& gate_;
};

TEST(UnixCallersTest, OnlyWhoChangesSomethingIsLookedUp) {
  const testing::TemporaryFolder folder;
  const std::string path = folder.File("control");
  Loop loop;
  Gate gate(LivePolicy(), Gate::Certificates::kAreAdmins, nullptr);
  GateService service(gate);
  ControlPlane::Options options;
  options.places.push_back({Unix::Address(path)});
  options.accounted = [] { return int64_t{0}; };
  options.on_bound = [](const auto&) { return absl::OkStatus(); };
  const auto plane = ControlPlane::Start(loop, {&service}, options);
  ASSERT_TRUE(plane.ok()) << plane.status();
  const auto stub = v1::ListenerService::NewStub(
      grpc::CreateChannel("unix:" + path, grpc::InsecureChannelCredentials()));
  const auto caller_of = [&stub](const std::string& method) {
    grpc::ClientContext context;
    v1::GetListenerRequest request;
    request.set_name(method);
    v1::Listener response;
    const auto status = stub->GetListener(&context, request, &response);
    return status.ok() ? response.name() : status.error_message();
  };
  const std::string identity = "unix:uid=" + std::to_string(getuid());
  // A user database that hangs holds up nobody who only looks.
  for (const char* method : {"GetListener", "ListListeners", "WatchEvents"}) {
    EXPECT_EQ(caller_of(method), identity + " " + identity);
  }
  EXPECT_EQ(num_questions, 0);
  for (const char* method : {"CreateListener", "Dial"}) {
    EXPECT_EQ(caller_of(method), identity + "(ann) " + identity);
  }
  EXPECT_EQ(num_questions, 1);
}

}  // namespace
}  // namespace portreeve::server
