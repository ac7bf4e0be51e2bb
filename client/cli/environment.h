// What the CLI takes from its process.
#ifndef PORTREEVE_CLIENT_CLI_ENVIRONMENT_H_
#define PORTREEVE_CLIENT_CLI_ENVIRONMENT_H_

#include <string>

#include "client/tls_options.h"

namespace portreeve::cli {

// Where the daemon of the package listens.
inline constexpr char kControlSocket[] = "/run/portreeve/control";

struct Environment {
  // PORTREEVE_SERVER; empty where it is not set.
  std::string server;
  // The path of the unix socket that is the server where nothing else is said
  // and there is one; empty: none.
  std::string control_socket;
  // The directory that relative paths count from; absolute.
  std::string directory = "/";
  // PORTREEVE_TLS_CA, _CERT, _KEY and _SERVER_NAME; each empty where it is not
  // set.
  client::TlsOptions tls;
  // The descriptors whose bytes `attach` and `dial` copy.
  int input = 0;
  int output = 1;
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_ENVIRONMENT_H_
