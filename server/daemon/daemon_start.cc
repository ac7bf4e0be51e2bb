// How the daemon starts.
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "command_line/version.h"
#include "lib/base/log.h"
#include "lib/net/address.h"
#include "server/access/gate.h"
#include "server/api/listener_draft.h"
#include "server/api/names.h"
#include "server/control/descriptor_shares.h"
#include "server/daemon/control_plane.h"
#include "server/daemon/daemon.h"
#include "server/daemon/daemon_metrics.h"
#include "server/daemon/daemon_parts.h"
#include "server/daemon/start_log.h"
#include "server/daemon/start_plan.h"
#include "server/daemon/tls_source.h"
#include "server/daemon/watchdog.h"
#include "server/registry/registry.h"

namespace portreeve::server {
namespace {

// Gives an address as it is written on the command line.
std::string ToText(const v1::Address& address) {
  if (!address.has_inet()) return UnixPathText(address.unix_socket().path());
  const std::string& host = address.inet().address();
  const bool is_v6 = absl::StrContains(host, ':');
  return absl::StrCat("tcp:", is_v6 ? "[" : "", host, is_v6 ? "]:" : ":",
                      address.inet().port());
}

// Logs which of the sockets that were given no listener was opened with.
void LogUnused(const GivenSockets& sockets) {
  for (const GivenSockets::Entry& entry : sockets.entries()) {
    Log(LogLevel::kWarning,
        absl::StrCat("LISTEN_FDS: descriptor ", entry.socket.get(),
                     " (listener-", entry.id, ") is closed: no ",
                     ListenerName(entry.id), " was to be opened at ",
                     ToString(entry.address)));
  }
}

}  // namespace

Daemon::Daemon(const Flags& flags, const DescriptorShares& shares,
               const Policy& policy, const Process& process)
    : process_(process),
      policy_file_(flags.policy),
      has_tls_(flags.tls.has_value()),
      flags_(flags),
      drain_(flags.drain),
      takeover_drain_(flags.takeover_drain),
      closes_rested_(flags.closes_rested),
      policy_(policy),
      audit_([&log = process.log](std::string_view line) { log.Audit(line); }) {
  auto make = [&] {
    parts_ = std::make_unique<DaemonParts>(
        loop_, flags.loops, shares, policy_, CertificatesOf(flags), audit_,
        !flags.state.empty(), [&signals = process_.signals] { signals.Ask(); });
    parts_->registry.CountInHistograms(flags.metrics_histograms);
    if (!flags.http.empty()) {
      BeginMetrics(loop_, flags, process_.log, *parts_);
    }
    if (!flags.access_log.empty()) {
      std::vector<std::string> keys;
      for (const auto& label : flags.metrics_labels) keys.push_back(label.key);
      parts_->LogAccessesTo(std::move(keys), [&log = process_.log](auto line) {
        log.Access(line);
      });
    }
    if (!flags.fdstore) return;
    if (process_.notifier.is_on()) {
      parts_->KeepSocketsBy(loop_, process_.notifier);
    } else {
      Log(LogLevel::kWarning,
          "--fdstore: nobody is there to keep sockets, as NOTIFY_SOCKET is not "
          "set");
    }
  };
  loop_.Run(make).get();
}

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(
    const Flags& flags, std::vector<FileListener> files, Given given,
    const Process& process) {
  const auto read = PolicyOf(flags);
  if (!read.ok()) return read.status();
  const DescriptorShares shares = SharesOf(flags);
  std::unique_ptr<Daemon> daemon(new Daemon(flags, shares, *read, process));
  DaemonParts& parts = *daemon->parts_;
  std::FILE* const out = process.out;
  std::optional<OpenedState> opened;
  if (!flags.state.empty()) {
    auto state_of_before = OpenState(flags.state, kVersion);
    if (!state_of_before.ok())
      return AboutFlag("state", state_of_before.status());
    opened.emplace(*std::move(state_of_before));
  }
  if (auto s = daemon->ListenForTakers(HandoverPort::Former::kIsAnothers);
      !s.ok()) {
    return s;
  }
  std::vector<std::string> lines;
  size_t num_listeners = 0;
  auto made = PlaneOptions(flags, shares, given.control, parts);
  if (!made.ok()) return made.status();
  ControlPlane::Options& options = *made;
  auto http_places = HttpPlacesOf(flags);
  if (!http_places.ok()) return http_places.status();
  if (auto s = daemon->StartHttp(shares, options.tls, *std::move(http_places));
      !s.ok()) {
    return s;
  }
  for (const AnyAddress& address : daemon->own_.http) {
    PrintLine(out, "http " + ToString(address));
  }
  options.on_bound =
      [&](const std::vector<AnyAddress>& addresses) -> absl::Status {
    LivePolicy& policy = daemon->policy_;
    auto own = OwnAddressesOf(addresses, daemon->own_.http);
    if (!own.ok()) return own.status();
    policy.SetOwnAddresses(*std::move(own));
    const auto give = [&] { parts.registry.Give(std::move(given.listeners)); };
    daemon->loop_.Run(give).get();
    auto opened_lines =
        daemon->OpenListeners(flags, std::move(files), std::move(opened));
    if (!opened_lines.ok()) return opened_lines.status();
    const auto take = [&parts] { return parts.TakeUnused(); };
    LogUnused(daemon->loop_.Run(take).get());
    lines = *std::move(opened_lines);
    const auto count = [&parts] { return parts.registry.num_wanted(); };
    num_listeners = static_cast<size_t>(daemon->loop_.Run(count).get());
    return absl::OkStatus();
  };
  auto plane = ControlPlane::Start(daemon->loop_, parts.services(), options,
                                   std::move(given.control));
  if (!plane.ok()) return plane.status();
  parts.plane = *std::move(plane);
  for (const AnyAddress& address : parts.plane->addresses()) {
    PrintLine(out, "control " + ToString(address));
  }
  for (const std::string& line : lines) PrintLine(out, line);
  daemon->own_.control = parts.plane->addresses();
  LogStarted(flags, daemon->own_, num_listeners);
  WarnOfWhatIsOpen(flags, daemon->own_, *read);
  parts.readiness = Readiness::kReady;
  PrintLine(out, "ready");
  daemon->TellReady();
  return daemon;
}

absl::StatusOr<ControlPlane::Options> Daemon::PlaneOptions(
    const Flags& flags, const DescriptorShares& shares,
    const ControlSockets& given, DaemonParts& parts) {
  ControlPlane::Options options;
  auto places = PlacesOf(flags, given);
  if (!places.ok()) return places.status();
  options.places = *std::move(places);
  if (flags.tls) {
    auto tls = TlsSource::Open(*flags.tls);
    if (!tls.ok()) return tls.status();
    options.tls = *std::move(tls);
  }
  options.limits.max_connections = shares.control_connections;
  options.limits.max_handshakes = HandshakesOf(shares.control_connections);
  options.max_memory = flags.max_control_memory;
  options.accounted = [&parts] { return parts.AccountedMemory(); };
  options.requests = parts.requests.get();
  return options;
}

absl::Status Daemon::StartHttp(const DescriptorShares& shares,
                               std::shared_ptr<TlsSource> tls,
                               std::vector<HttpPlace> places,
                               std::map<size_t, HandedSocket> handed) {
  const Flags& flags = flags_;
  if (flags.http.empty()) return absl::OkStatus();
  HttpPort::Options options;
  options.places = std::move(places);
  options.handed = std::move(handed);
  const int refused = std::min(kMostHttpRefused, shares.http_connections / 2);
  options.max_refused = static_cast<size_t>(refused);
  options.max_connections =
      static_cast<size_t>(shares.http_connections - refused);
  options.host_names = flags.http_hosts;
  options.tls = std::move(tls);
  options.pages = [this, &flags](const Executor& executor) {
    const HttpPageSources sources{
        loop_,
        policy_,
        CertificatesOf(flags),
        parts_->readiness,
        parts_->metrics.get(),
        LiveSources{loop_, parts_->events, parts_->registry,
                    parts_->event_service, parts_->stats_service.board()},
        parts_->life.start_time};
    return MakeHttpPages(sources, executor);
  };
  auto port = HttpPort::Start(std::move(options));
  if (!port.ok()) return AboutFlag("--http", port.status());
  parts_->http = *std::move(port);
  own_.http = parts_->http->addresses();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> Daemon::OpenListeners(
    const Flags& flags, std::vector<FileListener> files,
    std::optional<OpenedState> opened) {
  // One step, so that no client sees the half of it.
  const auto open = [&] { return OpenListenersOnLoop(flags, files, opened); };
  return loop_.Run(open).get();
}

absl::StatusOr<std::vector<std::string>> Daemon::OpenListenersOnLoop(
    const Flags& flags, std::vector<FileListener>& files,
    std::optional<OpenedState>& opened) {
  Registry& registry = parts_->registry;
  v1::Event event;
  v1::Event::DaemonStarted& started = *event.mutable_daemon_started();
  if (opened) {
    started.set_previous_version(opened->contents.written_by);
    started.set_clean(opened->contents.clean);
    if (auto s = parts_->BeginStart(*std::move(opened)); !s.ok()) {
      return AboutFlag("state", s);
    }
  }
  const int wanted = registry.num_wanted();
  std::vector<std::string> lines;
  OpenedListeners& own = parts_->life.opened;
  for (const Flags::Listen& listen : flags.listen) {
    own.Note(OpenedListeners::Source::kFlag, listen.text);
    auto line = Listen(listen);
    if (!line.ok()) return line.status();
    lines.push_back(*std::move(line));
  }
  for (FileListener& listener : files) {
    own.Note(OpenedListeners::Source::kFile, listener.draft.listener_id);
    auto line = Listen(listener);
    if (!line.ok()) return line.status();
    lines.push_back(*std::move(line));
  }
  if (!registry.has_state()) return lines;
  registry.OpenKept();
  const int failed = registry.num_failed();
  if (flags.require_listeners && failed > 0) {
    return AboutFlag("--require-listeners", registry.FirstFailure());
  }
  started.set_restored(wanted - failed);
  started.set_failed(failed);
  *started.mutable_daemon() = parts_->Describe();
  parts_->events.Append(std::move(event), "");
  registry.FinishStart();
  lines.push_back(absl::StrCat("state ", flags.state, ": ",
                               CountText(wanted, "listener"), ", ", failed,
                               " failed"));
  return lines;
}

absl::StatusOr<std::string> Daemon::Listen(const Flags::Listen& listen) {
  const std::string flag = absl::StrCat("--listen \"", listen.text, "\"");
  auto draft = CheckCreate(listen.request);
  if (!draft.ok()) return AboutFlag(flag, draft.status());
  draft->source = v1::LISTENER_SOURCE_FLAG;
  draft->listener_id =
      parts_->registry.GivenIdAt(draft->spec->where_to_listen());
  auto line = Listen(*std::move(draft));
  if (!line.ok()) return AboutFlag(flag, line.status());
  return line;
}

absl::StatusOr<std::string> Daemon::Listen(FileListener& listener) {
  auto line = Listen(std::move(listener.draft));
  if (line.ok()) return line;
  return AboutFlag("--listeners", AtItsPlace(listener, line.status()));
}

absl::StatusOr<std::string> Daemon::Listen(ListenerDraft draft) {
  absl::StatusOr<EncodedListener> listener = absl::UnknownError("not answered");
  // What is not kept is answered at once.
  parts_->registry.Create(std::move(draft),
                          [&listener](absl::StatusOr<EncodedListener> created) {
                            listener = std::move(created);
                          });
  if (!listener.ok()) return listener.status();
  return absl::StrCat("listener ", listener->name, " ",
                      ToText(listener->message().status().listening_on()));
}

void Daemon::TellReady() {
  if (!process_.notifier.is_on()) return;
  auto tell = [this] {
    process_.notifier.Ready(ListenerStatusText());
    const auto period = process_.notifier.watchdog();
    if (!period) return;
    auto alive = [this] { process_.notifier.Alive(ListenerStatusText()); };
    parts_->watchdog = std::make_unique<Watchdog>(loop_, parts_->loops, *period,
                                                  std::move(alive));
    parts_->watchdog->Start();
  };
  loop_.Run(tell).get();
}

}  // namespace portreeve::server
