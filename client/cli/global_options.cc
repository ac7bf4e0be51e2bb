#include "client/cli/global_options.h"

#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/option.h"
#include "client/cli/value.h"

namespace portreeve::cli {
namespace {

absl::StatusOr<Output> ParseOutput(const std::string& text) {
  if (text == "table") return Output::kTable;
  if (text == "wide") return Output::kWide;
  if (text == "json") return Output::kJson;
  return absl::InvalidArgumentError(
      absl::StrCat("'", text, "': expected table, wide or json"));
}

absl::StatusOr<absl::Duration> ParseTimeout(const std::string& text) {
  absl::StatusOr<absl::Duration> timeout = ParseDuration(text);
  if (timeout.ok() && *timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", text, "': expected more than 0"));
  }
  return timeout;
}

bool IsSocket(const std::string& path) {
  std::error_code none;
  return !path.empty() && std::filesystem::is_socket(path, none);
}

}  // namespace

void AddGlobalOptions(CLI::App& app, const Environment& environment,
                      GlobalOptions& options) {
  const std::string directory = environment.directory;
  AddOption(app, "--server", "ADDRESS",
            absl::StrCat("The daemon: tcp:HOST:PORT, HOST:PORT, unix:/path or "
                         "unix:@name. Default: PORTREEVE_SERVER, else unix:",
                         kControlSocket,
                         " where that is a socket and --tls-ca is not given, "
                         "else ",
                         client::kDefaultServer),
            Into(options.server, [directory](const std::string& text) {
              return client::ParseServerAddress(text, directory);
            }));
  options.tls_flags.AddTo(app);
  AddOption(app, "-o,--output", "table|wide|json",
            "For people; the same with more columns, which list alone has: "
            "other verbs refuse it; or the answer as JSON on one line. "
            "Default: table",
            Into(options.output, ParseOutput));
  AddOption(
      app, "--timeout", "DURATION",
      "How long to wait for the answer. Default: 30s; as long as it "
      "takes for close, close-finished, kill, watch, list --watch, upgrade, "
      "attach and dial",
      Into(options.timeout, ParseTimeout));
}

absl::Status Complete(const Environment& environment, GlobalOptions& options) {
  auto tls = options.tls_flags.Options(environment);
  if (!tls.ok()) return tls.status();
  options.tls = *std::move(tls);
  if (options.server) return absl::OkStatus();
  std::string address = environment.server;
  if (address.empty() && !options.tls && IsSocket(environment.control_socket)) {
    address = absl::StrCat("unix:", environment.control_socket);
  }
  if (address.empty()) address = client::kDefaultServer;
  absl::StatusOr<client::ServerAddress> server =
      client::ParseServerAddress(address, environment.directory);
  if (!server.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("PORTREEVE_SERVER: ", server.status().message()));
  }
  options.server = *std::move(server);
  return absl::OkStatus();
}

}  // namespace portreeve::cli
