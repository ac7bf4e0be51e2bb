// How the daemon hands over to a process that somebody has started.
#include <chrono>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "server/api/errors.h"
#include "server/api/utf8.h"
#include "server/daemon/daemon.h"
#include "server/daemon/daemon_parts.h"
#include "server/daemon/handover_port.h"
#include "server/handover/handover_channel.h"
#include "server/handover/handover_peer.h"

namespace portreeve::server {
namespace {

// Tells whoever wants to take over that it may not.
void Refuse(Descriptor process, const absl::Status& why) {
  auto channel = HandoverChannel::Open(std::move(process));
  if (!channel.ok()) return;
  Handover message;
  message.mutable_refused()->set_reason(
      ErrorText(absl::string_view(why.message())));
  (void)channel->Send(std::move(message), {}, TimePoint::min());
}

}  // namespace

absl::Status Daemon::ListenForTakers(HandoverPort::Former former) {
  return loop_.Run([&] { return ListenForTakersOnLoop(former); }).get();
}

absl::Status Daemon::ListenForTakersOnLoop(HandoverPort::Former former) {
  const bool is_default = flags_.handover.empty();
  if (is_default && flags_.state.empty()) return absl::OkStatus();
  const std::string path = is_default
                               ? absl::StrCat(flags_.state, "/handover.sock")
                               : flags_.handover;
  const auto open = [&]() -> absl::Status {
    if (path.size() > HandoverPort::kMaxPathBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("unix:", path, ": it is too long for a unix socket"));
    }
    auto port = HandoverPort::Open(loop_, path, former, [this](Descriptor fd) {
      if (parts_->upgrading || parts_->taker) {
        return Refuse(std::move(fd), UpgradeInProgress());
      }
      parts_->taker = std::move(fd);
      process_.signals.Ask();
    });
    if (!port.ok()) return port.status();
    parts_->handover_port = *std::move(port);
    return absl::OkStatus();
  };
  const absl::Status opened = open();
  if (opened.ok() || !is_default) return AboutFlag("--handover", opened);
  Log(LogLevel::kWarning,
      absl::StrCat("no process can take over by --takeover: ",
                   absl::string_view(opened.message())));
  return absl::OkStatus();
}

void Daemon::HandOverToTaker(Descriptor process) {
  const auto hand_over = [&]() -> absl::Status {
    if (auto s = CheckUpgrade(); !s.ok()) {
      Refuse(std::move(process), s);
      return s;
    }
    auto channel = HandoverChannel::Open(std::move(process));
    if (!channel.ok()) return channel.status();
    auto peer = HandoverPeer::Open(channel->peer().pid);
    if (!peer.ok()) return peer.status();
    // Else that number may be another process's by now.
    if (!channel->HasPeer()) {
      return UpgradeFailed("start", "the process that came has gone");
    }
    return HandOverTo(
               {*std::move(channel), *std::move(peer), Successor::kGuest},
               takeover_drain_)
        .status();
  };
  if (auto s = hand_over(); !s.ok()) LogFailedUpgrade(s);
}

}  // namespace portreeve::server
