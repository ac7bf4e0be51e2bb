// ControlFixture: clients of the control plane of a real daemon.
#ifndef PORTREEVE_TESTS_INTEGRATION_CONTROL_FIXTURE_H_
#define PORTREEVE_TESTS_INTEGRATION_CONTROL_FIXTURE_H_

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "portreeve/v1/listener.grpc.pb.h"
#include "tests/integration/tls_fixture.h"
#include "tests/server/service_fixture.h"
#include "tests/testing/daemon_process.h"

namespace portreeve::testing {

inline constexpr char kCreate[] =
    "/portreeve.v1.ListenerService/CreateListener";
inline constexpr char kAttach[] = "/portreeve.v1.ConnectionService/Attach";
inline constexpr std::chrono::seconds kDeadline{30};

inline int ControlPort(const DaemonProcess& daemon) {
  const std::string target = daemon.Target();
  return std::stoi(target.substr(target.rfind(':') + 1));
}

inline int64_t NumDescriptors(const DaemonProcess& daemon) {
  const std::filesystem::directory_iterator entries(
      "/proc/" + std::to_string(daemon.pid()) + "/fd");
  return std::distance(begin(entries), end(entries));
}

// False where that does not come true.
template <typename Condition>
bool Await(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + kDeadline;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
  }
  return true;
}

// The number of descriptors that a running daemon may have is as low as that of
// those that it has, while this lives.
class NoDescriptors {
 public:
  explicit NoDescriptors(const DaemonProcess& daemon) : pid_(daemon.pid()) {
    prlimit(pid_, RLIMIT_NOFILE, nullptr, &before_);
    rlimit none = before_;
    // Below the numbers of all that are free.
    none.rlim_cur = 0;
    EXPECT_EQ(prlimit(pid_, RLIMIT_NOFILE, &none, nullptr), 0);
  }
  ~NoDescriptors() {
    EXPECT_EQ(prlimit(pid_, RLIMIT_NOFILE, &before_, nullptr), 0);
  }

 private:
  const pid_t pid_;
  rlimit before_{};
};

class ControlFixture : public TlsFixture {
 protected:
  // A connection of its own that has made a call.
  static Channel Called(const std::string& target) {
    Channel channel = Plain(target);
    const auto status = List(channel);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return channel;
  }

  static std::string CreateRequest(const std::string& listener,
                                   const std::string& request_id = "") {
    v1::CreateListenerRequest request;
    *request.mutable_spec() = EchoSpec();
    request.set_listener_id(listener);
    request.set_request_id(request_id);
    return request.SerializeAsString();
  }

  // Starts daemons under `limit` descriptors from here on.
  void LimitDescriptors(int limit) {
    const std::string script = folder_.File("limited");
    std::ofstream(script) << "#!/bin/sh\nulimit -n " << limit
                          << "\nexec server/portreeved \"$@\"\n";
    chmod(script.c_str(), 0700);
    setenv("PORTREEVED_BINARY", script.c_str(), 1);
  }
  ~ControlFixture() override { unsetenv("PORTREEVED_BINARY"); }

  std::vector<std::string> AuditOf(const std::string& file) const {
    std::vector<std::string> lines;
    std::ifstream audit(file);
    for (std::string line; std::getline(audit, line);) lines.push_back(line);
    return lines;
  }
};

// After what was received.
inline std::string Last(const std::string& received) {
  return received.substr(received.rfind('|') + 1);
}

inline bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != text.npos;
}

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_INTEGRATION_CONTROL_FIXTURE_H_
