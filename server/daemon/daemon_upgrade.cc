// How the daemon goes over to its next process.
#include <unistd.h>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <cerrno>
#include <chrono>
#include <future>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "command_line/version.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "server/api/errors.h"
#include "server/api/timestamp.h"
#include "server/api/utf8.h"
#include "server/calls/answers.h"
#include "server/daemon/daemon.h"
#include "server/daemon/daemon_parts.h"
#include "server/daemon/daemon_sockets.h"
#include "server/daemon/handover_port.h"
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
// The same of one that has come ready.
constexpr std::chrono::seconds kMostGreeting{5};

// It is for ever, and no time that follows it is beyond those that there are.
constexpr std::chrono::hours kLongestDrain{24 * 365 * 100};

// One that was refused ends by itself; one that says nothing does not.
void EndOf(HandoverPeer& peer) {
  (void)peer.Kill();
  (void)peer.AwaitDeath(
      HandoverClock::System(),
      After(std::chrono::steady_clock::now(), PredecessorPolicy::kMostDying));
}

std::string WithEnd(const std::string& reason, const HandoverPeer& peer) {
  const std::string end = peer.EndText();
  return end.empty() ? reason : absl::StrCat(reason, " (", end, ")");
}

}  // namespace

void Daemon::LogFailedUpgrade(const absl::Status& status) {
  Log(LogLevel::kError,
      absl::StrCat("upgrade: ", absl::string_view(status.message())));
}

