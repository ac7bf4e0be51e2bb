#include "server/daemon/daemon.h"

#include <sys/resource.h>
#include <unistd.h>

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
#include "command_line/version.h"
#include "lib/base/deferred.h"
#include "lib/base/log.h"
#include "lib/lane/loop_group.h"
#include "lib/net/address.h"
#include "lib/net/descriptor_budget.h"
#include "lib/net/own_addresses.h"
#include "server/about/health_service.h"
#include "server/about/reflection_service.h"
#include "server/access/gate.h"
#include "server/access/system_accounts.h"
#include "server/api/listener_draft.h"
#include "server/api/names.h"
#include "server/api/timestamp.h"
#include "server/api/utf8.h"
#include "server/calls/connection_service.h"
#include "server/calls/daemon_service.h"
#include "server/calls/handler_service.h"
#include "server/calls/listener_service.h"
#include "server/control/control_acceptor.h"
#include "server/control/descriptor_shares.h"
#include "server/daemon/control_plane.h"
#include "server/daemon/descriptor_store.h"
#include "server/daemon/start_log.h"
#include "server/daemon/watchdog.h"
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
          v1::DaemonService::service_full_name(),
          v1::EventService::service_full_name(),
          v1::HandlerService::service_full_name(),
          v1::ListenerService::service_full_name()};
}

// The name by which health tells whether the state can be written.
constexpr char kStateService[] = "portreeve.state";

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

absl::StatusOr<Policy> PolicyOf(const Flags& flags) {
  if (flags.policy.empty()) return Policy();
  auto policy = Policy::FromFile(flags.policy);
  if (!policy.ok()) return AboutFlag("--policy", policy.status());
  return policy;
}

Gate::Certificates CertificatesOf(const Flags& flags) {
  return flags.policy.empty() ? Gate::Certificates::kAreAdmins
                              : Gate::Certificates::kHaveTheRolesOfThePolicy;
}

// Gives where clients connect, with the groups looked up of sockets that are
// not `given`.  It may block.
absl::StatusOr<std::vector<ControlPlace>> PlacesOf(
    const Flags& flags, const ControlSockets& given) {
  std::vector<ControlPlace> places;
  for (const ControlAddress& control : flags.control) {
    ControlPlace place{control.address, control.mode, std::nullopt};
    if (!control.group.empty() && given.count(places.size()) == 0) {
      const auto group = FindGroup(control.group);
      if (!group.ok()) {
        return AboutFlag(absl::StrCat("--control \"", ToString(control.address),
                                      "\": group"),
                         group.status());
      }
      place.group = *group;
    }
    places.push_back(std::move(place));
  }
  return places;
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

absl::StatusOr<OwnAddresses> OwnAddressesOf(
    const std::vector<AnyAddress>& addresses) {
  OwnAddresses own;
  for (const AnyAddress& address : addresses) {
    if (auto s = own.Add(address); !s.ok()) return AboutFlag("--control", s);
  }
  return own;
}

}  // namespace

struct Daemon::State {
  State(Loop& loop, int num_loops, const DescriptorShares& shares,
        const LivePolicy& policy, Gate::Certificates certificates,
        AuditLog& audit, bool has_state)
      : loops(loop, num_loops),
        budget(shares.connections),
        registry(loop.executor(), loops.lanes(), events, budget, policy,
                 shares.listeners),
        first_signal(loop.executor()),
        second_signal(loop.executor()),
        gate(policy, certificates, &audit),
        listener_service(loop, registry, gate),
        connection_service(loop, registry, gate),
        daemon_service(loop, gate, [this] { return Describe(); }),
        handler_service(loop, registry, gate),
        event_service(loop, events, registry, gate),
        health_service(loop, NamesOfHealth(has_state)),
        reflection_service(loop, WithHealth(ServiceNames()),
                           // What errors are made of.
                           {"google.rpc.Status", "google.rpc.ErrorInfo"}) {}

  static std::set<std::string> NamesOfHealth(bool has_state) {
    const auto list = WithHealth(ServiceNames());
    std::set<std::string> names(list.begin(), list.end());
    if (has_state) names.insert(kStateService);
    return names;
  }

  v1::Daemon Describe() const {
    v1::Daemon daemon;
    daemon.set_daemon_id(daemon_id);
    daemon.set_instance_id(events.instance_id());
    daemon.set_pid(getpid());
    daemon.set_version(kVersion);
    *daemon.mutable_start_time() = start_time;
    daemon.set_listeners_failed(registry.num_failed());
    if (!registry.has_state()) return daemon;
    const StoreStatus& status = registry.state_status();
    v1::Daemon::Store& store = *daemon.mutable_store();
    store.set_directory(status.directory);
    store.set_healthy(status.healthy);
    store.set_message(ErrorText(status.message));
    store.set_bytes(status.bytes);
    store.set_records(status.listeners + status.requests);
    if (status.last_commit_time != 0) {
      *store.mutable_last_commit_time() = TimestampOf(status.last_commit_time);
    }
    return daemon;
  }

