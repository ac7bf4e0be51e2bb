// How the daemon takes over from its former process.
#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "command_line/version.h"
#include "lib/base/log.h"
#include "server/api/listener_draft.h"
#include "server/api/timestamp.h"
#include "server/control/descriptor_shares.h"
#include "server/daemon/control_plane.h"
#include "server/daemon/daemon.h"
#include "server/daemon/daemon_parts.h"
#include "server/daemon/daemon_sockets.h"
#include "server/daemon/handover_port.h"
#include "server/daemon/start_log.h"
#include "server/daemon/start_plan.h"
#include "server/handover/handover_peer.h"
#include "server/handover/handover_receiver.h"
#include "server/registry/registry.h"
#include "server/upgrade/upgrade_sink.h"

namespace portreeve::server {
namespace {

// How much longer than its drain the former process may be there: it flushes,
// and tells what has become of its connections.
constexpr std::chrono::seconds kOverdue{20};

}  // namespace

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::TakeOver(
    const Flags& flags, std::vector<FileListener> files,
    std::optional<Descriptor> channel, const Process& process) {
  const auto read = PolicyOf(flags);
  if (!read.ok()) return read.status();
  const DescriptorShares shares = SharesOf(flags);
  std::unique_ptr<Daemon> daemon(new Daemon(flags, shares, *read, process));
  DaemonParts& parts = *daemon->parts_;
  auto options = PlaneOptions(flags, shares, {}, parts);
  if (!options.ok()) return options.status();
  // What may wait for others comes before anything stands still.
  auto http_places = HttpPlacesOf(flags);
  if (!http_places.ok()) return http_places.status();
  auto plane = ControlPlane::Prepare(daemon->loop_, parts.services(), *options);
  if (!plane.ok()) return plane.status();
  parts.plane = *std::move(plane);

  if (!channel) {
    auto connected = ConnectToTakeOver(flags.takeover);
    if (!connected.ok()) return AboutFlag("--takeover", connected.status());
    channel = *std::move(connected);
  }
  auto opened = HandoverChannel::Open(*std::move(channel));
  if (!opened.ok()) return AboutFlag("take-over", opened.status());
  SuccessorIdentity identity{kVersion, std::nullopt};
  if (!flags.state.empty()) {
    auto directory = DirectoryOf(flags.state);
    if (!directory.ok()) return AboutFlag("state", directory.status());
    identity.state = *std::move(directory);
  }
  DaemonSockets sockets(daemon->flags_, parts.plane, parts.http,
                        [&](std::map<size_t, HandedSocket> control,
                            std::map<size_t, HandedSocket> http) {
                          return daemon->OpenTaken(
                              shares, *options, *http_places,
                              std::move(control), std::move(http));
                        });
  UpgradeSink::Options taking;
  taking.version = kVersion;
  taking.state = flags.state;
  taking.on_health = [&parts](bool healthy) {
    parts.health_service.SetServing(kStateService, healthy);
  };
  Duration former_drain{};
  // Of several that try only the one comes so far.
  taking.on_complete = [&] {
    return daemon->ListenForTakersOnLoop(HandoverPort::Former::kIsReplaced);
  };
  taking.on_serve = [&parts, &former_drain](const UpgradeSink& sink) {
    v1::Daemon::Predecessor before;
    before.set_pid(sink.predecessor().pid());
    before.set_version(sink.predecessor().program_version());
    *before.mutable_deadline() =
        TimestampOf(UnixNanosNow() + sink.drain().count());
    parts.BeginAfter(std::move(before));
    former_drain = sink.drain();
  };
  {
    UpgradeSink sink(parts.ForUpgrade(sockets, process.log), taking);
    if (auto s = server::TakeOver(*opened, sink, identity); !s.ok()) {
      return AboutFlag("take-over", s);
    }
  }
  std::optional<HandoverPeer> former;
  // Without a descriptor for it, it ends by itself, as it should.
  if (auto peer = HandoverPeer::Open(opened->peer().pid); peer.ok()) {
    former.emplace(*std::move(peer));
  }
  const auto follow = [&] {
    if (parts.handover_port != nullptr) {
      if (auto s = parts.handover_port->Publish(); !s.ok()) {
        Log(LogLevel::kError,
            absl::StrCat("--handover: ", std::string(s.message())));
      }
    }
    parts.predecessor = std::make_unique<HeldFollower>(
        daemon->loop_, parts.registry, *std::move(opened), std::move(former),
        former_drain + kOverdue, [] {
          Log(LogLevel::kInfo, "take-over: the former process has ended");
        });
    parts.predecessor->Start();
    return parts.registry.num_held();
  };
  const size_t num_held = daemon->loop_.Run(follow).get();
  std::FILE* const out = process.out;
  for (const AnyAddress& address : daemon->own_.http) {
    PrintLineIfTaken(out, "http " + ToString(address));
  }
  daemon->own_.control = parts.plane->addresses();
  for (const AnyAddress& address : daemon->own_.control) {
    PrintLineIfTaken(out, "control " + ToString(address));
  }
  const auto open = [&] {
    daemon->OpenLacking(flags, std::move(files));
    return parts.registry.num_wanted();
  };
  const auto num_listeners = static_cast<size_t>(daemon->loop_.Run(open).get());
  LogStarted(daemon->flags_, daemon->own_, num_listeners);
  Log(LogLevel::kInfo,
      absl::StrCat("take-over: serves in place of process ",
                   parts.predecessor_facts.pid(), ", which has ",
                   CountText(num_held, "connection"), " left"));
  WarnOfWhatIsOpen(daemon->flags_, daemon->own_, *read);
  parts.readiness = Readiness::kReady;
  PrintLineIfTaken(out, "ready");
  daemon->TellReady();
  return daemon;
}

// While the loops stand still.
absl::Status Daemon::OpenTaken(const DescriptorShares& shares,
                               const ControlPlane::Options& options,
                               std::vector<HttpPlace> http_places,
                               std::map<size_t, HandedSocket> control,
                               std::map<size_t, HandedSocket> http) {
  std::vector<ControlPlace> places = options.places;
  if (!flags_.has_control) {
    // The former process's sockets may be in the place of the default.
    places.clear();
    for (const ControlAddress& one : flags_.control) {
      places.push_back({one.address, one.mode, std::nullopt});
    }
  }
  if (auto s = parts_->plane->ListenFrozen(places, std::move(control));
      !s.ok()) {
    return s;
  }
  if (auto s = StartHttp(shares, options.tls, std::move(http_places),
                         std::move(http));
      !s.ok()) {
    return s;
  }
  // Those whose connections move come back for them, all at once.
  parts_->plane->Expect(parts_->registry.num_awaited());
  auto own = OwnAddressesOf(parts_->plane->frozen_addresses(), own_.http);
  if (!own.ok()) return own.status();
  policy_.SetOwnAddresses(*std::move(own));
  return absl::OkStatus();
}

void Daemon::OpenLacking(const Flags& flags, std::vector<FileListener> files) {
  OpenedListeners& opened = parts_->life.opened;
  const auto log = [](const absl::StatusOr<std::string>& line) {
    if (line.ok()) return;
    Log(LogLevel::kError,
        absl::StrCat("take-over: ", std::string(line.status().message())));
  };
  for (const Flags::Listen& listen : flags.listen) {
    if (!opened.Note(OpenedListeners::Source::kFlag, listen.text)) continue;
    log(Listen(listen));
  }
  for (FileListener& file : files) {
    const std::string& id = file.draft.listener_id;
    if (!opened.Note(OpenedListeners::Source::kFile, id)) continue;
    log(Listen(file));
  }
}

}  // namespace portreeve::server
