// What portreeved can be told, as CLI11 parses it and --help shows it.
#ifndef PORTREEVE_SERVER_DAEMON_COMMAND_LINE_H_
#define PORTREEVE_SERVER_DAEMON_COMMAND_LINE_H_

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace portreeve::server {

inline constexpr char kDefaultControl[] = "tcp:127.0.0.1:50051";

// The flags as they are written; what is not declared here is no flag.
struct RawFlags {
  std::optional<std::string> config_file;
  std::vector<std::string> control;
  std::vector<std::string> http;
  std::vector<std::string> http_host;
  std::vector<std::string> listen;
  std::optional<std::string> listeners;
  std::optional<std::string> drain;
  std::optional<std::string> takeover_drain;
  std::optional<std::string> handover;
  std::optional<std::string> takeover;
  std::optional<std::string> loops;
  std::optional<std::string> max_control_connections;
  std::optional<std::string> max_control_memory;
  std::optional<std::string> tls_cert;
  std::optional<std::string> tls_key;
  std::optional<std::string> tls_client_ca;
  std::optional<std::string> policy;
  std::optional<std::string> audit;
  std::optional<std::string> access_log;
  std::optional<std::string> state;
  bool fdstore = false;
  bool require_listeners = false;
  std::string log_format = "text";
  std::string log_level = "info";
  bool insecure = false;
  std::vector<std::string> metrics_label;
  std::optional<std::string> metrics_listeners;
  std::string metrics_histograms = "daemon";
  bool version = false;
};

class CommandLine {
 public:
  CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  // Takes `words`, in the place of all that were taken before.
  //
  // Errors: INVALID_ARGUMENT, one line that names the flag.
  absl::Status Parse(const std::vector<std::string>& words);

  CLI::App& app() { return app_; }
  const CLI::App& app() const { return app_; }
  const RawFlags& flags() const { return flags_; }
  bool asks_for_help() const { return app_.get_help_ptr()->count() > 0; }
  // Whether the words had this flag.
  bool Has(const std::string& flag) const;

 private:
  RawFlags flags_;
  CLI::App app_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_COMMAND_LINE_H_
