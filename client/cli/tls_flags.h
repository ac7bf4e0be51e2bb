// The flags for TlsOptions.
#ifndef PORTREEVE_CLIENT_CLI_TLS_FLAGS_H_
#define PORTREEVE_CLIENT_CLI_TLS_FLAGS_H_

#include <optional>

#include "absl/status/statusor.h"
#include "client/cli/environment.h"
#include "client/tls_options.h"

namespace CLI {
class App;
}  // namespace CLI

namespace portreeve::cli {

// Lifetime: it must outlive the parsing.
class TlsFlags {
 public:
  void AddTo(CLI::App& app);

  // Gives what the flags say and, for those that were not given, the
  // environment; with absolute paths.  Without a CA it gives nothing: no TLS.
  //
  // Errors: INVALID_ARGUMENT for what does not go together.
  absl::StatusOr<std::optional<client::TlsOptions>> Options(
      const Environment& environment) const;

 private:
  client::TlsOptions given_;  // Each is empty where it was not given.
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_TLS_FLAGS_H_
