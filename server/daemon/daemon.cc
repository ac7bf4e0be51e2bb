#include "server/daemon/daemon.h"

#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <csignal>
#include <cstring>
#include <future>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "lib/base/deferred.h"
#include "lib/base/log.h"
#include "lib/lane/loop_group.h"
#include "lib/net/address.h"
#include "lib/net/descriptor_budget.h"
#include "lib/net/own_addresses.h"
#include "server/about/health_service.h"
#include "server/about/reflection_service.h"
#include "server/access/gate.h"
#include "server/api/listener_draft.h"
#include "server/calls/connection_service.h"
#include "server/calls/handler_service.h"
#include "server/calls/listener_service.h"
#include "server/control/control_acceptor.h"
#include "server/control/descriptor_shares.h"
#include "server/daemon/control_plane.h"
#include "server/daemon/start_log.h"
#include "server/events/event_log.h"
#include "server/handlers/pump.h"
#include "server/registry/policy_reload.h"
#include "server/registry/registry.h"
#include "server/watch/event_service.h"

namespace portreeve::server {
namespace {

DescriptorShares SharesOf(const Flags& flags) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = 1024;
  constexpr rlim_t kMost = std::numeric_limits<int>::max();
  return DescriptorShares::Of(
      static_cast<int64_t>(std::min(limit.rlim_cur, kMost)),
      flags.max_control_connections, flags.loops);
}

// Gives the names of the services that do what the daemon is for.
std::vector<std::string> ServiceNames() {
  return {v1::ConnectionService::service_full_name(),
          v1::EventService::service_full_name(),
          v1::HandlerService::service_full_name(),
          v1::ListenerService::service_full_name()};
}

std::vector<std::string> WithHealth(std::vector<std::string> services) {
  services.push_back(grpc::health::v1::Health::service_full_name());
  return services;
}

// Gives how many clients may be without a call: so few of all that those who
// never make one cannot keep the others out.
int HandshakesOf(int max_control_connections) {
  return std::clamp(max_control_connections / 2, 1,
                    ControlAcceptor::Limits().max_handshakes);
}

// Gives an address as it is written on the command line.
std::string ToText(const v1::Address& address) {
  if (!address.has_inet()) return UnixPathText(address.unix_socket().path());
  const std::string& host = address.inet().address();
  const bool is_v6 = absl::StrContains(host, ':');
  return absl::StrCat("tcp:", is_v6 ? "[" : "", host, is_v6 ? "]:" : ":",
                      address.inet().port());
}

void PrintLine(std::FILE* out, const std::string& line) {
  std::fprintf(out, "portreeved: %s\n", line.c_str());
  std::fflush(out);
}

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

Gate::Certificates CertificatesOf(const Flags& flags) {
  return flags.policy.empty() ? Gate::Certificates::kAreAdmins
                              : Gate::Certificates::kHaveTheRolesOfThePolicy;
}

absl::StatusOr<OwnAddresses> OwnAddressesOf(
    const std::vector<AnyAddress>& addresses) {
  OwnAddresses own;
  for (const AnyAddress& address : addresses) {
    if (auto s = own.Add(address); !s.ok()) return WithFlag("--control", s);
  }
  return own;
}

}  // namespace

struct Daemon::State {
  State(Loop& loop, int num_loops, const DescriptorShares& shares,
        const LivePolicy& policy, Gate::Certificates certificates,
        AuditLog& audit)
      : loops(loop, num_loops),
        budget(shares.connections),
        registry(loop.executor(), loops.lanes(), events, budget, policy,
                 shares.listeners),
        first_signal(loop.executor()),
        second_signal(loop.executor()),
        gate(policy, certificates, &audit),
        listener_service(loop, registry, gate),
        connection_service(loop, registry, gate),
        handler_service(loop, registry, gate),
        event_service(loop, events, registry, gate),
        health_service(loop, NamesOfHealth()),
        reflection_service(loop, WithHealth(ServiceNames()),
                           // What errors are made of.
                           {"google.rpc.Status", "google.rpc.ErrorInfo"}) {}

  static std::set<std::string> NamesOfHealth() {
    const auto names = WithHealth(ServiceNames());
    return {names.begin(), names.end()};
  }

  // Gives the bytes that are kept for listeners, connections and their history,
  // without connections that clients serve.
  int64_t AccountedMemory() const {
    // What a connection takes, without bytes of it that wait.
    constexpr int64_t kOfConnection = 4 << 10;
    const auto connections =
        static_cast<int64_t>(registry.connections().entries().size());
    return static_cast<int64_t>(events.MemoryUse() +
                                registry.RequestMemoryUse() +
                                registry.ListenerMemoryUse()) +
           Pump::held_in_memory() + connections * kOfConnection;
  }

  // Refuses new streams and ends the watches; returns when every stream has
  // ended, as all do whose clients read.
  Task<> EndStreams() {
    const Deferred<> watches = event_service.EndStreams();
    const Deferred<> workers = handler_service.EndStreams();
    const Deferred<> sockets = connection_service.EndStreams();
    const Deferred<> health = health_service.EndStreams();
    const Deferred<> reflection = reflection_service.EndStreams();
    co_await watches.Wait();
    co_await workers.Wait();
    co_await sockets.Wait();
    co_await health.Wait();
    co_await reflection.Wait();
    streams_ended = true;
  }

  std::vector<grpc::Service*> services() {
    return {&listener_service,
            &connection_service,
            &handler_service,
            &event_service,
            &health_service,
            reflection_service.v1(),
            reflection_service.v1alpha()};
  }

