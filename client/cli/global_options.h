// The options of every verb.
#ifndef PORTREEVE_CLIENT_CLI_GLOBAL_OPTIONS_H_
#define PORTREEVE_CLIENT_CLI_GLOBAL_OPTIONS_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/address.h"
#include "client/cli/environment.h"
#include "client/cli/tls_flags.h"
#include "client/tls_options.h"

namespace CLI {
class App;
}  // namespace CLI

namespace portreeve::cli {

enum class Output { kTable, kWide, kJson };

// Lifetime: it must outlive the parsing.
struct GlobalOptions {
  // Complete sets it where no flag did.
  std::optional<client::ServerAddress> server;
  TlsFlags tls_flags;
  // Complete sets it; unset: no TLS.
  std::optional<client::TlsOptions> tls;
  Output output = Output::kTable;
  // Unset: each verb has its own default.
  std::optional<absl::Duration> timeout;
};

void AddGlobalOptions(CLI::App& app, const Environment& environment,
                      GlobalOptions& options);

// Sets `tls`, and where no flag did, `server`: to Environment::server, else to
// Environment::control_socket if that is a socket and TLS is not asked for,
// which no unix socket speaks, else to client::kDefaultServer.
//
// Errors: INVALID_ARGUMENT for a PORTREEVE_SERVER that is no address, and for
// what TlsFlags refuses.
absl::Status Complete(const Environment& environment, GlobalOptions& options);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_GLOBAL_OPTIONS_H_
