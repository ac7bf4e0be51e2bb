// The process of the CLI.  Signals keep what they do by default: Ctrl-C ends
// it, and so does a reader of its output that has gone.
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <system_error>
#include <vector>

#include "client/cli/environment.h"
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
// file or socket would take its place.
void OpenStandardDescriptors() {
  int descriptor = 0;
  do {
    descriptor = open("/dev/null", O_RDWR);
  } while (descriptor >= 0 && descriptor <= STDERR_FILENO);
  if (descriptor >= 0) close(descriptor);
}

portreeve::cli::Environment ReadEnvironment() {
  portreeve::cli::Environment environment;
  environment.server = FromEnvironment("PORTREEVE_SERVER");
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
  OpenStandardDescriptors();
  // gRPC would explain its errors on stderr, beside ours.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  return static_cast<int>(
      portreeve::cli::Run(std::vector<std::string>(argv + 1, argv + argc),
                          ReadEnvironment(), std::cout, std::cerr));
}