  // Loop thread only.
  LoopGroup loops;
  EventLog events;
  DescriptorBudget budget;
  Registry registry;
  Ivar<> first_signal;
  Ivar<> second_signal;
  bool streams_ended = false;

  Gate gate;
  ListenerService listener_service;
  ConnectionService connection_service;
  HandlerService handler_service;
  EventService event_service;
  HealthService health_service;
  ReflectionService reflection_service;

  std::unique_ptr<ControlPlane> plane;  // Main thread only.
};

Daemon::Daemon(const Flags& flags, const DescriptorShares& shares,
               const Policy& policy, const Process& process)
    : process_(process),
      policy_file_(flags.policy),
      policy_(policy),
      audit_([&log = process.log](std::string_view line) { log.Audit(line); }) {
  auto make = [&] {
    state_ = std::make_unique<State>(loop_, flags.loops, shares, policy_,
                                     CertificatesOf(flags), audit_);
  };
  loop_.Run(make).get();
}

Daemon::~Daemon() { End(Duration::zero()); }

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const Flags& flags,
                                                      const Process& process) {
  const auto policy = PolicyOf(flags);
  if (!policy.ok()) return policy.status();
  const DescriptorShares shares = SharesOf(flags);
  std::unique_ptr<Daemon> daemon(new Daemon(flags, shares, *policy, process));
  State& state = *daemon->state_;
  std::FILE* const out = process.out;
  ControlPlane::Options options;
  options.addresses = flags.control;
  options.tls = flags.tls;
  options.limits.max_connections = shares.control_connections;
  options.limits.max_handshakes = HandshakesOf(shares.control_connections);
  options.max_memory = flags.max_control_memory;
  options.accounted = [&state] { return state.AccountedMemory(); };
  options.on_bound =
      [&policy = daemon->policy_](const std::vector<AnyAddress>& addresses) {
        auto own = OwnAddressesOf(addresses);
        if (own.ok()) policy.SetOwnAddresses(*std::move(own));
        return own.status();
      };
  auto plane = ControlPlane::Start(daemon->loop_, state.services(), options);
  if (!plane.ok()) return plane.status();
  state.plane = *std::move(plane);
  for (const AnyAddress& address : state.plane->addresses()) {
    PrintLine(out, "control " + ToString(address));
  }
  for (const Flags::Listen& listen : flags.listen) {
    if (auto s = daemon->Listen(listen, out); !s.ok()) return s;
  }
  LogStarted(flags, state.plane->addresses());
  WarnOfWhatIsOpen(flags, *policy);
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

absl::Status Daemon::ReloadPolicy() {
  if (policy_file_.empty()) return absl::OkStatus();
  return server::ReloadPolicy(policy_file_, policy_, loop_, state_->registry);
}

void Daemon::OnHangup() {
  Log(LogLevel::kInfo,
      "SIGHUP: the audit log is opened anew, and the policy is read again, if "
      "there are files of them");
  process_.log.Reopen();
  (void)ReloadPolicy();  // It logs what is wrong.
}

void Daemon::OnSignal(int number) {
  if (number == SIGHUP) return OnHangup();
  Log(LogLevel::kInfo, absl::StrCat("SIG", sigabbrev_np(number)));
  loop_.Post([this] {
    if (!state_->first_signal.FillIfEmpty()) {
      state_->second_signal.FillIfEmpty();
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
  return Await(state_->first_signal.deferred());
}

void Daemon::Cut(const std::string& what) {
  if (std::exchange(cut_, true)) return;
  Log(LogLevel::kWarning, "a second signal cuts what has not ended: " + what);
}

void Daemon::CutIfHurried(const Deferred<>& all_ended) {
  if (!state_->second_signal.determined() || all_ended.determined()) return;
  if (state_->registry.connections().entries().empty()) {
    return;  // Only calls are left, which have a while yet.
  }
  Cut(NumOpen());
}

std::string Daemon::NumOpen() const {
  return CountText(state_->registry.connections().entries().size(),
                   "connection");
}

Task<> Daemon::Drain(Duration drain) {
  Registry& registry = state_->registry;
  const Deferred<> hurry = state_->second_signal.deferred();
  registry.BeginShutdown();
  const Deferred<> all_ended = registry.AllHandlersDetermined();
  const std::string most = absl::FormatDuration(absl::FromChrono(drain));
  Log(LogLevel::kInfo, absl::StrCat("draining: nothing is accepted any more; ",
                                    NumOpen(), " may go on for ", most));
  co_await AwaitAtMost(drain, Await(all_ended), hurry);
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
  State& state = *state_;
  const Deferred<> hurry = state.second_signal.deferred();
  state.registry.BeginShutdown();
  state.registry.CloseAllConnections(ExistingConnections::kReset);
  co_await state.registry.TearDown();
  co_await AwaitAtMost(streams_end, state.EndStreams(), hurry);
  if (!hurry.determined()) co_return;
  // Calls whose clients read have ended by then.
  const Ivar<> never(loop_.executor());
  co_await AwaitAtMost(kLinger, state.EndStreams(), never.deferred());
  if (!state.streams_ended) Cut("calls whose clients do not read");
}

bool Daemon::Run(Duration drain) {
  RunAndObey(AwaitFirstSignal());
  loop_.Run([this] { state_->health_service.AnnounceShutdown(); }).get();
  RunAndObey(Drain(drain));
  End(kStreamsEnd);
  Log(LogLevel::kInfo, "stopped");
  return !cut_;
}

void Daemon::End(Duration streams_end) {
  if (std::exchange(ended_, true)) return;
  RunAndObey(TearDown(streams_end));
  if (state_->plane != nullptr) state_->plane->Stop(kLinger);
  loop_.Join();
}

}  // namespace portreeve::server
