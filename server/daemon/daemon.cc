#include "server/daemon/daemon.h"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <csignal>
#include <cstring>
#include <future>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "lib/base/deferred.h"
#include "lib/base/guarded.h"
#include "lib/base/log.h"
#include "server/daemon/daemon_parts.h"
#include "server/daemon/start_log.h"
#include "server/daemon/watchdog.h"
#include "server/registry/policy_reload.h"
#include "server/registry/registry.h"

namespace portreeve::server {
namespace {

// Waits for `task` or `or_else`, but not longer than `most`.
Task<> AwaitAtMost(Duration most, Task<> task, Deferred<> or_else) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT
  co_await (std::move(task) || Await(or_else) || Sleep(most));
}

}  // namespace

Daemon::~Daemon() { End(Duration::zero()); }

absl::Status Daemon::ReloadPolicy() {
  if (policy_file_.empty()) return absl::OkStatus();
  return server::ReloadPolicy(policy_file_, policy_, loop_, parts_->registry);
}

std::string Daemon::ListenerStatusText() const {
  const Registry& registry = parts_->registry;
  const int failed = registry.num_failed();
  return absl::StrCat(
      CountText(static_cast<size_t>(registry.num_wanted()), "listener"),
      failed == 0 ? "" : absl::StrCat(", ", failed, " failed"));
}

void Daemon::OnHangup() {
  process_.notifier.Reloading();
  Log(LogLevel::kInfo,
      "SIGHUP: the audit log and the access log are opened anew, and the "
      "policy is read again, if there are files of them; listeners that have "
      "failed are tried again");
  process_.log.Reopen();
  const bool named_users = policy_.Now().has_unix_identities();
  // It logs what is wrong.
  if (ReloadPolicy().ok() &&
      policy_.Now().has_unix_identities() != named_users) {
    WarnOfUnknownUsers(has_tls_, own_, policy_.Now());
  }
  loop_.Post([this] {
    parts_->registry.RetryFailed();
    process_.notifier.Reloaded(ListenerStatusText());
  });
}

void Daemon::OnSignal(int number) {
  if (number == SIGHUP) return OnHangup();
  if (number == SIGUSR2 || number == Signals::kAsked) {
    return OnUpgrade(number == SIGUSR2);
  }
  stopping_ = true;
  Log(LogLevel::kInfo, absl::StrCat("SIG", sigabbrev_np(number)));
  const std::string drain = absl::FormatDuration(absl::FromChrono(drain_));
  process_.notifier.Stopping(
      "draining: connections may go on for " + drain,
      // What follows the drain has times of its own, and the rest is quick.
      drain_ + kFlush + kStreamsEnd + kLinger + std::chrono::seconds(5));
  loop_.Post([this] {
    if (!parts_->first_signal.FillIfEmpty()) {
      parts_->second_signal.FillIfEmpty();
    }
  });
}

Task<> Daemon::ThenWake(Task<> task) {
  struct Waker {
    ~Waker() { signals.Wake(); }
    Signals& signals;
  };
  const Waker waker{process_.signals};
  co_await std::move(task);
}

void Daemon::RunAndObey(Task<> task) {
  std::future<void> end = loop_.RunTask(ThenWake(std::move(task)));
  while (const auto number = process_.signals.Next()) OnSignal(*number);
  end.get();
}

Task<> Daemon::AwaitFirstSignal() {
  using namespace asio::experimental::awaitable_operators;  // NOLINT
  co_await (Await(parts_->first_signal.deferred()) ||
            Await(parts_->handed_over.deferred()));
}

void Daemon::Cut(const std::string& what) {
  if (std::exchange(cut_, true)) return;
  Log(LogLevel::kWarning, "a second signal cuts what has not ended: " + what);
}

void Daemon::CutIfHurried(const Deferred<>& all_ended) {
  if (!parts_->second_signal.determined() || all_ended.determined()) return;
  if (parts_->registry.connections().entries().empty()) {
    return;  // Only calls are left, which have a while yet.
  }
  Cut(NumOpen());
}

std::string Daemon::NumOpen() const {
  return CountText(parts_->registry.connections().entries().size(),
                   "connection");
}

Task<> Daemon::CloseRested() {
  RestingConnections looks;
  while (true) {
    // Without memory for it they have the time that all have.
    Guarded([&] { parts_->registry.CloseRested(looks); });
    co_await Sleep(kRest);
  }
}

Task<> Daemon::Drain() {
  Registry& registry = parts_->registry;
  const Deferred<> hurry = parts_->second_signal.deferred();
  registry.BeginShutdown();
  const Deferred<> all_ended = registry.AllHandlersDetermined();
  const std::string most = absl::FormatDuration(absl::FromChrono(drain_));
  Log(LogLevel::kInfo, absl::StrCat("draining: nothing is accepted any more; ",
                                    NumOpen(), " may go on for ", most));
  if (closes_rested_) {
    co_await AwaitAtMost(drain_, AwaitAtMost(drain_, CloseRested(), all_ended),
                         hurry);
  } else {
    co_await AwaitAtMost(drain_, Await(all_ended), hurry);
  }
  CutIfHurried(all_ended);
  Log(LogLevel::kInfo,
      all_ended.determined()
          ? "drained: every connection has ended"
          : absl::StrCat("the drain is over: ", NumOpen(), " to be closed"));
  registry.CloseAllConnections(ExistingConnections::kClose);
  co_await AwaitAtMost(kFlush, Await(all_ended), hurry);
  CutIfHurried(all_ended);
}

// After this nothing runs on the loop but calls, which end by themselves.
Task<> Daemon::TearDown(Duration streams_end) {
  DaemonParts& parts = *parts_;
  if (parts.watchdog != nullptr) parts.watchdog->Stop();
  const Deferred<> hurry = parts.second_signal.deferred();
  parts.registry.BeginShutdown();
  // What it has left is nobody's then.
  if (parts.predecessor != nullptr) parts.predecessor->DrainNow();
  parts.registry.CloseAllConnections(ExistingConnections::kReset);
  co_await parts.registry.TearDown();
  // Both would keep the loop.
  parts.predecessor.reset();
  parts.successor.reset();
  co_await AwaitAtMost(streams_end, parts.EndStreams(), hurry);
  if (!hurry.determined()) co_return;
  // Calls whose clients read have ended by then.
  const Ivar<> never(loop_.executor());
  co_await AwaitAtMost(kLinger, parts.EndStreams(), never.deferred());
  if (!parts.streams_ended) Cut("calls whose clients do not read");
}

bool Daemon::Run() {
  RunAndObey(AwaitFirstSignal());
  if (handed_over_) return RunHandedOver();
  loop_.Run([this] { parts_->AnnounceShutdown(); }).get();
  RunAndObey(Drain());
  End(kStreamsEnd);
  Log(LogLevel::kInfo, "stopped");
  return !cut_;
}

void Daemon::End(Duration streams_end) {
  if (std::exchange(ended_, true)) return;
  stopping_ = true;
  loop_.Run([this] { parts_->RefuseUpgrades(); }).get();
  RunAndObey(TearDown(streams_end));
  if (parts_->plane != nullptr) parts_->plane->Stop(kLinger);
  // It has told until now that the daemon shuts down.
  if (parts_->http != nullptr) parts_->http->Stop();
  loop_.Join();
}

}  // namespace portreeve::server
