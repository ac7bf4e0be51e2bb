// How the daemon takes over from its former process.
#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "command_line/version.h"
#include "lib/base/log.h"
#include "server/api/listener_draft.h"
#include "server/control/descriptor_shares.h"
#include "server/daemon/control_plane.h"
#include "server/daemon/daemon.h"
#include "server/daemon/daemon_parts.h"
#include "server/daemon/daemon_sockets.h"
#include "server/daemon/start_log.h"
#include "server/daemon/start_plan.h"
#include "server/handover/handover_receiver.h"
#include "server/registry/registry.h"
#include "server/upgrade/upgrade_sink.h"

namespace portreeve::server {

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::TakeOver(
    const Flags& flags, std::vector<FileListener> files, Descriptor channel,
    const Process& process) {
  const auto read = PolicyOf(flags);
  if (!read.ok()) return read.status();
  const DescriptorShares shares = SharesOf(flags);
  std::unique_ptr<Daemon> daemon(new Daemon(flags, shares, *read, process));
  DaemonParts& parts = *daemon->parts_;
  auto options = PlaneOptions(flags, shares, {}, parts);
  if (!options.ok()) return options.status();
  auto plane = ControlPlane::Prepare(daemon->loop_, parts.services(), *options);
  if (!plane.ok()) return plane.status();
  parts.plane = *std::move(plane);

  auto opened = HandoverChannel::Open(std::move(channel));
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
                          return daemon->OpenTaken(daemon->flags_, shares,
                                                   *options, std::move(control),
                                                   std::move(http));
                        });
  UpgradeSink::Options taking;
  taking.version = kVersion;
  taking.state = flags.state;
  taking.on_health = [&parts](bool healthy) {
    parts.health_service.SetServing(kStateService, healthy);
  };
  {
    UpgradeSink sink(parts.ForUpgrade(sockets, process.log), taking);
    if (auto s = server::TakeOver(*opened, sink, identity); !s.ok()) {
      return AboutFlag("take-over", s);
    }
    parts.predecessor_pid = sink.predecessor().pid();
    parts.predecessor_version = sink.predecessor().program_version();
  }
  const auto follow = [&] {
    parts.predecessor = std::make_unique<HeldFollower>(
        daemon->loop_, parts.registry, *std::move(opened), [] {
          Log(LogLevel::kInfo, "take-over: the former process has ended");
        });
    parts.predecessor->Start();
    return parts.registry.num_held();
  };
  const size_t num_held = daemon->loop_.Run(follow).get();
  std::FILE* const out = process.out;
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
                   parts.predecessor_pid, ", which has ",
                   CountText(num_held, "connection"), " left"));
  WarnOfWhatIsOpen(daemon->flags_, daemon->own_, *read);
  parts.readiness = Readiness::kReady;
  PrintLineIfTaken(out, "ready");
  daemon->TellReady();
  return daemon;
}

// While the loops stand still.
absl::Status Daemon::OpenTaken(const Flags& flags,
                               const DescriptorShares& shares,
                               const ControlPlane::Options& options,
                               std::map<size_t, HandedSocket> control,
                               std::map<size_t, HandedSocket> http) {
  // The former process's sockets may be in the place of the default.
  auto places = PlacesOf(flags, {});
  if (!places.ok()) return places.status();
  if (auto s = parts_->plane->ListenFrozen(*places, std::move(control));
      !s.ok()) {
    return s;
  }
  if (auto s = StartHttp(flags, shares, options.tls, std::move(http));
      !s.ok()) {
    return s;
  }
  auto own = OwnAddressesOf(parts_->plane->frozen_addresses(), own_.http);
  if (!own.ok()) return own.status();
  policy_.SetOwnAddresses(*std::move(own));
  return absl::OkStatus();
}

void Daemon::OpenLacking(const Flags& flags, std::vector<FileListener> files) {
  const Registry& registry = parts_->registry;
  const auto log = [](const absl::StatusOr<std::string>& line) {
    if (line.ok()) return;
    Log(LogLevel::kError,
        absl::StrCat("take-over: ", std::string(line.status().message())));
  };
  for (const Flags::Listen& listen : flags.listen) {
    const auto draft = CheckCreate(listen.request);
    const auto is_that = [&](const auto& entry) {
      return draft.ok() && !entry.second->is_closed() &&
             entry.second->source() == v1::LISTENER_SOURCE_FLAG &&
             entry.second->spec().where_to_listen() ==
                 draft->spec->where_to_listen();
    };
    const auto& all = registry.listeners();
    if (std::any_of(all.begin(), all.end(), is_that)) continue;
    log(Listen(listen));
  }
  for (FileListener& file : files) {
    if (registry.listeners().contains(file.draft.listener_id)) continue;
    log(Listen(file));
  }
}

}  // namespace portreeve::server
