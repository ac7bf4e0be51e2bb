#include "server/daemon/flags.h"

#include <sched.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "command_line/unexpected.h"
#include "command_line/version.h"
#include "server/daemon/control_address.h"
#include "server/daemon/listen_flag.h"

namespace portreeve::server {
namespace {

constexpr char kDefaultControl[] = "tcp:127.0.0.1:50051";

struct RawFlags {
  std::vector<std::string> control;
  std::vector<std::string> listen;
  std::optional<std::string> listeners;
  std::string drain = "10s";
  std::optional<std::string> loops;
  std::optional<std::string> max_control_connections;
  std::optional<std::string> max_control_memory;
  std::optional<std::string> tls_cert;
  std::optional<std::string> tls_key;
  std::optional<std::string> tls_client_ca;
  std::optional<std::string> policy;
  std::optional<std::string> audit;
  std::optional<std::string> state;
  bool require_listeners = false;
  std::string log_format = "text";
  std::string log_level = "info";
  bool insecure = false;
  bool version = false;
};

void DeclareFile(CLI::App& app, const std::string& name,
                 std::optional<std::string>& file, const std::string& help) {
  app.add_option(name, file, help)->type_name("FILE");
}

// Declares the flags that say who may command the daemon, and what they may do.
void DeclareAccess(CLI::App& app, RawFlags& raw) {
  DeclareFile(app, "--tls-cert", raw.tls_cert,
              "The daemon's certificate, with those between it and its CA "
              "behind it, PEM. With it, --tls-key and --tls-client-ca TCP "
              "control addresses speak TLS only. The files may be replaced "
              "while the daemon runs");
  DeclareFile(app, "--tls-key", raw.tls_key,
              "The private key of --tls-cert, PEM, without a passphrase");
  DeclareFile(app, "--tls-client-ca", raw.tls_client_ca,
              "The CAs that the certificates of clients come from, PEM: "
              "clients without one are refused");
  DeclareFile(app, "--policy", raw.policy,
              "What clients may listen on and connect to, and what the names "
              "in their certificates may do: a portreeve.v1.Policy in "
              "protobuf's text format; read again at SIGHUP. Default: nearly "
              "everything, and every client may do it");
  DeclareFile(app, "--audit", raw.audit,
              "Where to append a line of JSON for each change that a client "
              "makes or tries. Default: stderr");
  app.add_option("--log-format", raw.log_format,
                 "How the lines of the log, on stderr, are written: text, or "
                 "json, an object each. Default: text")
      ->type_name("FORMAT");
  app.add_option("--log-level", raw.log_level,
                 "Which lines are written: those of this level and above; "
                 "debug (each connection's end, too), info, warning or error. "
                 "Default: info")
      ->type_name("LEVEL");
  app.add_flag("--insecure", raw.insecure,
               "Allow a --control address that other machines reach, without "
               "any authentication: who reaches it commands this daemon");
}

void DeclareState(CLI::App& app, RawFlags& raw) {
  app.add_option("--state", raw.state,
                 "Keep the listeners of clients in this directory, which is "
                 "made if its parent is there: a start opens them again, after "
                 "a crash, too. Default: nothing is kept")
      ->type_name("DIR");
  app.add_flag("--require-listeners", raw.require_listeners,
               "With --state: exit where one of them cannot be opened. "
               "Default: it is FAILED, and is tried again");
}

void Declare(CLI::App& app, RawFlags& raw) {
  app.add_option("--control", raw.control,
                 "Where gRPC clients connect, repeatable: tcp:HOST:PORT or "
                 "HOST:PORT (port 0: chosen by the OS), unix:PATH (mode 0600) "
                 "or unix:@NAME, an abstract socket for root and the daemon's "
                 "own user. Sockets that systemd passes under the name control "
                 "are taken for it (docs/OPERATIONS.md). Default: those, or " +
                     std::string(kDefaultControl))
      ->type_name("ADDRESS")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--listen", raw.listen,
                 "A listener to open at the start, repeatable: \"ADDRESS "
                 "echo\", \"ADDRESS discard\" or \"ADDRESS forward ADDRESS\"")
      ->type_name("\"ADDRESS HANDLER\"")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--listeners", raw.listeners,
                 "A directory: open the listeners in its files at the start, "
                 "as `portreeve apply` takes them: .yaml, .yml, .json, "
                 ".textproto, .txtpb, .pbtxt. A file that is wrong fails the "
                 "start. Default: none")
      ->type_name("DIR");
  app.add_option("--drain", raw.drain,
                 "After SIGTERM or SIGINT, how long connections may go on "
                 "before they are closed, like 1m30s. Default: 10s")
      ->type_name("DURATION");
  app.add_option("--loops", raw.loops,
                 "How many threads carry the bytes of connections, 1 to 256. "
                 "Default: the number of CPUs that the daemon may use")
      ->type_name("N");
  DeclareAccess(app, raw);
  DeclareState(app, raw);
  app.add_option("--max-control-connections", raw.max_control_connections,
                 "How many gRPC clients may be connected at a time, 1 to "
                 "100000; more wait. At most a sixteenth of the descriptors "
                 "that the process may have. Default: 1000")
      ->type_name("N");
  app.add_option("--max-control-memory", raw.max_control_memory,
                 "How much memory the process may take beyond what it keeps "
                 "for connections and events, before the busiest gRPC client "
                 "is shut down: bytes, or like 192MiB, at least 1MiB. Default: "
                 "192MiB")
      ->type_name("SIZE");
  app.add_flag("--version", raw.version, "Print the version and exit");
}

