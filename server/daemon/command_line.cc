#include "server/daemon/command_line.h"

#include "absl/strings/str_cat.h"
#include "command_line/unexpected.h"

namespace portreeve::server {
namespace {

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
              "in their certificates, and the users and groups that come by "
              "unix sockets, may do: a portreeve.v1.Policy in "
              "protobuf's text format; read again at SIGHUP. Default: nearly "
              "everything, and every client may do it");
  DeclareFile(app, "--audit", raw.audit,
              "Where to append a line of JSON for each change that a client "
              "makes or tries. Default: stderr");
  app.add_option("--access-log", raw.access_log,
                 "Where to append a line of JSON for each connection that is "
                 "closed, or what else a listener's access_log says: a file, "
                 "or - for stderr. Default: nowhere")
      ->type_name("FILE|-");
  app.add_option("--log-format", raw.log_format,
                 "How the lines of the log, on stderr, are written: text, or "
                 "json, an object each. Default: text")
      ->type_name("text|json");
  app.add_option("--log-level", raw.log_level,
                 "Which lines are written: those of this level and above; "
                 "debug (each connection's end, too), info, warning or error. "
                 "Default: info")
      ->type_name("debug|info|warning|error");
  app.add_flag("--insecure", raw.insecure,
               "Allow a --control address that other machines reach, without "
               "any authentication: who reaches it commands this daemon; and "
               "such an --http address: who reaches it reads what the daemon "
               "tells");
}

void DeclareHttp(CLI::App& app, RawFlags& raw) {
  app.add_option(
         "--http", raw.http,
         "Where pages about this daemon are served over HTTP, "
         "repeatable: tcp:HOST:PORT, or unix:PATH with mode 0600 or "
         "what \"unix:PATH?mode=0660&group=NAME\" says; with the TLS of "
         "--control. /healthz and /readyz are for whoever can connect, "
         "all others for viewers (docs/MONITORING.md). Default: nowhere")
      ->type_name("ADDRESS")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      // Else CLI11 splits "[a,b]" in two.
      ->allow_extra_args(false);
  app.add_option(
         "--http-host", raw.http_host,
         "A name by which --http may be asked (HTTP's Host), "
         "repeatable, beside IP addresses, localhost and the names of "
         "--tls-cert; under any other a page of a stranger's could read "
         "what is served here. Default: none")
      ->type_name("NAME")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
}

void DeclareState(CLI::App& app, RawFlags& raw) {
  app.add_option("--state", raw.state,
                 "Keep the listeners of clients in this directory, which is "
                 "made if its parent is there: a start opens them again, after "
                 "a crash, too. Default: nothing is kept")
      ->type_name("DIR");
  app.add_flag("--fdstore", raw.fdstore,
               "Have systemd keep the sockets of listeners (it has to have "
               "FileDescriptorStoreMax= for the service), so that their "
               "ports answer again after a crash or a restart, and no client "
               "is refused meanwhile. Default: they end with the process");
  app.add_flag("--require-listeners", raw.require_listeners,
               "With --state: exit where one of them cannot be opened. "
               "Default: it is FAILED, and is tried again");
}

// Declares the flags that say what Prometheus sees.
void DeclareMetrics(CLI::App& app, RawFlags& raw) {
  app.add_option("--metrics-label", raw.metrics_label,
                 "A label of listeners to show in /metrics and in lines of the "
                 "access log, repeatable: the label KEY is label_KEY in "
                 "/metrics, with _ for what is neither a letter nor a digit. "
                 "Default: none is shown")
      ->type_name("KEY")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      // Else CLI11 splits "[a,b]" in two.
      ->allow_extra_args(false);
  app.add_option("--metrics-listeners", raw.metrics_listeners,
                 "How many listeners have series of their own in /metrics, 0 "
                 "to 1000000; the others are summed. Default: 5000")
      ->type_name("N");
  app.add_option("--metrics-histograms", raw.metrics_histograms,
                 "What has histograms of how long connections live, carry and "
                 "take to reach upstreams, in /metrics and for WatchStats: "
                 "nothing (off), the daemon as a whole, or each listener, "
                 "which is some fifty series each. Default: daemon")
      ->type_name("off|daemon|listener");
}

