#include "client/cli/tls_flags.h"

#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "client/cli/option.h"

namespace portreeve::cli {
namespace {

// Takes what is not empty.
Take TakeText(std::string& target) {
  return [&target](const std::string& text) {
    if (text.empty()) return absl::InvalidArgumentError("expected a value");
    target = text;
    return absl::OkStatus();
  };
}

const std::string& FirstOf(const std::string& flag,
                           const std::string& variable) {
  return flag.empty() ? variable : flag;
}

// The absolute path for `path`, unless that is empty.
std::string Absolute(const std::string& path, const std::string& directory) {
  if (path.empty()) return path;
  return (std::filesystem::path(directory) / path).string();
}

}  // namespace

void TlsFlags::AddTo(CLI::App& app) {
  AddOption(app, "--tls-ca", "FILE",
            "Use TLS: the daemon's certificate must be signed by one in this "
            "PEM file. Default: PORTREEVE_TLS_CA, else no TLS",
            TakeText(given_.ca));
  AddOption(app, "--tls-cert", "FILE",
            "With TLS: the own certificate, in PEM, by which the daemon knows "
            "the role. Default: PORTREEVE_TLS_CERT, else none",
            TakeText(given_.certificate));
  AddOption(app, "--tls-key", "FILE",
            "Of --tls-cert: its private key, in PEM. Default: "
            "PORTREEVE_TLS_KEY",
            TakeText(given_.key));
  AddOption(app, "--tls-server-name", "NAME",
            "With TLS: the name that the daemon's certificate is for. Default: "
            "PORTREEVE_TLS_SERVER_NAME, else the host of --server",
            TakeText(given_.server_name));
}

absl::StatusOr<std::optional<client::TlsOptions>> TlsFlags::Options(
    const Environment& environment) const {
  const client::TlsOptions& variables = environment.tls;
  const std::string& directory = environment.directory;
  client::TlsOptions options = {
      .ca = Absolute(FirstOf(given_.ca, variables.ca), directory),
      .certificate = Absolute(
          FirstOf(given_.certificate, variables.certificate), directory),
      .key = Absolute(FirstOf(given_.key, variables.key), directory),
      .server_name = FirstOf(given_.server_name, variables.server_name)};
  if (options.certificate.empty() != options.key.empty()) {
    return absl::InvalidArgumentError(
        "--tls-cert and --tls-key (PORTREEVE_TLS_CERT, PORTREEVE_TLS_KEY) go "
        "together");
  }
  if (!options.ca.empty()) return options;
  if (!options.certificate.empty() || !options.server_name.empty()) {
    return absl::InvalidArgumentError(
        "--tls-cert, --tls-key and --tls-server-name (PORTREEVE_TLS_...) need "
        "--tls-ca (PORTREEVE_TLS_CA)");
  }
  return std::nullopt;
}

}  // namespace portreeve::cli