absl::Status Wrong(const std::string& flag, const std::string& value,
                   const absl::Status& error) {
  return absl::InvalidArgumentError(
      absl::StrCat(flag, " \"", value, "\": ", error.message()));
}

absl::StatusOr<std::vector<AnyAddress>> ControlOf(
    const RawFlags& raw, const std::string& directory) {
  std::vector<std::string> texts = raw.control;
  if (texts.empty()) texts.push_back(kDefaultControl);
  std::vector<AnyAddress> addresses;
  for (const std::string& text : texts) {
    const auto address = ParseControlAddress(text, directory);
    if (!address.ok()) return Wrong("--control", text, address.status());
    if (!IsLocal(*address) && !raw.tls_cert && !raw.insecure) {
      const auto error = absl::InvalidArgumentError(
          "other machines reach this address, and nothing would protect it; "
          "give --tls-cert, --tls-key and --tls-client-ca, or say --insecure "
          "if that is meant");
      return Wrong("--control", text, error);
    }
    addresses.push_back(*address);
  }
  return addresses;
}

absl::StatusOr<std::vector<Flags::Listen>> ListenOf(
    const RawFlags& raw, const std::string& directory) {
  std::vector<Flags::Listen> listen;
  for (const std::string& text : raw.listen) {
    auto request = ParseListenFlag(text, directory);
    if (!request.ok()) return Wrong("--listen", text, request.status());
    listen.push_back({text, *std::move(request)});
  }
  return listen;
}

absl::StatusOr<Duration> DrainOf(const RawFlags& raw) {
  absl::Duration drain;
  if (!absl::ParseDuration(raw.drain, &drain) || drain < absl::ZeroDuration() ||
      drain > absl::Hours(24 * 365)) {
    const auto error = absl::InvalidArgumentError(
        "expected a duration of at most a year, like 500ms, 10s or 1m30s");
    return Wrong("--drain", raw.drain, error);
  }
  return absl::ToChronoNanoseconds(drain);
}

