// Daemon: portreeved, from its start to its end.
#ifndef PORTREEVE_SERVER_DAEMON_DAEMON_H_
#define PORTREEVE_SERVER_DAEMON_DAEMON_H_

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/asio.h"
#include "lib/base/deferred.h"
#include "lib/base/loop.h"
#include "lib/base/time_source.h"
#include "portreeve/v1/daemon.pb.h"
#include "portreeve/v1/listener.pb.h"
#include "server/access/audit_log.h"
#include "server/access/live_policy.h"
#include "server/access/policy.h"
#include "server/control/descriptor_shares.h"
#include "server/daemon/control_plane.h"
#include "server/daemon/flags.h"
#include "server/daemon/handover_port.h"
#include "server/daemon/inherited.h"
#include "server/daemon/listener_directory.h"
#include "server/daemon/log_writer.h"
#include "server/daemon/notify.h"
#include "server/daemon/signals.h"
#include "server/daemon/start_log.h"
#include "server/daemon/successor.h"
#include "server/daemon/tls_source.h"
#include "server/http/http_server.h"
#include "server/registry/given_sockets.h"
#include "server/state/state_store.h"

namespace portreeve::server {

struct DaemonParts;

// Threads: only the main thread, which is never the loop's.
class Daemon {
 public:
  // What the daemon uses of the process.  Each must outlive the daemon.
  struct Process {
    Signals& signals;
    LogWriter& log;
    Notifier& notifier;
    std::FILE* out;
    Program program;  // That it was started as.
  };

  // What it was started with: listening sockets that others have copies of.
  struct Given {
    ControlSockets control;
    GivenSockets listeners;
  };

  // Serves the control addresses and opens the listeners of `flags`, and those
  // of `files`, on those sockets of `given` that are theirs; the rest are
  // closed.  On an error nothing is left behind.  It writes to `out`, and
  // flushes, a line for each thing that serves, and "ready" as the last.
  // Errors: one line that says what and why.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(
      const Flags& flags, std::vector<FileListener> files, Given given,
      const Process& process);

  // Does the same with what the process at the other end of `channel` hands
  // over, or without one that of --takeover, in place of what would be opened;
  // listeners of `flags` and `files` that are new are opened after that.
  // Errors: those; then the other process goes on.
  static absl::StatusOr<std::unique_ptr<Daemon>> TakeOver(
      const Flags& flags, std::vector<FileListener> files,
      std::optional<Descriptor> channel, const Process& process);

  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon();  // Ends at once what still runs.

  // Waits for the first SIGTERM or SIGINT; then health is NOT_SERVING,
  // listeners stop accepting, and handlers may end within Flags::drain, while
  // the control plane goes on; connections that are at rest are closed before,
  // where Flags::closes_rested says so; then connections are closed, streams
  // end, and Run() returns.  With a second signal all of that happens at once:
  // Run() gives false, and logs it, if that cut connections or calls that would
  // have had time.  Until the end each SIGHUP calls OnHangup().
  //
  // With SIGUSR2, and UpgradeDaemon, another process takes over; where that
  // succeeds, connections may end within Flags::takeover_drain, or until the
  // first SIGTERM or SIGINT, and are reset then, and Run() returns.
  bool Run();

  // Reads the policy's file again, as server/registry/policy_reload.h says;
  // without --policy it does nothing.  It blocks.
  // Threads: any but the loop's, while Run() runs or before.
  absl::Status ReloadPolicy();

 private:
  // In the drain, for how long nothing has come over a connection that is at
  // rest when it is closed, unless --drain is given.
  static constexpr std::chrono::seconds kRest{1};
  // After the drain, how long what was written to connections may take to be
  // flushed.
  static constexpr std::chrono::seconds kFlush{5};
  // How long clients may take to read the last of their streams.
  static constexpr std::chrono::seconds kStreamsEnd{2};
  // How long gRPC waits for its clients to leave, which they need not do:
  // everything that they asked for is answered by then.
  static constexpr std::chrono::milliseconds kLinger{100};

  Daemon(const Flags& flags, const DescriptorShares& shares,
         const Policy& policy, const Process& process);

