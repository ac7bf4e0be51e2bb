#include "server/daemon.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/address.h"
#include "lib/deferred.h"
#include "lib/descriptor_budget.h"
#include "lib/log.h"
#include "server/connection_service.h"
#include "server/control_plane.h"
#include "server/event_log.h"
#include "server/event_service.h"
#include "server/gate.h"
#include "server/handler_service.h"
#include "server/listener_draft.h"
#include "server/listener_service.h"
#include "server/loop_group.h"
#include "server/registry.h"

namespace portreeve::server {
namespace {

// What connections may take of the descriptors of the process: the rest is for
// listeners, the control plane and lookups.
int DescriptorsForConnections() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = 1024;
  constexpr rlim_t kMost = std::numeric_limits<int>::max();
  return static_cast<int>(std::min(limit.rlim_cur, kMost) / 10 * 9);
}

// As it is written on the command line.
std::string ToText(const v1::Address& address) {
  if (!address.has_inet()) return "unix:" + address.unix_socket().path();
  return ToString(
      Inet::Address(asio::ip::make_address(address.inet().address()),
                    static_cast<uint16_t>(address.inet().port())));
}

void PrintLine(std::FILE* out, const std::string& line) {
  std::fprintf(out, "portreeved: %s\n", line.c_str());
  std::fflush(out);
}

Task<> Await(Deferred<> deferred) { co_await deferred.Wait(); }

// Waits for `task` or `or_else`, but not longer than `most`.
Task<> AwaitAtMost(Duration most, Task<> task, Deferred<> or_else) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT
  co_await (std::move(task) || Await(or_else) || Sleep(most));
}

absl::Status WithFlag(const std::string& flag, const absl::Status& error) {
  return absl::Status(error.code(), absl::StrCat(flag, ": ", error.message()));
}

absl::StatusOr<Policy> PolicyOf(const Flags& flags) {
  if (flags.policy.empty()) return Policy();
  auto policy = Policy::FromFile(flags.policy);
  if (!policy.ok()) return WithFlag("--policy", policy.status());
  return policy;
}

absl::StatusOr<std::unique_ptr<AuditLog>> AuditLogOf(const Flags& flags) {
  if (flags.audit.empty()) return AuditLog::ToStandardError();
  auto audit = AuditLog::ToFile(flags.audit);
  if (!audit.ok()) return WithFlag("--audit", audit.status());
  return audit;
}

Gate::Certificates CertificatesOf(const Flags& flags) {
  return flags.policy.empty() ? Gate::Certificates::kAreAdmins
                              : Gate::Certificates::kHaveTheRolesOfThePolicy;
}

// Of what is allowed, and seldom meant.
void Warn(const Flags& flags, const Policy& policy) {
  const bool has_policy = !flags.policy.empty();
  if (geteuid() == 0 && !has_policy) {
    Log("warning: running as root without --policy: whoever reaches a control "
        "address can listen and connect as root");
  }
  if (flags.tls && !has_policy) {
    Log("warning: TLS without --policy: every certificate from "
        "--tls-client-ca is an admin");
  }
  if (flags.tls && has_policy && !policy.has_identities()) {
    Log("warning: the policy has no identities: no certificate may do "
        "anything");
  }
}

}  // namespace

struct Daemon::State {
  State(Loop& loop, int num_loops, const Policy& policy,
        Gate::Certificates certificates, AuditLog& audit)
      : loops(loop, num_loops),
        budget(DescriptorsForConnections()),
        registry(loop.executor(), loops.lanes(), events, budget, policy),
        signals(loop.context().get_executor(), SIGTERM, SIGINT),
        first_signal(loop.executor()),
        second_signal(loop.executor()),
        gate(policy, certificates, &audit),
        listener_service(loop.context(), registry, gate),
        connection_service(loop, registry, gate),
        handler_service(loop, registry, gate),
        event_service(loop, events, registry, gate) {
    WatchSignals();
  }

  // Until the wait is cancelled.
  void WatchSignals() {
    signals.async_wait([this](boost::system::error_code error, int) {
      if (error) return;
      if (!first_signal.FillIfEmpty()) second_signal.FillIfEmpty();
      WatchSignals();
    });
  }

  // Refuses new streams and ends the watches; returns when every stream has
  // ended, as all do whose clients read.
  Task<> EndStreams() {
    const Deferred<> watches = event_service.EndWatches();
    const Deferred<> workers = handler_service.EndStreams();
    const Deferred<> sockets = connection_service.EndStreams();
    co_await watches.Wait();
    co_await workers.Wait();
    co_await sockets.Wait();
  }

