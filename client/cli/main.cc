// The process of the CLI.  Signals keep what they do by default: Ctrl-C ends
// it, and so does a reader of its output that has gone.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <string>
#include <system_error>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "client/cli/environment.h"
#include "client/cli/exit_status.h"
#include "client/cli/printable.h"
#include "client/cli/run.h"

namespace {

std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Under `bazel run` the working directory is Bazel's, not the user's.
std::string Directory() {
  std::string directory = FromEnvironment("BUILD_WORKING_DIRECTORY");
  if (!directory.empty()) return directory;
  std::error_code ignored;  // A directory that was removed: "/" must do.
  directory = std::filesystem::current_path(ignored).string();
  return directory.empty() ? "/" : directory;
}

// Opens what the caller has closed of stdin, stdout and stderr: else the next
// file or socket would take its place.  By system calls themselves, for no
// library is ready yet.
__attribute__((no_sanitize("address", "thread", "undefined")))  //
void OpenStandardDescriptors() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (syscall(SYS_fcntl, fd, F_GETFD) >= 0) continue;
    (void)syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR);
  }
}

// Called before main(), and before the constructors of libraries: that of
// libgrpc 1.51 opens an eventfd.
__attribute__((section(".preinit_array"),
               used)) void (*const kCalledFirst)() = &OpenStandardDescriptors;

portreeve::cli::Environment ReadEnvironment() {
  portreeve::cli::Environment environment;
  environment.server = FromEnvironment("PORTREEVE_SERVER");
  environment.control_socket = portreeve::cli::kControlSocket;
  environment.directory = Directory();
  environment.tls.ca = FromEnvironment("PORTREEVE_TLS_CA");
  environment.tls.certificate = FromEnvironment("PORTREEVE_TLS_CERT");
  environment.tls.key = FromEnvironment("PORTREEVE_TLS_KEY");
  environment.tls.server_name = FromEnvironment("PORTREEVE_TLS_SERVER_NAME");
  environment.input = STDIN_FILENO;
  environment.output = STDOUT_FILENO;
  return environment;
}

}  // namespace

int main(int argc, char** argv) {
  // gRPC would explain its errors on stderr, beside ours.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  // Debian's Abseil looks for cycles in the order of all locks each time that
  // one is taken, and aborts when it thinks that it has found one: a tool for
  // tests.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  using portreeve::cli::ExitStatus;
  ExitStatus status = ExitStatus::kFailed;
  try {
    status =
        portreeve::cli::Run(std::vector<std::string>(argv + 1, argv + argc),
                            ReadEnvironment(), std::cout, std::cerr);
  } catch (const std::exception& error) {
    // No memory, or no thread.
    std::cerr << "portreeve: " << portreeve::cli::Printable(error.what())
              << "\n";
  }
  return static_cast<int>(status);
}
