#include "server/daemon/flags.h"

#include <sched.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "command_line/version.h"
#include "lib/net/address.h"
#include "server/api/visible_text.h"
#include "server/daemon/address_text.h"
#include "server/daemon/command_line.h"
#include "server/daemon/config_flags.h"
#include "server/daemon/control_address.h"
#include "server/daemon/handover_port.h"
#include "server/daemon/listen_flag.h"

namespace portreeve::server {
namespace {

// The flags as they are written, and where those are that a file has.
struct WrittenFlags : RawFlags {
  ConfigFlags config;
};

// Makes the error about a flag that stands at `place`.
absl::Status WrongAt(const std::string& place, absl::string_view why) {
  if (place.empty()) return absl::InvalidArgumentError(why);
  // What is in a file was not typed by who reads this.
  return absl::InvalidArgumentError(absl::StrCat(place, EscapeInvisible(why)));
}

absl::Status Wrong(const WrittenFlags& raw, const std::string& flag,
                   const std::string& value, const absl::Status& error) {
  return WrongAt(raw.config.PlaceOf(flag, value),
                 absl::StrCat(flag, " \"", value, "\": ", error.message()));
}

// Makes an error about flags that do not go together.
absl::Status WrongTogether(const WrittenFlags& raw,
                           const std::vector<std::string>& flags,
                           absl::string_view why) {
  for (const std::string& flag : flags) {
    std::string place = raw.config.PlaceOf(flag);
    if (!place.empty()) return WrongAt(place, why);
  }
  return absl::InvalidArgumentError(why);
}

// Parses the values of a flag that says where clients connect.
absl::StatusOr<std::vector<ControlAddress>> AddressesOf(
    const WrittenFlags& raw, const std::string& flag,
    const std::vector<std::string>& texts, const std::string& directory) {
  std::vector<ControlAddress> addresses;
  for (const std::string& text : texts) {
    const auto address = ParseControlAddress(text, directory);
    if (!address.ok()) return Wrong(raw, flag, text, address.status());
    if (!IsLocal(address->address) && !raw.tls_cert && !raw.insecure) {
      const auto error = absl::InvalidArgumentError(
          "other machines reach this address, and nothing would protect it; "
          "give --tls-cert, --tls-key and --tls-client-ca, or say --insecure "
          "if that is meant");
      return Wrong(raw, flag, text, error);
    }
    addresses.push_back(*address);
  }
  return addresses;
}

absl::StatusOr<std::vector<ControlAddress>> ControlOf(
    const WrittenFlags& raw, const std::string& directory) {
  const std::vector<std::string> by_default = {kDefaultControl};
  return AddressesOf(raw, "--control",
                     raw.control.empty() ? by_default : raw.control, directory);
}

absl::StatusOr<std::vector<ControlAddress>> HttpOf(
    const WrittenFlags& raw, const std::string& directory) {
  auto addresses = AddressesOf(raw, "--http", raw.http, directory);
  if (!addresses.ok()) return addresses;
  for (size_t i = 0; i < addresses->size(); ++i) {
    const auto* name = std::get_if<Unix::Address>(&(*addresses)[i].address);
    if (name == nullptr || !IsAbstract(name->path())) continue;
    return Wrong(raw, "--http", raw.http[i],
                 absl::InvalidArgumentError(
                     "an abstract socket has no mode that keeps others out; "
                     "expected tcp:HOST:PORT or unix:PATH"));
  }
  return addresses;
}

// Gives the names of --http-host, each like "metrics.example.org".
absl::StatusOr<std::vector<std::string>> HttpHostsOf(const WrittenFlags& raw) {
  for (const std::string& name : raw.http_host) {
    const auto is_of_name = [](char c) {
      return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
             c == '-' || c == '_';
    };
    if (!name.empty() && std::all_of(name.begin(), name.end(), is_of_name)) {
      continue;
    }
    return Wrong(raw, "--http-host", name,
                 absl::InvalidArgumentError(
                     "expected a name like metrics.example.org, without a "
                     "port"));
  }
  if (!raw.http_host.empty() && raw.http.empty()) {
    return WrongTogether(
        raw, {"--http-host"},
        "--http-host: there is nothing to name without --http");
  }
  return raw.http_host;
}

absl::StatusOr<std::vector<Flags::Listen>> ListenOf(
    const WrittenFlags& raw, const std::string& directory) {
  std::vector<Flags::Listen> listen;
  for (const std::string& text : raw.listen) {
    auto request = ParseListenFlag(text, directory);
    if (!request.ok()) return Wrong(raw, "--listen", text, request.status());
    listen.push_back({text, *std::move(request)});
  }
  return listen;
}

// Gives nullopt where the flag was not given.
absl::StatusOr<std::optional<Duration>> DrainOf(
    const WrittenFlags& raw, const char* flag,
    const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  absl::Duration drain;
  if (!absl::ParseDuration(*text, &drain) || drain < absl::ZeroDuration() ||
      drain > absl::Hours(24 * 365)) {
    const auto error = absl::InvalidArgumentError(
        "expected a duration of at most a year, like 500ms, 10s or 1m30s");
    return Wrong(raw, flag, *text, error);
  }
  return absl::ToChronoNanoseconds(drain);
}

absl::Status SetLog(const WrittenFlags& raw, Flags& flags) {
  if (raw.log_format == "json") {
    flags.log_format = LogFormat::kJson;
  } else if (raw.log_format != "text") {
    return Wrong(raw, "--log-format", raw.log_format,
                 absl::InvalidArgumentError("expected text or json"));
  }
  for (const auto& [name, level] : {std::pair("debug", LogLevel::kDebug),
                                    {"info", LogLevel::kInfo},
                                    {"warning", LogLevel::kWarning},
                                    {"error", LogLevel::kError}}) {
    if (raw.log_level != name) continue;
    flags.log_level = level;
    return absl::OkStatus();
  }
  return Wrong(
      raw, "--log-level", raw.log_level,
      absl::InvalidArgumentError("expected debug, info, warning or error"));
}

// Parses "192MiB", or bytes: from 1 MiB to 1024 GiB.
std::optional<int64_t> ParseSize(absl::string_view text) {
  int64_t unit = 1;
  for (const auto& [name, bytes] :
       {std::pair("KiB", 1 << 10), {"MiB", 1 << 20}, {"GiB", 1 << 30}}) {
    if (!absl::ConsumeSuffix(&text, name)) continue;
    unit = bytes;
    break;
  }
  constexpr int64_t kLeast = 1 << 20;
  constexpr int64_t kMost = int64_t{1024} << 30;
  int64_t count = 0;
  if (!absl::SimpleAtoi(text, &count) || count < 1 || count > kMost / unit ||
      count * unit < kLeast) {
    return std::nullopt;
  }
  return count * unit;
}

// Gives how many CPUs there are, or how many this process was confined to.
int NumUsableCpus() {
  cpu_set_t cpus;
  return sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
}

absl::StatusOr<int> LoopsOf(const WrittenFlags& raw) {
  constexpr int kMost = 256;
  if (!raw.loops) return std::clamp(NumUsableCpus(), 1, kMost);
  int loops = 0;
  if (!absl::SimpleAtoi(*raw.loops, &loops) || loops < 1 || loops > kMost) {
    return Wrong(raw, "--loops", *raw.loops,
                 absl::InvalidArgumentError(
                     absl::StrCat("expected a number from 1 to ", kMost)));
  }
  return loops;
}

absl::Status SetControlLimits(const WrittenFlags& raw, Flags& flags) {
  if (const auto& text = raw.max_control_connections) {
    constexpr int kMost = 100'000;
    int& most = flags.max_control_connections;
    if (!absl::SimpleAtoi(*text, &most) || most < 1 || most > kMost) {
      return Wrong(raw, "--max-control-connections", *text,
                   absl::InvalidArgumentError(
                       absl::StrCat("expected a number from 1 to ", kMost)));
    }
  }
  if (const auto& text = raw.max_control_memory) {
    const auto bytes = ParseSize(*text);
    if (!bytes) {
      return Wrong(raw, "--max-control-memory", *text,
                   absl::InvalidArgumentError(
                       "expected a size from 1MiB to 1024GiB, like 192MiB"));
    }
    flags.max_control_memory = *bytes;
  }
  return absl::OkStatus();
}

absl::Status SetMetrics(const WrittenFlags& raw, Flags& flags) {
  if (raw.http.empty() && raw.metrics_listeners) {
    return WrongTogether(
        raw, {"--metrics-listeners"},
        "--metrics-listeners: there is no /metrics without --http");
  }
  if (raw.http.empty() && !raw.access_log && !raw.metrics_label.empty()) {
    return WrongTogether(
        raw, {"--metrics-label"},
        "--metrics-label: there is no /metrics without --http, and no line "
        "without --access-log");
  }
  for (const std::string& key : raw.metrics_label) {
    if (auto s = AddMetricsLabel(key, flags.metrics_labels); !s.ok()) {
      return Wrong(raw, "--metrics-label", key, s);
    }
  }
  if (const auto& text = raw.metrics_listeners) {
    constexpr int kMost = 1'000'000;
    int& most = flags.metrics_listeners;
    if (!absl::SimpleAtoi(*text, &most) || most < 0 || most > kMost) {
      return Wrong(raw, "--metrics-listeners", *text,
                   absl::InvalidArgumentError(
                       absl::StrCat("expected a number from 0 to ", kMost)));
    }
  }
  return absl::OkStatus();
}

absl::Status SetHistograms(const WrittenFlags& raw, Flags& flags) {
  for (const auto& [name, scope] : {std::pair("off", HistogramScope::kOff),
                                    {"daemon", HistogramScope::kDaemon},
                                    {"listener", HistogramScope::kListener}}) {
    if (raw.metrics_histograms != name) continue;
    flags.metrics_histograms = scope;
    return absl::OkStatus();
  }
  return Wrong(raw, "--metrics-histograms", raw.metrics_histograms,
               absl::InvalidArgumentError("expected off, daemon or listener"));
}

// Gives "" if the flag was not given.
absl::StatusOr<std::string> FileOf(const WrittenFlags& raw, const char* flag,
                                   const std::optional<std::string>& file,
                                   const std::string& directory,
                                   absl::string_view what = "a file") {
  if (!file) return "";
  if (file->empty()) {
    return Wrong(raw, flag, *file,
                 absl::InvalidArgumentError(absl::StrCat("expected ", what)));
  }
  return file->front() == '/' ? *file : absl::StrCat(directory, "/", *file);
}

// Gives the path of the socket; "" if the flag was not given.
absl::StatusOr<std::string> HandoverPathOf(
    const WrittenFlags& raw, const char* flag,
    const std::optional<std::string>& text, const std::string& directory) {
  if (!text) return "";
  const auto address = ParseAddressText(*text, directory);
  if (!address.ok()) return Wrong(raw, flag, *text, address.status());
  const auto* const file = std::get_if<UnixText>(&*address);
  if (file == nullptr || IsAbstract(file->path) ||
      file->path.size() > HandoverPort::kMaxPathBytes) {
    return Wrong(raw, flag, *text,
                 absl::InvalidArgumentError(
                     absl::StrCat("expected unix:PATH, with a path of at most ",
                                  HandoverPort::kMaxPathBytes, " bytes")));
  }
  return file->path;
}

absl::Status SetAccessLog(const WrittenFlags& raw, const std::string& directory,
                          Flags& flags) {
  if (raw.access_log == kAccessLogToStderr) {
    flags.access_log = kAccessLogToStderr;
    return absl::OkStatus();
  }
  auto file = FileOf(raw, "--access-log", raw.access_log, directory,
                     "a file, or - for stderr");
  if (!file.ok()) return file.status();
  flags.access_log = *std::move(file);
  if (flags.access_log.empty() || flags.access_log != flags.audit) {
    return absl::OkStatus();
  }
  return WrongTogether(raw, {"--access-log", "--audit"},
                       SameFileText(flags.audit));
}

absl::StatusOr<std::optional<TlsFiles>> TlsOf(const WrittenFlags& raw,
                                              const std::string& directory) {
  const auto certificate = FileOf(raw, "--tls-cert", raw.tls_cert, directory);
  if (!certificate.ok()) return certificate.status();
  const auto key = FileOf(raw, "--tls-key", raw.tls_key, directory);
  if (!key.ok()) return key.status();
  const auto client_ca =
      FileOf(raw, "--tls-client-ca", raw.tls_client_ca, directory);
  if (!client_ca.ok()) return client_ca.status();
  const TlsFiles files{*certificate, *key, *client_ca};
  if (files == TlsFiles()) return std::optional<TlsFiles>();
  if (files.certificate.empty() || files.key.empty() ||
      files.client_ca.empty()) {
    return WrongTogether(
        raw, {"--tls-cert", "--tls-key", "--tls-client-ca"},
        "--tls-cert, --tls-key and --tls-client-ca: all three are needed, or "
        "none");
  }
  if (raw.insecure) {
    return WrongTogether(
        raw, {"--insecure", "--tls-cert"},
        "--insecure: contradicts --tls-cert; give one of them");
  }
  return std::optional<TlsFiles>(files);
}

absl::StatusOr<Flags> ToFlags(const WrittenFlags& raw,
                              const std::string& directory) {
  Flags flags;
  auto tls = TlsOf(raw, directory);
  if (!tls.ok()) return tls.status();
  flags.tls = *std::move(tls);
  auto policy = FileOf(raw, "--policy", raw.policy, directory);
  if (!policy.ok()) return policy.status();
  flags.policy = *std::move(policy);
  auto audit = FileOf(raw, "--audit", raw.audit, directory);
  if (!audit.ok()) return audit.status();
  flags.audit = *std::move(audit);
  if (auto s = SetAccessLog(raw, directory, flags); !s.ok()) return s;
  auto listeners =
      FileOf(raw, "--listeners", raw.listeners, directory, "a directory");
  if (!listeners.ok()) return listeners.status();
  flags.listeners = *std::move(listeners);
  auto state = FileOf(raw, "--state", raw.state, directory, "a directory");
  if (!state.ok()) return state.status();
  flags.state = *std::move(state);
  flags.fdstore = raw.fdstore;
  flags.require_listeners = raw.require_listeners;
  if (flags.require_listeners && flags.state.empty()) {
    return WrongTogether(
        raw, {"--require-listeners"},
        "--require-listeners: there is nothing to require without --state");
  }
  if (auto s = SetLog(raw, flags); !s.ok()) return s;
  auto control = ControlOf(raw, directory);
  if (!control.ok()) return control.status();
  flags.control = *std::move(control);
  flags.has_control = !raw.control.empty();
  auto http = HttpOf(raw, directory);
  if (!http.ok()) return http.status();
  flags.http = *std::move(http);
  auto http_hosts = HttpHostsOf(raw);
  if (!http_hosts.ok()) return http_hosts.status();
  flags.http_hosts = *std::move(http_hosts);
  flags.insecure = raw.insecure;
  auto listen = ListenOf(raw, directory);
  if (!listen.ok()) return listen.status();
  flags.listen = *std::move(listen);
  const auto drain = DrainOf(raw, "--drain", raw.drain);
  if (!drain.ok()) return drain.status();
  if (drain->has_value()) {
    flags.drain = **drain;
    flags.closes_rested = false;
  }
  auto handover = HandoverPathOf(raw, "--handover", raw.handover, directory);
  if (!handover.ok()) return handover.status();
  flags.handover = *std::move(handover);
  auto takeover = HandoverPathOf(raw, "--takeover", raw.takeover, directory);
  if (!takeover.ok()) return takeover.status();
  flags.takeover = *std::move(takeover);
  const auto takeover_drain =
      DrainOf(raw, "--takeover-drain", raw.takeover_drain);
  if (!takeover_drain.ok()) return takeover_drain.status();
  if (takeover_drain->has_value()) flags.takeover_drain = **takeover_drain;
  if (auto s = SetControlLimits(raw, flags); !s.ok()) return s;
  if (auto s = SetMetrics(raw, flags); !s.ok()) return s;
  if (auto s = SetHistograms(raw, flags); !s.ok()) return s;
  const auto loops = LoopsOf(raw);
  if (!loops.ok()) return loops.status();
  flags.loops = *loops;
  return flags;
}

// Gives the flags of `line`, which was made of `words`, and those of the file
// of --config if there is one.
absl::StatusOr<WrittenFlags> WithConfig(const CommandLine& line,
                                        const std::vector<std::string>& words,
                                        const std::string& directory) {
  WrittenFlags written{line.flags(), {}};
  if (!written.config_file) return written;
  const auto path = FileOf(written, "--config", written.config_file, directory);
  if (!path.ok()) return path.status();
  auto config = ConfigFlags::Read(*path, line);
  if (!config.ok()) return config.status();
  std::vector<std::string> all = config->Words();
  all.insert(all.end(), words.begin(), words.end());
  CommandLine both;
  if (auto s = both.Parse(all); !s.ok()) return s;
  return WrittenFlags{both.flags(), *std::move(config)};
}

}  // namespace

absl::StatusOr<std::variant<Flags, Information>> ParseFlags(
    int argc, const char* const* argv, const std::string& directory) {
  using Outcome = std::variant<Flags, Information>;
  const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  CommandLine line;
  if (auto s = line.Parse(words); !s.ok()) return s;
  if (line.asks_for_help()) return Outcome(Information{line.app().help()});
  if (line.flags().version) {
    return Outcome(Information{absl::StrCat("portreeved ", kVersion, "\n")});
  }
  auto written = WithConfig(line, words, directory);
  if (!written.ok()) return written.status();
  auto flags = ToFlags(*written, directory);
  if (!flags.ok()) return flags.status();
  return Outcome(*std::move(flags));
}

std::string SameFileText(const std::string& path) {
  return absl::StrCat("--audit and --access-log: both are ", path,
                      "; each needs a file of its own");
}

absl::Status AboutFlag(const std::string& flag, const absl::Status& error) {
  return absl::Status(error.code(), absl::StrCat(flag, ": ", error.message()));
}

}  // namespace portreeve::server
