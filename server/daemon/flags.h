// The command line of portreeved.
#ifndef PORTREEVE_SERVER_DAEMON_FLAGS_H_
#define PORTREEVE_SERVER_DAEMON_FLAGS_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/log.h"
#include "lib/base/time_source.h"
#include "lib/net/address.h"
#include "portreeve/v1/listener.pb.h"
#include "server/daemon/control_address.h"
#include "server/daemon/log_format.h"
#include "server/daemon/tls_files.h"
#include "server/events/connection_histograms.h"
#include "server/metrics/metrics_labels.h"
#include "server/metrics/own_series.h"

namespace portreeve::server {

// What Flags::access_log is where the access log goes to stderr.
inline constexpr char kAccessLogToStderr[] = "-";

struct Flags {
  // One address at least.  One that is not loopback is there only with TLS, or
  // if --insecure was given.
  std::vector<ControlAddress> control;
  // Whether --control says so, and not its default.
  bool has_control = false;
  bool insecure = false;

  // Where pages are served over HTTP; none by default.  No address is an
  // abstract name; as to TLS they are like those of `control`.
  std::vector<ControlAddress> http;
  // Names for HTTP's Host.
  std::vector<std::string> http_hosts;

  // The files of TLS, for the TCP addresses of `control` and `http`.
  std::optional<TlsFiles> tls;

  // Absolute paths; "" if not given.
  std::string policy;
  std::string audit;

  // An absolute path or kAccessLogToStderr; "" without an access log.
  std::string access_log;

  // The directory with files of listeners, an absolute path; "" if not given.
  std::string listeners;

  // The directory of the state, an absolute path; "" where nothing is kept.
  std::string state;
  // Where a process may take over from this one, an absolute path; "" if not
  // given, which is a file in the directory of the state, if there is one.
  std::string handover;
  // That of the process from which this one takes over; "": from none.
  std::string takeover;
  // The service manager keeps the sockets of listeners.
  bool fdstore = false;
  // A listener of the state that cannot be opened is a failed start.
  bool require_listeners = false;

  // How the log is written, and its lines of which levels.
  LogFormat log_format = LogFormat::kText;
  LogLevel log_level = LogLevel::kInfo;

  // A request as a client would send it, and the text that it was written as.
  // `listen` has them in the order of the command line.
  struct Listen {
    std::string text;
    v1::CreateListenerRequest request;
  };
  std::vector<Listen> listen;

  // How many clients the control plane may have at a time, >= 1; and how many
  // bytes the process may take beyond what it accounts for.
  int max_control_connections = 1000;
  int64_t max_control_memory = int64_t{192} << 20;

  // What Prometheus sees of listeners: these labels, and how many by
  // themselves.
  std::vector<MetricsLabel> metrics_labels;
  int metrics_listeners = static_cast<int>(OwnSeries::kDefault);

  // What has histograms of connections; WatchStats tells them, too.
  HistogramScope metrics_histograms = HistogramScope::kDaemon;

  // How many loops, each with a thread, carry the bytes of connections.
  int loops = 1;

  // How long handlers may take to end after the first signal.  >= 0.
  Duration drain = std::chrono::seconds(10);
  // How long connections may go on in this process once another one has taken
  // over from it.  >= 0.
  Duration takeover_drain = std::chrono::minutes(10);
  // Whether connections that are at rest need not be waited for so long: nobody
  // has asked for a drain of a certain length.
  bool closes_rested = true;
};

// The text that --help or --version asks for.
struct Information {
  std::string text;
};

// Reads argv, and the file of --config if it names one; relative paths count
// from `directory`, which is absolute, those in the file, too.
//
// Errors: INVALID_ARGUMENT, one line that names the flag, and, where it is the
// file's, begins with "FILE:LINE: ".
absl::StatusOr<std::variant<Flags, Information>> ParseFlags(
    int argc, const char* const* argv, const std::string& directory);

// Says that --audit and --access-log have the same file.
std::string SameFileText(const std::string& path);

// Gives `error` with the flag that it is about.
absl::Status AboutFlag(const std::string& flag, const absl::Status& error);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_FLAGS_H_
