// WatchCall: one WatchEvents call.
#ifndef PORTREEVE_SERVER_WATCH_WATCH_CALL_H_
#define PORTREEVE_SERVER_WATCH_WATCH_CALL_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>
#include <grpcpp/support/status.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/loop.h"
#include "lib/base/time_source.h"
#include "server/calls/open_calls.h"
#include "server/calls/progress_timer.h"
#include "server/calls/unread_answers.h"
#include "server/control/control_connection.h"
#include "server/events/event_log.h"
#include "server/watch/filtered_events.h"
#include "server/watch/snapshot.h"
#include "server/watch/snapshot_queue.h"
#include "server/watch/watch_filter.h"
#include "server/watch/watch_schedule.h"

namespace portreeve::server {

// Sends events from its start on.  One message is on its way at a time; what
// happens meanwhile waits in the EventLog, which does not even tell the stream
// of it: a watcher that does not read holds one message, and what is left of
// its snapshot, and slows nobody.  What the log has dropped by the time the
// watcher reads again is told as a gap.  The snapshot counts as an unread
// answer of its connection, as far as it is not sent.
//
// Threads: every field is touched on the loop only; gRPC's reactions post.
// Lifetime: the owner keeps it until `on_done`, which is called on the loop
// once gRPC has let go of it.
class WatchCall : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                  public OpenCall,
                  private WatchSchedule::Watcher,
                  private SnapshotQueue::Watcher {
 public:
  // What all calls share; each of these outlives them.
  struct Shared {
    Loop& loop;
    EventLog& log;
    WatchSchedule& schedule;
    SnapshotQueue& snapshots;
    UnreadAnswers& unread;
    // How many events the gaps count that were sent to watchers.
    int64_t& lost_total;
  };

  // `context` is the call's.
  // Threads: any.
  WatchCall(const Shared& shared, const grpc::CallbackServerContext& context,
            std::function<void(WatchCall*)> on_done);

  // What the client has asked for.
  struct Wish {
    std::shared_ptr<FilteredEvents> events;
    // At most the log's last revision + 1; a snapshot's is its own.
    int64_t first = 0;
    std::unique_ptr<Snapshot> snapshot;  // Null: none.
    // After so long a silence it gets `progress`, and once it has all that
    // there was at the start; but a snapshot says that by itself.
    std::optional<Duration> progress_interval;
  };

  // Takes the snapshot, sends initial metadata, the snapshot, and every one of
  // the events from revision `first` on.  Where there is no room for the
  // snapshot it closes with OVERLOADED instead.
  // Threads: loop thread only.
  void Start(Wish wish);

  // Ends the call with OK, once the events of the log until now are sent; with
  // SHUTTING_DOWN before Start().  Idempotent.
  // Threads: loop thread only.
  void CloseForShutdown() final;

  // Ends the call after the message that is on its way, if there is one.  The
  // first status counts.
  // Threads: loop thread only.
  void Close(const grpc::Status& status);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  // The next message: pieces of it that others may have, too.  None: nothing.
  using Message = std::vector<grpc::Slice>;

  int64_t next() const override { return next_; }
  void Look() override { Pump(); }
  bool TakeStep() override;
  bool IsTakingSnapshot() const {
    return snapshot_ != nullptr && !snapshot_->is_complete();
  }
  // What the part of the snapshot that was not sent takes.
  size_t SnapshotBytes() const {
    return snapshot_ == nullptr ? 0 : snapshot_->bytes();
  }

  void Continue();
  void PumpLater();
  void Pump();
  void Send(const Message& message);
  // The next of the snapshot, or the next events.
  Message TakeMessage();
  Message TakeEvents();
  // Adds `progress` if it is due.
  void AddProgress(Message& message);
  bool AtEnd() const {
    return snapshot_ == nullptr && next_ > shared_.log.last_revision();
  }
  void FinishIfIdle();
  // So many bytes of the snapshot are no more.
  void UncountSnapshot(size_t bytes);

  const Shared shared_;
  const grpc::CallbackServerContext& context_;  // Until OnDone().
  const std::string peer_;
  const std::shared_ptr<ControlConnection> connection_;  // Null: not counted.
  const std::function<void(WatchCall*)> on_done_;

  std::shared_ptr<FilteredEvents> events_;  // From Start() on.
  std::unique_ptr<Snapshot> snapshot_;      // Null: nothing is left of it.
  // What is counted: that, and the message in flight.
  size_t snapshot_bytes_ = 0;
  int64_t next_ = 0;                       // The revision to look at next.
  std::optional<ProgressTimer> progress_;  // If it was asked for.
  bool silent_ = false;                    // For too long.
  // To be told when all up to here is behind it; none once that is done.
  std::optional<int64_t> catch_up_to_;
  bool pump_posted_ = false;
  bool write_in_flight_ = false;
  bool ending_ = false;
  grpc::Status end_;                    // How it ends then.
  std::optional<grpc::Status> status_;  // Once it is to finish.
  bool finished_ = false;
  grpc::ByteBuffer message_;  // The one on its way; gRPC reads it.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_WATCH_WATCH_CALL_H_