absl::Status SetLog(const RawFlags& raw, Flags& flags) {
  if (raw.log_format == "json") {
    flags.log_format = LogFormat::kJson;
  } else if (raw.log_format != "text") {
    return Wrong("--log-format", raw.log_format,
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
      "--log-level", raw.log_level,
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

absl::StatusOr<int> LoopsOf(const RawFlags& raw) {
  constexpr int kMost = 256;
  if (!raw.loops) return std::clamp(NumUsableCpus(), 1, kMost);
  int loops = 0;
  if (!absl::SimpleAtoi(*raw.loops, &loops) || loops < 1 || loops > kMost) {
    return Wrong("--loops", *raw.loops,
                 absl::InvalidArgumentError(
                     absl::StrCat("expected a number from 1 to ", kMost)));
  }
  return loops;
}

absl::Status SetControlLimits(const RawFlags& raw, Flags& flags) {
  if (const auto& text = raw.max_control_connections) {
    constexpr int kMost = 100'000;
    int& most = flags.max_control_connections;
    if (!absl::SimpleAtoi(*text, &most) || most < 1 || most > kMost) {
      return Wrong("--max-control-connections", *text,
                   absl::InvalidArgumentError(
                       absl::StrCat("expected a number from 1 to ", kMost)));
    }
  }
  if (const auto& text = raw.max_control_memory) {
    const auto bytes = ParseSize(*text);
    if (!bytes) {
      return Wrong("--max-control-memory", *text,
                   absl::InvalidArgumentError(
                       "expected a size from 1MiB to 1024GiB, like 192MiB"));
    }
    flags.max_control_memory = *bytes;
  }
  return absl::OkStatus();
}

// Gives "" if the flag was not given.
absl::StatusOr<std::string> FileOf(const char* flag,
                                   const std::optional<std::string>& file,
                                   const std::string& directory,
                                   absl::string_view what = "a file") {
  if (!file) return "";
  if (file->empty()) {
    return Wrong(flag, *file,
                 absl::InvalidArgumentError(absl::StrCat("expected ", what)));
  }
  return file->front() == '/' ? *file : absl::StrCat(directory, "/", *file);
}

absl::StatusOr<std::optional<TlsFiles>> TlsOf(const RawFlags& raw,
                                              const std::string& directory) {
  const auto certificate = FileOf("--tls-cert", raw.tls_cert, directory);
  if (!certificate.ok()) return certificate.status();
  const auto key = FileOf("--tls-key", raw.tls_key, directory);
  if (!key.ok()) return key.status();
  const auto client_ca =
      FileOf("--tls-client-ca", raw.tls_client_ca, directory);
  if (!client_ca.ok()) return client_ca.status();
  const TlsFiles files{*certificate, *key, *client_ca};
  if (files == TlsFiles()) return std::optional<TlsFiles>();
  if (files.certificate.empty() || files.key.empty() ||
      files.client_ca.empty()) {
    return absl::InvalidArgumentError(
        "--tls-cert, --tls-key and --tls-client-ca: all three are needed, or "
        "none");
  }
  if (raw.insecure) {
    return absl::InvalidArgumentError(
        "--insecure: contradicts --tls-cert; give one of them");
  }
  return std::optional<TlsFiles>(files);
}

absl::StatusOr<Flags> ToFlags(const RawFlags& raw,
                              const std::string& directory) {
  Flags flags;
  auto tls = TlsOf(raw, directory);
  if (!tls.ok()) return tls.status();
  flags.tls = *std::move(tls);
  auto policy = FileOf("--policy", raw.policy, directory);
  if (!policy.ok()) return policy.status();
  flags.policy = *std::move(policy);
  auto audit = FileOf("--audit", raw.audit, directory);
  if (!audit.ok()) return audit.status();
  flags.audit = *std::move(audit);
  auto listeners =
      FileOf("--listeners", raw.listeners, directory, "a directory");
  if (!listeners.ok()) return listeners.status();
  flags.listeners = *std::move(listeners);
  auto state = FileOf("--state", raw.state, directory, "a directory");
  if (!state.ok()) return state.status();
  flags.state = *std::move(state);
  flags.require_listeners = raw.require_listeners;
  if (flags.require_listeners && flags.state.empty()) {
    return absl::InvalidArgumentError(
        "--require-listeners: there is nothing to require without --state");
  }
  if (auto s = SetLog(raw, flags); !s.ok()) return s;
  auto control = ControlOf(raw, directory);
  if (!control.ok()) return control.status();
  flags.control = *std::move(control);
  flags.has_control = !raw.control.empty();
  flags.insecure = raw.insecure;
  auto listen = ListenOf(raw, directory);
  if (!listen.ok()) return listen.status();
  flags.listen = *std::move(listen);
  const auto drain = DrainOf(raw);
  if (!drain.ok()) return drain.status();
  flags.drain = *drain;
  if (auto s = SetControlLimits(raw, flags); !s.ok()) return s;
  const auto loops = LoopsOf(raw);
  if (!loops.ok()) return loops.status();
  flags.loops = *loops;
  return flags;
}

}  // namespace

absl::StatusOr<std::variant<Flags, Information>> ParseFlags(
    int argc, const char* const* argv, const std::string& directory) {
  using Outcome = std::variant<Flags, Information>;
  CLI::App app(
      "portreeved owns TCP and Unix-domain listeners and their "
      "connections, under the command of gRPC clients.",
      "portreeved");
  RawFlags raw;
  Declare(app, raw);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return Outcome(Information{app.help()});
  } catch (const CLI::ParseError& error) {
    const std::string unexpected = UnexpectedText(app);
    return absl::InvalidArgumentError(
        absl::StrCat(unexpected.empty() ? error.what() : unexpected.c_str(),
                     " (see --help)"));
  }
  if (raw.version) {
    return Outcome(Information{absl::StrCat("portreeved ", kVersion, "\n")});
  }
  auto flags = ToFlags(raw, directory);
  if (!flags.ok()) return flags.status();
  return Outcome(*std::move(flags));
}

absl::Status AboutFlag(const std::string& flag, const absl::Status& error) {
  return absl::Status(error.code(), absl::StrCat(flag, ": ", error.message()));
}

}  // namespace portreeve::server
