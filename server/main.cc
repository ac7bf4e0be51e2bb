// portreeved: see --help.
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/mutex.h"
#include "lib/log.h"
#include "server/daemon.h"
#include "server/flags.h"

namespace portreeve::server {
namespace {

// Where relative paths count from: where `bazel run` was called, if it was.
std::string WorkingDirectory() {
  const char* outside = std::getenv("BUILD_WORKING_DIRECTORY");
  if (outside != nullptr && outside[0] == '/') return outside;
  char directory[4096];
  return getcwd(directory, sizeof directory) == nullptr ? "/" : directory;
}

void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

void PrepareProcess() {
  RaiseDescriptorLimit();
  // The largest frames of clients go back to the system when they have gone on
  // to a peer: the heap would keep them for the next, as many as there once
  // were at a time.
  mallopt(M_MMAP_THRESHOLD, 128 * 1024);
  // What comes and goes with each frame stays: giving it back each time costs
  // as much as carrying the bytes.
  mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
  // Debian's Abseil is built to look for cycles in the order of all locks, under
  // one lock for the process, each time that gRPC takes one, and aborts when it
  // thinks that it has found one: a tool for tests.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  // Debian's Abseil looks for cycles in the order of all locks, under one lock
  // for the process, each time that gRPC takes one, and aborts when it thinks
  // that it has found one: a tool for tests.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  std::signal(SIGPIPE, SIG_IGN);
  // gRPC's own lines would stand beside the one that says why a start failed.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  SetLogSink([](std::string_view line) {
    std::fprintf(stderr, "portreeved: %.*s\n", static_cast<int>(line.size()),
                 line.data());
  });
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "portreeved: %s\n",
               std::string(status.message()).c_str());
  return 1;
}

int Main(int argc, char** argv) {
  PrepareProcess();
  auto parsed = ParseFlags(argc, argv, WorkingDirectory());
  if (!parsed.ok()) return Fail(parsed.status());
  if (const auto* information = std::get_if<Information>(&*parsed)) {
    std::fputs(information->text.c_str(), stdout);
    return 0;
  }
  const Flags& flags = std::get<Flags>(*parsed);
  auto daemon = Daemon::Start(flags, stdout);
  if (!daemon.ok()) return Fail(daemon.status());
  (*daemon)->Run(flags.drain);
  daemon->reset();
  // Late signals must not change the exit status.
  std::signal(SIGTERM, SIG_IGN);
  std::signal(SIGINT, SIG_IGN);
  return 0;
}

}  // namespace
}  // namespace portreeve::server

int main(int argc, char** argv) { return portreeve::server::Main(argc, argv); }
