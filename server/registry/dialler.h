// Dialler: the connections that clients dial
// (proto/portreeve/v1/connection.proto).
#ifndef PORTREEVE_SERVER_REGISTRY_DIALLER_H_
#define PORTREEVE_SERVER_REGISTRY_DIALLER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/asio.h"
#include "lib/base/deferred.h"
#include "lib/base/descriptor.h"
#include "lib/connect/connect.h"
#include "lib/serve/any_server.h"
#include "lib/serve/stream_connection.h"
#include "portreeve/internal/v1/totals.pb.h"
#include "portreeve/v1/connection.pb.h"
#include "server/access/audit_log.h"
#include "server/api/convert.h"
#include "server/events/close_counts.h"
#include "server/registry/connection_table.h"
#include "server/registry/shared.h"
#include "server/remote/client_stream.h"
#include "server/remote/stream_mover.h"
#include "server/remote/stream_session.h"

namespace portreeve::server {

// Threads: loop thread only.
// Lifetime: it must outlive the calls of Serve(), and the connections.
class Dialler {
 public:
  // `on_idle` is called whenever the last dialled connection has ended.
  // `mover` must outlive it.
  Dialler(Executor executor, const Shared& shared, StreamMover& mover,
          std::function<void()> on_idle);
  Dialler(const Dialler&) = delete;
  Dialler& operator=(const Dialler&) = delete;

  // Has connections leave lines in `log`, which must outlive them.
  void LogAccessesTo(AccessLog& log) { shared_.access_log = &log; }

  // Connects as `request` says, calls `audit` with the result, and serves the
  // connection through `stream`, which it finishes unless it throws for want of
  // memory.
  // Cancellation: terminal; it resets the connection.
  Task<> Serve(std::shared_ptr<ClientStream> stream,
               v1::ClientFrame::Dial request, AuditFunction audit);

  // Another process of the daemon goes on: gives up what is not connected yet,
  // refuses what comes, with MOVED, and tells `successor` alone of its
  // connections; null: nobody.
  void HandOver(ConnectionReports* successor);
  // A connection of the daemon's former process, which is in the table, counts
  // for idle(), until it is closed.
  void AddHeld() { ++num_held_; }
  void OnHeldClosed(int64_t id);
  // One of these, whose claim is the new one, goes on here once its client has
  // come back, for which that has kReturnTimeout.
  // Errors: whatever the kernel says; then the peer is reset.
  absl::StatusOr<std::shared_ptr<StreamConnection>> TakeMovedOn(
      const std::shared_ptr<LiveConnection>& held, FrozenStream frozen,
      Descriptor fd);
  // Gives what a session serves a connection with that has come so.
  StreamSessionOptions SessionOptionsOf(int64_t id) const;

  // Refuses what comes from now on.
  void BeginShutdown() { shutting_down_ = true; }
  // Gives up what is not connected yet, and closes the others, with reason
  // SHUTDOWN; with kClose those are closed in order whose client has ended them
  // (see CutStream()).  It must be called after BeginShutdown().
  void CloseAll(ExistingConnections how);
  // Whether neither a connection nor an attempt is left.
  bool idle() const { return dials_.empty() && num_held_ == 0; }

  // Count the dials that got a connection, and how those connections ended;
  // what is not closed is open.
  int64_t connected_total() const { return connected_total_; }
  const CloseCounts& closes() const { return closes_; }
  // Gives both, for the daemon's next process.
  internal::v1::DialTotals SaveTotals() const;
  // Goes on from what was counted there, before anything is dialled.
  void RestoreTotals(const internal::v1::DialTotals& totals);

 private:
  struct Dial;
  using SharedDial = std::shared_ptr<Dial>;

  absl::StatusOr<SharedDial> Check(const v1::ClientFrame::Dial& request) const;
  Task<absl::Status> Connect(SharedDial dial, Deferred<> broken);
  void Begin(const SharedDial& dial, std::shared_ptr<SocketCore> socket);
  void GiveUp(const SharedDial& dial);
  static StreamSessionOptions SessionOptionsOf(const Dial& dial);
  void OnClosed(const SharedDial& dial);
  // Counts a connection that has left the table, and tells of it.
  void TellOfEnd(const LiveConnection& live);
  Monitor SilentMonitor() const;
  // Why nothing is dialled any more.
  absl::Status Refusal() const;
  void Forget(const SharedDial& dial);

  const Executor executor_;
  Shared shared_;
  StreamMover& mover_;
  const std::function<void()> on_idle_;
  bool shutting_down_ = false;
  bool moved_ = false;
  int num_held_ = 0;
  int64_t connected_total_ = 0;
  CloseCounts closes_;
  std::map<int64_t, SharedDial> dials_;  // By the id of the connection.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_DIALLER_H_