  // Takes up what an earlier life of the daemon has left.
  absl::Status BeginStart(OpenedState opened) {
    daemon_id = opened.contents.daemon_id;
    return registry.BeginStart(std::move(opened), [this](bool healthy) {
      health_service.SetServing(kStateService, healthy);
    });
  }

  void KeepSocketsBy(Loop& loop, Notifier& notifier) {
    store.emplace(loop.context(), notifier);
    registry.KeepSocketsBy(*store);
  }

  // Gives the sockets that no listener was opened with, which are not to be
  // given to the next process either.
  GivenSockets TakeUnused() {
    GivenSockets unused = registry.TakeUnused();
    if (!store) return unused;
    for (const auto& entry : unused.entries()) store->Discard(entry.id);
    return unused;
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
    return {&listener_service,       &connection_service,
            &daemon_service,         &handler_service,
            &event_service,          &health_service,
            reflection_service.v1(), reflection_service.v1alpha()};
  }

  // Loop thread only.
  std::unique_ptr<Watchdog> watchdog;  // Null where nobody asks for it.
  LoopGroup loops;
  EventLog events;
  DescriptorBudget budget;
  std::optional<DescriptorStore> store;  // With --fdstore.
  Registry registry;
  Ivar<> first_signal;
  Ivar<> second_signal;
  bool streams_ended = false;
  std::string daemon_id;  // "" without a state.
  const google::protobuf::Timestamp start_time = TimestampNow();

