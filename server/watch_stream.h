// WatchStream: one WatchEvents call.
#ifndef PORTREEVE_SERVER_WATCH_STREAM_H_
#define PORTREEVE_SERVER_WATCH_STREAM_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "lib/time_source.h"
#include "server/event_log.h"
#include "server/loop.h"
#include "server/snapshot.h"
#include "server/watch_filter.h"

namespace portreeve::server {

// Sends events from its start on.  One message is on its way at a time; what
// happens meanwhile waits in the EventLog, which does not even tell the stream
// of it: a watcher that does not read holds one message, and what is left of
// its snapshot, and slows nobody.  What the log has dropped by the time the
// watcher reads again is told as a gap.
//
// Threads: every field is touched on the loop only; gRPC's reactions post.
// Lifetime: the owner keeps it until `on_done`, which is called on the loop
// once gRPC has let go of it.
class WatchStream : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  // The least time between two looks at the log, unless there is much to send.
  // With many watchers it is the messages that cost, not the events.
  static constexpr std::chrono::milliseconds kPause{5};

  // Any thread.  `loop` and `log` outlive it.
  WatchStream(Loop& loop, EventLog& log, WatchFilter filter,
              std::function<void(WatchStream*)> on_done);

  const WatchFilter& filter() const { return filter_; }

  // Counts from now on: sends initial metadata, `snapshot`, and every event of
  // the log from revision `first` on that passes the filter.  `first` is at
  // most the log's last + 1.  Loop thread.
  void Start(int64_t first, EventMessages snapshot);

  // Ends the call with OK, once the events of the log until now are sent.
  // After Start(); idempotent.  Loop thread.
  void End();

  // Ends the call after the message that is on its way, if there is one.  The
  // first status counts.  Loop thread.
  void Close(const grpc::Status& status);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  // How many events are looked at in one step of the loop.
  static constexpr int kMaxScan = 4096;
  // So many are worth a message at once.
  static constexpr int64_t kManyEvents = 256;

  void Subscribe();
  void PumpLater();
  bool MayPause() const;
  void Pump();
  void Send(const std::string& message);
  // The next of the snapshot, or the next events, encoded; "" for none.
  std::string TakeMessage();
  std::string TakeEvents();
  bool AtEnd() const {
    return snapshot_.empty() && next_ > log_.last_revision();
  }
  void FinishIfIdle();

  Loop& loop_;
  EventLog& log_;
  const WatchFilter filter_;
  const std::function<void(WatchStream*)> on_done_;

  EventMessages snapshot_;  // What is left of it.
  int64_t next_ = 0;        // The revision to look at next.
  // While no message is on its way.
  std::optional<EventLog::Subscription> subscription_;
  std::optional<Timer> pause_;  // From Start() on.
  TimePoint next_look_ = TimePoint::min();
  bool pump_posted_ = false;
  bool write_in_flight_ = false;
  bool ending_ = false;
  std::optional<grpc::Status> status_;  // Once it is to finish.
  bool finished_ = false;
  grpc::ByteBuffer message_;  // The one on its way; gRPC reads it.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_WATCH_STREAM_H_
