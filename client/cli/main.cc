// The process of the CLI.  Signals keep what they do by default: Ctrl-C ends
// it, and so does a reader of its output that has gone.
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

}  // namespace

int main(int argc, char** argv) {
  portreeve::cli::Environment environment;
  environment.server = FromEnvironment("PORTREEVE_SERVER");
  environment.directory = Directory();
  return static_cast<int>(
      portreeve::cli::Run(std::vector<std::string>(argv + 1, argv + argc),
                          environment, std::cout, std::cerr));
}