  // Serves the addresses of --http, if there are any.
  absl::Status StartHttp(const DescriptorShares& shares,
                         std::shared_ptr<TlsSource> tls,
                         std::vector<HttpPlace> places,
                         std::map<size_t, HandedSocket> handed = {});
  static absl::StatusOr<ControlPlane::Options> PlaneOptions(
      const Flags& flags, const DescriptorShares& shares,
      const ControlSockets& given, DaemonParts& parts);
  // Opens the listeners of the state, of the flags and of the files.  Gives the
  // lines to print about them.
  absl::StatusOr<std::vector<std::string>> OpenListeners(
      const Flags& flags, std::vector<FileListener> files,
      std::optional<OpenedState> opened);
  absl::StatusOr<std::vector<std::string>> OpenListenersOnLoop(
      const Flags& flags, std::vector<FileListener>& files,
      std::optional<OpenedState>& opened);
  absl::StatusOr<std::string> Listen(const Flags::Listen& listen);
  absl::StatusOr<std::string> Listen(FileListener& listener);
  absl::StatusOr<std::string> Listen(ListenerDraft draft);
  // Tells the service manager that the daemon serves, and from then on that it
  // is alive.
  void TellReady();
  // Opens those listeners of `flags` and `files` that the daemon has not opened
  // before, in whichever process.
  void OpenLacking(const Flags& flags, std::vector<FileListener> files);
  absl::Status OpenTaken(const DescriptorShares& shares,
                         const ControlPlane::Options& options,
                         std::vector<HttpPlace> http_places,
                         std::map<size_t, HandedSocket> control,
                         std::map<size_t, HandedSocket> http);
  // Listens where --handover says so; where only the state does, what goes
  // wrong is logged.
  absl::Status ListenForTakers(HandoverPort::Former former);
  // The same on the loop, or while that stands still.
  absl::Status ListenForTakersOnLoop(HandoverPort::Former former);
  // Hands over to who has come there, or starts another process, hands over to
  // that, and answers the calls that wait for it.
  // `by_signal`: whatever calls wait.
  void OnUpgrade(bool by_signal);
  static void LogFailedUpgrade(const absl::Status& status);
  void HandOverToTaker(Descriptor process);
  // Gives what the daemon is like now, if an upgrade may begin.
  absl::StatusOr<v1::Daemon> ValidateUpgrade();
  absl::StatusOr<v1::Daemon> Upgrade(std::optional<Duration> drain);
  absl::StatusOr<v1::Daemon> HandOverTo(Successor next, Duration drain);
  // Whether another process may take over now.
  absl::Status CheckUpgrade();
  // Waits for the connections that have stayed.
  bool RunHandedOver();
  Task<> DrainHandedOver();
  Task<> AwaitEndOfStreams();

  // Does what SIGHUP asks for, and may wait for files.
  void OnHangup();
  void OnSignal(int number);
  // Runs `task` on the loop to its end, while signals are obeyed.
  void RunAndObey(Task<> task);
  Task<> ThenWake(Task<> task);

  Task<> AwaitFirstSignal();
  // Logs, once, that a second signal cuts `what`.
  void Cut(const std::string& what);
  void CutIfHurried(const Deferred<>& all_ended);
  // Gives how many listeners there are, in words.
  std::string ListenerStatusText() const;
  // Gives how many connections are open, in words.
  std::string NumOpen() const;
  Task<> Drain();
  // Closes connections that are at rest, again and again; it never ends.
  Task<> CloseRested();
  Task<> TearDown(Duration streams_end);
  void End(Duration streams_end);

  const Process process_;
  const std::string policy_file_;  // Empty: none.
  const bool has_tls_;
  OwnPlaces own_;  // As bound; empty before that.
  Flags flags_;
  const Duration drain_;
  Duration takeover_drain_;
  const bool closes_rested_;
  LivePolicy policy_;
  AuditLog audit_;
  Loop loop_;  // Declared before what runs on it, which it must outlive.
  std::unique_ptr<DaemonParts> parts_;
  bool ended_ = false;
  bool stopping_ = false;  // These two: main thread only.
  bool handed_over_ = false;
  bool cut_ = false;  // Loop thread only, until the loop has ended.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_DAEMON_H_