  std::vector<grpc::Service*> services() {
    return {&listener_service, &connection_service, &handler_service,
            &event_service};
  }

  // Loop thread only.
  LoopGroup loops;
  EventLog events;
  DescriptorBudget budget;
  Registry registry;
  asio::basic_signal_set<asio::io_context::executor_type> signals;
  Ivar<> first_signal;
  Ivar<> second_signal;

  Gate gate;
  ListenerService listener_service;
  ConnectionService connection_service;
  HandlerService handler_service;
  EventService event_service;

  std::unique_ptr<ControlPlane> plane;  // Main thread only.
};

Daemon::Daemon(int num_loops, const Policy& policy,
               Gate::Certificates certificates, std::unique_ptr<AuditLog> audit)
    : audit_(std::move(audit)) {
  auto make = [&] {
    state_ = std::make_unique<State>(loop_, num_loops, policy, certificates,
                                     *audit_);
  };
  loop_.Run(make).get();
}

Daemon::~Daemon() { End(Duration::zero()); }

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const Flags& flags,
                                                      std::FILE* out) {
  const auto policy = PolicyOf(flags);
  if (!policy.ok()) return policy.status();
  auto audit = AuditLogOf(flags);
  if (!audit.ok()) return audit.status();
  std::unique_ptr<Daemon> daemon(new Daemon(
      flags.loops, *policy, CertificatesOf(flags), *std::move(audit)));
  State& state = *daemon->state_;
  auto plane = ControlPlane::Start(flags.control, state.services(), flags.tls);
  if (!plane.ok()) return plane.status();
  state.plane = *std::move(plane);
  for (const AnyAddress& address : state.plane->addresses()) {
    PrintLine(out, "control " + ToString(address));
  }
  for (const Flags::Listen& listen : flags.listen) {
    if (auto s = daemon->Listen(listen, out); !s.ok()) return s;
  }
  Warn(flags, *policy);
  PrintLine(out, "ready");
  return daemon;
}

absl::StatusOr<v1::Listener> Daemon::Create(
    const v1::CreateListenerRequest& request) {
  const auto draft = CheckCreate(request);
  if (!draft.ok()) return draft.status();
  const auto create = [&] { return state_->registry.Create(*draft); };
  return loop_.Run(create).get();
}

absl::Status Daemon::Listen(const Flags::Listen& listen, std::FILE* out) {
  const auto listener = Create(listen.request);
  if (!listener.ok()) {
    return absl::Status(listener.status().code(),
                        absl::StrCat("--listen \"", listen.text,
                                     "\": ", listener.status().message()));
  }
  PrintLine(out, absl::StrCat("listener ", listener->name(), " ",
                              ToText(listener->status().listening_on())));
  return absl::OkStatus();
}

Task<> Daemon::AwaitFirstSignal() {
  return Await(state_->first_signal.deferred());
}

Task<> Daemon::Drain(Duration drain) {
  Registry& registry = state_->registry;
  const Deferred<> hurry = state_->second_signal.deferred();
  registry.BeginShutdown();
  const Deferred<> all_ended = registry.AllHandlersDetermined();
  co_await AwaitAtMost(drain, Await(all_ended), hurry);
  registry.CloseAllConnections(ExistingConnections::kClose);
  co_await AwaitAtMost(kFlush, Await(all_ended), hurry);
}

// After it nothing runs on the loop but calls, which end by themselves.
Task<> Daemon::TearDown(Duration streams_end) {
  const Deferred<> hurry = state_->second_signal.deferred();
  state_->registry.BeginShutdown();
  state_->registry.CloseAllConnections(ExistingConnections::kReset);
  co_await state_->registry.TearDown();
  co_await AwaitAtMost(streams_end, state_->EndStreams(), hurry);
  state_->signals.cancel();
}

void Daemon::Run(Duration drain) {
  loop_.RunTask(AwaitFirstSignal()).get();
  state_->plane->AnnounceShutdown();
  loop_.RunTask(Drain(drain)).get();
  End(kStreamsEnd);
}

void Daemon::End(Duration streams_end) {
  if (std::exchange(ended_, true)) return;
  loop_.RunTask(TearDown(streams_end)).get();
  if (state_->plane != nullptr) state_->plane->Stop(kLinger);
  loop_.Join();
}

}  // namespace portreeve::server
