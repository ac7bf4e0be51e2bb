// What the CLI takes from its process.
#ifndef PORTREEVE_CLIENT_CLI_ENVIRONMENT_H_
#define PORTREEVE_CLIENT_CLI_ENVIRONMENT_H_

#include <string>

namespace portreeve::cli {

struct Environment {
  // PORTREEVE_SERVER; empty where it is not set.
  std::string server;
  // What relative paths count from; absolute.
  std::string directory = "/";
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_ENVIRONMENT_H_