void Daemon::OnUpgrade(bool by_signal) {
  std::optional<Descriptor> taker;
  bool is_wanted = by_signal;
  const auto take = [&] {
    taker = std::exchange(parts_->taker, std::nullopt);
    std::vector<UpgradeCall> calls = std::exchange(parts_->upgrade_calls, {});
    for (const UpgradeCall& call : calls) is_wanted |= !call.validate_only;
    parts_->upgrading = taker || is_wanted;
    return calls;
  };
  std::vector<UpgradeCall> calls = loop_.Run(take).get();
  // One that stands ready needs no other to be started.
  if (taker) {
    HandOverToTaker(*std::move(taker));
    is_wanted &= !handed_over_;
  }
  // What it was asked for may have been done together with something else.
  if (!is_wanted && calls.empty()) {
    return loop_.Post([this] { parts_->upgrading = false; });
  }
  const absl::StatusOr<v1::Daemon> valid = ValidateUpgrade();
  absl::StatusOr<v1::Daemon> result = valid;
  // The first one is it, and to the others another upgrade is under way.
  const auto first =
      std::find_if(calls.begin(), calls.end(),
                   [](const UpgradeCall& call) { return !call.validate_only; });
  const auto place = first - calls.begin();
  if (is_wanted && valid.ok()) {
    result =
        Upgrade(first != calls.end() ? first->drain_timeout : std::nullopt);
  }
  if (!result.ok()) LogFailedUpgrade(result.status());
  loop_.Post([this, calls = std::move(calls), place, valid, result] {
    parts_->upgrading = false;
    for (size_t i = 0; i < calls.size(); ++i) {
      const bool is_it = static_cast<ptrdiff_t>(i) == place;
      calls[i].answer(calls[i].validate_only ? valid
                      : is_it                ? result
                                             : UpgradeInProgress());
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
  return loop_.Run(is_held).get() ? UpgradeInProgress() : absl::OkStatus();
}

absl::StatusOr<v1::Daemon> Daemon::ValidateUpgrade() {
  if (auto s = CheckUpgrade(); !s.ok()) return s;
  if (getpid() == 1) {
    return UpgradeFailed("start",
                         "this is process 1, with whose end all others of its "
                         "container end, the next one, too");
  }
  const std::string& path = process_.program.path;
  if (access(path.c_str(), X_OK) != 0) {
    return UpgradeFailed(
        "start",
        absl::string_view(ErrnoError(errno, "access", path).message()));
  }
  return loop_.Run([this] { return parts_->Describe(); }).get();
}

absl::StatusOr<v1::Daemon> Daemon::Upgrade(std::optional<Duration> drain) {
  // Systemd learns of the death of a main process only if that is its child.
  const Parentage parentage =
      process_.notifier.is_on() ? Parentage::kSibling : Parentage::kChild;
  const TimePoint by = After(std::chrono::steady_clock::now(), kMostStarting);
  auto next = StartSuccessor(process_.program, parentage, [&](int fd) {
    return process_.signals.AwaitUnlessStopped(fd, by);
  });
  if (!next.ok()) {
    return UpgradeFailed("start", absl::string_view(next.status().message()));
  }
  return HandOverTo(*std::move(next), drain.value_or(takeover_drain_));
}

absl::StatusOr<v1::Daemon> Daemon::HandOverTo(Successor next, Duration drain) {
  const bool is_guest = next.kind == Successor::kGuest;
  // Nobody but who was started here is killed before it has said who it is.
  const auto end = [&] {
    if (!is_guest) EndOf(next.peer);
  };
  const TimePoint hello_by = After(std::chrono::steady_clock::now(),
                                   is_guest ? kMostGreeting : kMostStarting);
  // Nothing is held up while it starts, also not the end of the daemon.
  if (!process_.signals.AwaitUnlessStopped(next.channel.native_handle(),
                                           hello_by)) {
    end();
    return UpgradeFailed(StepName(HandoverStep::kHello),
                         "the daemon is to stop");
  }
  drain = std::min<Duration>(drain, kLongestDrain);
  DaemonParts& parts = *parts_;
  DaemonSockets sockets(flags_, parts.plane, parts.http);
  const pid_t pid = next.peer.pid();
  UpgradeSource::Options options;
  if (!flags_.state.empty()) {
    auto directory = DirectoryOf(flags_.state);
    if (!directory.ok()) {
      end();
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
  options.drain = drain;
  options.on_handed_over = [this] {
    Answers::Of(loop_.context()).SetMoved();
    // These come before all that is due by now.
    loop_.Post([this] { parts_->BeginEndOfStreams(); });
  };
  UpgradeSource source(parts.ForUpgrade(sockets, process_.log), options);
  const HandoverOutcome outcome = HandOver(next.channel, next.peer, source,
                                           options.state, kVersion, hello_by);
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
      end();
      loop_.Run([&parts] { parts.successor.reset(); }).get();
      return UpgradeFailed(StepName(outcome.step),
                           WithEnd(outcome.reason, next.peer));
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
    parts.successor->Start(std::move(next.channel), outcome.is_deaf);
    // One that cannot be heard acknowledges nothing.
    parts.registry.MoveStreams(source.takes_connections() && !outcome.is_deaf);
    if (parts.watchdog != nullptr) parts.watchdog->Stop();
    if (parts.handover_port != nullptr) parts.handover_port->LeaveFile();
    parts.handover_port.reset();
    parts.handed_over.FillIfEmpty();
    v1::Daemon daemon = parts.Describe();
    daemon.set_generation(daemon.generation() + 1);
    daemon.set_pid(pid);
    daemon.set_version(outcome.successor_version);
    daemon.clear_store();
    v1::Daemon::Predecessor& before = *daemon.mutable_predecessor();
    before.set_pid(getpid());
    before.set_version(kVersion);
    before.set_connections(source.num_held());
    before.set_moved(source.num_moving());
    *before.mutable_deadline() = TimestampOf(UnixNanosNow() + drain.count());
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
  std::promise<void> left;
  std::thread leaving;
  try {
    leaving = std::thread([&] {
      parts.plane->Stop(takeover_drain_ + kFlush + kStreamsEnd);
      left.set_value();
    });
  } catch (const std::system_error& error) {
    Log(LogLevel::kError,
        absl::StrCat("upgrade: clients are told at the end of the drain only: ",
                     error.what()));
  }
  RunAndObey(DrainHandedOver());
  const auto hurry = [&] {
    parts.first_signal.FillIfEmpty();
    parts.registry.CloseAllConnections(ExistingConnections::kReset);
  };
  loop_.Run(hurry).get();
  RunAndObey(AwaitEndOfStreams());
  if (leaving.joinable()) {
    // Calls whose clients do not read are not waited for; to cancel the others
    // would take from them what they have not read yet.
    if (left.get_future().wait_for(kStreamsEnd) != std::future_status::ready) {
      parts.plane->CancelCalls();
    }
    leaving.join();
  }
  End(kStreamsEnd);
  Log(LogLevel::kInfo, "stopped: the next process goes on");
  return true;
}

Task<> Daemon::AwaitEndOfStreams() {
  using namespace asio::experimental::awaitable_operators;  // NOLINT
  co_await (parts_->EndStreams() || Sleep(kStreamsEnd));
}

Task<> Daemon::DrainHandedOver() {
  using namespace asio::experimental::awaitable_operators;  // NOLINT
  Registry& registry = parts_->registry;
  const Deferred<> all_ended = registry.AllHandlersDetermined();
  // They go in a few steps, however short the drain is.
  co_await (Await(registry.unclaimed_gone()) ||
            Await(parts_->first_signal.deferred()) ||
            Sleep(std::max<Duration>(kFlush, takeover_drain_)));
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
  const Duration most = parts_->first_signal.deferred().determined()
                            ? Duration(kFlush)
                            : std::max<Duration>(kFlush, takeover_drain_);
  for (Duration waited{}; waited < most && !parts_->successor->is_sent();
       waited += kPause) {
    co_await Sleep(kPause);
  }
}

}  // namespace portreeve::server
