// How the daemon goes over to its next process.
#include <unistd.h>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <cerrno>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "command_line/version.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "server/api/errors.h"
#include "server/calls/answers.h"
#include "server/daemon/daemon.h"
#include "server/daemon/daemon_parts.h"
#include "server/daemon/daemon_sockets.h"
#include "server/daemon/start_log.h"
#include "server/daemon/watchdog.h"
#include "server/handover/handover_receiver.h"
#include "server/handover/handover_sender.h"
#include "server/handover/handover_step.h"
#include "server/registry/registry.h"
#include "server/upgrade/upgrade_source.h"

namespace portreeve::server {
namespace {

// How long the next process may take to start, until it says hello.
constexpr std::chrono::seconds kMostStarting{30};

}  // namespace

void Daemon::OnUpgrade() {
  const auto only_validates = [](const std::vector<UpgradeCall>& calls) {
    return !calls.empty() &&
           std::all_of(calls.begin(), calls.end(),
                       [](const auto& call) { return call.validate_only; });
  };
  const auto take = [&] {
    parts_->upgrading = !only_validates(parts_->upgrade_calls);
    return std::exchange(parts_->upgrade_calls, {});
  };
  std::vector<UpgradeCall> calls = loop_.Run(take).get();
  // A signal that came beside the one that was obeyed.
  if (handed_over_ && calls.empty()) return;
  const absl::StatusOr<v1::Daemon> valid = ValidateUpgrade();
  absl::StatusOr<v1::Daemon> result = valid;
  if (!only_validates(calls) && valid.ok()) {
    std::optional<Duration> drain;
    for (const UpgradeCall& call : calls) {
      if (call.drain_timeout && !call.validate_only) drain = call.drain_timeout;
    }
    result = Upgrade(drain);
  }
  if (!result.ok()) {
    Log(LogLevel::kError,
        absl::StrCat("upgrade: ",
                     absl::string_view(result.status().message())));
  }
  loop_.Post([this, calls = std::move(calls), valid, result] {
    parts_->upgrading = false;
    for (const UpgradeCall& call : calls) {
      call.answer(call.validate_only ? valid : result);
    }
  });
}

absl::Status Daemon::CheckUpgrade() {
  if (handed_over_) return Moved();
  if (stopping_) return ShuttingDown();
  const auto is_held = [this] {
    return parts_->predecessor != nullptr && parts_->predecessor->is_there() &&
           parts_->registry.num_held() > 0;
  };
  if (loop_.Run(is_held).get()) return UpgradeInProgress();
  const std::string& path = process_.program.path;
  if (access(path.c_str(), X_OK) != 0) {
    return UpgradeFailed(
        "start",
        absl::string_view(ErrnoError(errno, "access", path).message()));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Daemon> Daemon::ValidateUpgrade() {
  if (auto s = CheckUpgrade(); !s.ok()) return s;
  return loop_.Run([this] { return parts_->Describe(); }).get();
}

absl::StatusOr<v1::Daemon> Daemon::Upgrade(std::optional<Duration> drain) {
  auto next = StartSuccessor(process_.program);
  if (!next.ok()) {
    return UpgradeFailed("start", absl::string_view(next.status().message()));
  }
  return HandOverTo(*std::move(next), drain.value_or(takeover_drain_));
}

absl::StatusOr<v1::Daemon> Daemon::HandOverTo(Successor next, Duration drain) {
  DaemonParts& parts = *parts_;
  DaemonSockets sockets(flags_, parts.plane, parts.http);
  const pid_t pid = next.peer.pid();
  UpgradeSource::Options options;
  if (!flags_.state.empty()) {
    auto directory = DirectoryOf(flags_.state);
    if (!directory.ok()) {
      return UpgradeFailed("start",
                           absl::string_view(directory.status().message()));
    }
    options.state = *std::move(directory);
  }
  const auto make = [this, &parts] {
    parts.successor = std::make_unique<HeldReporter>(
        loop_, parts.registry, [&parts] { parts.first_signal.FillIfEmpty(); });
  };
  loop_.Run(make).get();
  options.successor = parts.successor.get();
  options.on_handed_over = [this] {
    Answers::Of(loop_.context()).SetMoved();
    // These come before all that is due by now.
    loop_.Post([this] { parts_->BeginEndOfStreams(); });
  };
  UpgradeSource source(parts.ForUpgrade(sockets, process_.log), options);
  const HandoverOutcome outcome =
      HandOver(next.channel, next.peer, source, options.state, kVersion,
               After(std::chrono::steady_clock::now(), kMostStarting));
  switch (outcome.end) {
    case HandoverOutcome::End::kHandedOver:
      break;
    case HandoverOutcome::End::kCrashed:
      // Nobody knows what that process did with what is here, too.
      Log(LogLevel::kError, absl::StrCat("upgrade: process ", pid,
                                         " is gone after it began to "
                                         "serve; this one ends"));
      process_.log.End();
      std::_Exit(1);
    default:
      // One that was refused ends by itself; one that says nothing does not.
      (void)next.peer.Kill();
      (void)next.peer.AwaitDeath(
          HandoverClock::System(),
          After(std::chrono::steady_clock::now(), std::chrono::seconds(5)));
      loop_.Run([&parts] { parts.successor.reset(); }).get();
      return UpgradeFailed(StepName(outcome.step), outcome.reason);
  }
  handed_over_ = true;
  takeover_drain_ = drain;
  process_.notifier.MainPid(pid);
  // They have come for the daemon, and not for what is left of it here.
  while (const auto number = process_.signals.TakePending()) {
    next.peer.Signal(*number);
  }
  const auto millis =
      std::chrono::duration_cast<std::chrono::milliseconds>(outcome.frozen);
  Log(LogLevel::kInfo,
      absl::StrCat(
          "upgrade: process ", pid, " serves, and goes on with ",
          CountText(static_cast<size_t>(source.num_moving()), "connection"),
          "; ", CountText(static_cast<size_t>(source.num_held()), "connection"),
          " may go on here for ", absl::FormatDuration(absl::FromChrono(drain)),
          "; all stood still for ", millis.count(), " ms"));
  const auto begin = [&] {
    if (outcome.is_deaf) {
      parts.successor->StartDeaf();
    } else {
      parts.successor->Start(std::move(next.channel));
    }
    if (parts.watchdog != nullptr) parts.watchdog->Stop();
    parts.handed_over.FillIfEmpty();
    v1::Daemon daemon = parts.Describe();
    daemon.set_generation(daemon.generation() + 1);
    daemon.set_pid(pid);
    daemon.set_version(outcome.successor_version);
    daemon.clear_store();
    return daemon;
  };
  return loop_.Run(begin).get();
}

bool Daemon::RunHandedOver() {
  DaemonParts& parts = *parts_;
  // Who reads there comes back to the next process.
  if (parts.http != nullptr) parts.http->Stop();
  // Clients are told to leave at once; the streams that carry connections go on
  // as long as these.
  std::thread leaving(
      [&] { parts.plane->Stop(takeover_drain_ + kFlush + kStreamsEnd); });
  RunAndObey(DrainHandedOver());
  const auto hurry = [&] {
    parts.first_signal.FillIfEmpty();
    parts.registry.CloseAllConnections(ExistingConnections::kReset);
  };
  loop_.Run(hurry).get();
  leaving.join();
  End(kStreamsEnd);
  Log(LogLevel::kInfo, "stopped: the next process goes on");
  return true;
}

Task<> Daemon::DrainHandedOver() {
  using namespace asio::experimental::awaitable_operators;  // NOLINT
  Registry& registry = parts_->registry;
  const Deferred<> all_ended = registry.AllHandlersDetermined();
  co_await (Await(all_ended) || Await(parts_->first_signal.deferred()) ||
            Sleep(takeover_drain_));
  if (!all_ended.determined()) {
    Log(LogLevel::kInfo,
        absl::StrCat("the drain is over: ", NumOpen(), " to be closed"));
    registry.CloseAllConnections(ExistingConnections::kReset);
    co_await (Await(all_ended) || Sleep(kFlush));
  }
  // What the next process is not told now it never learns.
  constexpr std::chrono::milliseconds kPause{10};
  for (Duration waited{}; waited < kFlush && !parts_->successor->is_sent();
       waited += kPause) {
    co_await Sleep(kPause);
  }
}

}  // namespace portreeve::server