  Gate gate;
  ListenerService listener_service;
  ConnectionService connection_service;
  DaemonService daemon_service;
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
      drain_(flags.drain),
      policy_(policy),
      audit_([&log = process.log](std::string_view line) { log.Audit(line); }) {
  auto make = [&] {
    state_ = std::make_unique<State>(loop_, flags.loops, shares, policy_,
                                     CertificatesOf(flags), audit_,
                                     !flags.state.empty());
    if (!flags.fdstore) return;
    if (process_.notifier.is_on()) {
      state_->KeepSocketsBy(loop_, process_.notifier);
    } else {
      Log(LogLevel::kWarning,
          "--fdstore: nobody is there to keep sockets, as NOTIFY_SOCKET is not "
          "set");
    }
  };
  loop_.Run(make).get();
}

Daemon::~Daemon() { End(Duration::zero()); }

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(
    const Flags& flags, std::vector<FileListener> files, Given given,
    const Process& process) {
  const auto read = PolicyOf(flags);
  if (!read.ok()) return read.status();
  const DescriptorShares shares = SharesOf(flags);
  std::unique_ptr<Daemon> daemon(new Daemon(flags, shares, *read, process));
  State& state = *daemon->state_;
  std::FILE* const out = process.out;
  std::optional<OpenedState> opened;
  if (!flags.state.empty()) {
    auto state_of_before = OpenState(flags.state, kVersion);
    if (!state_of_before.ok())
      return AboutFlag("state", state_of_before.status());
    opened.emplace(*std::move(state_of_before));
  }
  std::vector<std::string> lines;
  size_t num_listeners = 0;
  ControlPlane::Options options;
  auto places = PlacesOf(flags, given.control);
  if (!places.ok()) return places.status();
  options.places = *std::move(places);
  options.tls = flags.tls;
  options.limits.max_connections = shares.control_connections;
  options.limits.max_handshakes = HandshakesOf(shares.control_connections);
  options.max_memory = flags.max_control_memory;
  options.accounted = [&state] { return state.AccountedMemory(); };
  options.on_bound =
      [&](const std::vector<AnyAddress>& addresses) -> absl::Status {
    LivePolicy& policy = daemon->policy_;
    auto own = OwnAddressesOf(addresses);
    if (!own.ok()) return own.status();
    policy.SetOwnAddresses(*std::move(own));
    const auto give = [&] { state.registry.Give(std::move(given.listeners)); };
    daemon->loop_.Run(give).get();
    auto opened_lines =
        daemon->OpenListeners(flags, std::move(files), std::move(opened));
    if (!opened_lines.ok()) return opened_lines.status();
    const auto take = [&state] { return state.TakeUnused(); };
    LogUnused(daemon->loop_.Run(take).get());
    lines = *std::move(opened_lines);
    const auto count = [&state] { return state.registry.num_wanted(); };
    num_listeners = static_cast<size_t>(daemon->loop_.Run(count).get());
    return absl::OkStatus();
  };
  auto plane = ControlPlane::Start(daemon->loop_, state.services(), options,
                                   std::move(given.control));
  if (!plane.ok()) return plane.status();
  state.plane = *std::move(plane);
  for (const AnyAddress& address : state.plane->addresses()) {
    PrintLine(out, "control " + ToString(address));
  }
  for (const std::string& line : lines) PrintLine(out, line);
  LogStarted(flags, state.plane->addresses(), num_listeners);
  WarnOfWhatIsOpen(flags, state.plane->addresses(), *read);
  PrintLine(out, "ready");
  daemon->TellReady();
  return daemon;
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
  Registry& registry = state_->registry;
  v1::Event event;
  v1::Event::DaemonStarted& started = *event.mutable_daemon_started();
  if (opened) {
    started.set_previous_version(opened->contents.written_by);
    started.set_clean(opened->contents.clean);
    if (auto s = state_->BeginStart(*std::move(opened)); !s.ok()) {
      return AboutFlag("state", s);
    }
  }
  const int wanted = registry.num_wanted();
  std::vector<std::string> lines;
  for (const Flags::Listen& listen : flags.listen) {
    auto line = Listen(listen);
    if (!line.ok()) return line.status();
    lines.push_back(*std::move(line));
  }
  for (FileListener& listener : files) {
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
  *started.mutable_daemon() = state_->Describe();
  state_->events.Append(std::move(event), "");
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
      state_->registry.GivenIdAt(draft->spec->where_to_listen());
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
  state_->registry.Create(std::move(draft),
                          [&listener](absl::StatusOr<EncodedListener> created) {
                            listener = std::move(created);
                          });
  if (!listener.ok()) return listener.status();
  return absl::StrCat("listener ", listener->name, " ",
                      ToText(listener->message().status().listening_on()));
}

absl::Status Daemon::ReloadPolicy() {
  if (policy_file_.empty()) return absl::OkStatus();
  return server::ReloadPolicy(policy_file_, policy_, loop_, state_->registry);
}

std::string Daemon::ListenerStatusText() const {
  const Registry& registry = state_->registry;
  const int failed = registry.num_failed();
  return absl::StrCat(
      CountText(static_cast<size_t>(registry.num_wanted()), "listener"),
      failed == 0 ? "" : absl::StrCat(", ", failed, " failed"));
}

void Daemon::TellReady() {
  if (!process_.notifier.is_on()) return;
  auto tell = [this] {
    process_.notifier.Ready(ListenerStatusText());
    const auto period = process_.notifier.watchdog();
    if (!period) return;
    auto alive = [this] { process_.notifier.Alive(ListenerStatusText()); };
    state_->watchdog = std::make_unique<Watchdog>(loop_, state_->loops, *period,
                                                  std::move(alive));
    state_->watchdog->Start();
  };
  loop_.Run(tell).get();
}

void Daemon::OnHangup() {
  process_.notifier.Reloading();
  Log(LogLevel::kInfo,
      "SIGHUP: the audit log is opened anew, and the policy is read again, if "
      "there are files of them; listeners that have failed are tried again");
  process_.log.Reopen();
  (void)ReloadPolicy();  // It logs what is wrong.
  loop_.Post([this] {
    state_->registry.RetryFailed();
    process_.notifier.Reloaded(ListenerStatusText());
  });
}

void Daemon::OnSignal(int number) {
  if (number == SIGHUP) return OnHangup();
  Log(LogLevel::kInfo, absl::StrCat("SIG", sigabbrev_np(number)));
  const std::string drain = absl::FormatDuration(absl::FromChrono(drain_));
  process_.notifier.Stopping(
      "draining: connections may go on for " + drain,
      // What follows the drain has times of its own, and the rest is quick.
      drain_ + kFlush + kStreamsEnd + kLinger + std::chrono::seconds(5));
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

Task<> Daemon::Drain() {
  Registry& registry = state_->registry;
  const Deferred<> hurry = state_->second_signal.deferred();
  registry.BeginShutdown();
  const Deferred<> all_ended = registry.AllHandlersDetermined();
  const std::string most = absl::FormatDuration(absl::FromChrono(drain_));
  Log(LogLevel::kInfo, absl::StrCat("draining: nothing is accepted any more; ",
                                    NumOpen(), " may go on for ", most));
  co_await AwaitAtMost(drain_, Await(all_ended), hurry);
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
  if (state.watchdog != nullptr) state.watchdog->Stop();
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

bool Daemon::Run() {
  RunAndObey(AwaitFirstSignal());
  loop_.Run([this] { state_->health_service.AnnounceShutdown(); }).get();
  RunAndObey(Drain());
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