void Declare(CLI::App& app, RawFlags& raw) {
  DeclareFile(app, "--config", raw.config_file,
              "Read more flags from this file, one a line: `--flag value` or "
              "`flag = value`; # begins a comment, and a value with blanks "
              "stands in quotes. A flag of the command line takes the place of "
              "all its lines in the file");
  app.add_option("--control", raw.control,
                 "Where gRPC clients connect, repeatable: tcp:HOST:PORT or "
                 "HOST:PORT (port 0: chosen by the OS), unix:PATH or "
                 "unix:@NAME, an abstract socket for root and the daemon's own "
                 "user. The file of a unix socket has mode 0600 and the group "
                 "of a new file, or what \"unix:PATH?mode=0660&group=NAME\" "
                 "says. Sockets that systemd passes under the name control are "
                 "taken for it, with the mode and group that they have "
                 "(docs/OPERATIONS.md). Default: those, or " +
                     std::string(kDefaultControl))
      ->type_name("ADDRESS")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      // Else CLI11 splits "[a,b]" in two.
      ->allow_extra_args(false);
  app.add_option("--listen", raw.listen,
                 "A listener to open at the start, repeatable: \"ADDRESS "
                 "echo\", \"ADDRESS discard\" or \"ADDRESS forward ADDRESS\"")
      ->type_name("\"ADDRESS HANDLER\"")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      // Else CLI11 splits "[a,b]" in two.
      ->allow_extra_args(false);
  app.add_option("--listeners", raw.listeners,
                 "A directory: open the listeners in its files at the start, "
                 "as `portreeve apply` takes them: .yaml, .yml, .json, "
                 ".textproto, .txtpb, .pbtxt. A file that is wrong fails the "
                 "start. Default: none")
      ->type_name("DIR");
  app.add_option("--drain", raw.drain,
                 "After SIGTERM or SIGINT, how long connections may go on "
                 "before they are closed, like 1m30s. Default: 10s, but echo "
                 "and discard connections over which nothing comes for a "
                 "second are closed then")
      ->type_name("DURATION");
  app.add_option("--takeover-drain", raw.takeover_drain,
                 "After an upgrade (SIGUSR2, portreeve upgrade), how long "
                 "connections may go on in the former process before they are "
                 "reset, like 1h. Default: 10m")
      ->type_name("DURATION");
  app.add_option("--handover", raw.handover,
                 "Where another process, of the same user, may take over with "
                 "--takeover: unix:PATH. Default: handover.sock in the "
                 "directory of --state; nowhere without that")
      ->type_name("ADDRESS");
  app.add_option("--takeover", raw.takeover,
                 "Take over from the daemon with that --handover, like the "
                 "process that `portreeve upgrade` starts, but with these "
                 "flags: sockets, listeners, events, connections. Default: "
                 "begin anew")
      ->type_name("ADDRESS");
  app.add_option("--loops", raw.loops,
                 "How many threads carry the bytes of connections, 1 to 256. "
                 "Default: the number of CPUs that the daemon may use")
      ->type_name("N");
  DeclareAccess(app, raw);
  DeclareState(app, raw);
  DeclareHttp(app, raw);
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
  DeclareMetrics(app, raw);
  app.add_flag("--version", raw.version, "Print the version and exit");
}

}  // namespace

CommandLine::CommandLine()
    : app_(
          "portreeved owns TCP and Unix-domain listeners and their "
          "connections, under the command of gRPC clients.",
          "portreeved") {
  Declare(app_, flags_);
}

absl::Status CommandLine::Parse(const std::vector<std::string>& words) {
  flags_ = RawFlags();
  try {
    // CLI11 takes them from the back.
    app_.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::CallForHelp&) {
    return absl::OkStatus();
  } catch (const CLI::ParseError& error) {
    const std::string unexpected = UnexpectedText(app_);
    return absl::InvalidArgumentError(
        absl::StrCat(unexpected.empty() ? error.what() : unexpected.c_str(),
                     " (see --help)"));
  }
  return absl::OkStatus();
}

bool CommandLine::Has(const std::string& flag) const {
  return app_.get_option(flag)->count() > 0;
}

}  // namespace portreeve::server
