// WatchStream: one WatchEvents call.
#ifndef PORTREEVE_SERVER_WATCH_STREAM_H_
#define PORTREEVE_SERVER_WATCH_STREAM_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>
#include <grpcpp/support/status.h>

#include <bitset>
#include <functional>
#include <optional>
#include <set>
#include <string>

#include "portreeve/v1/event.pb.h"
#include "server/event_log.h"
#include "server/loop.h"

namespace portreeve::server {

// Which events a watcher wants.  A gap always passes.
struct WatchFilter {
  std::set<std::string> listeners;  // Names; empty: all, and dialled ones.
  std::bitset<v1::EventKind_ARRAYSIZE> kinds;  // None: all.

  bool Passes(const EventLog::Entry& entry) const;
};

// Sends events from its start on.  One message is on its way at a time; what
// happens meanwhile waits in the EventLog, so a watcher that does not read
// holds one message and slows nobody.  What the log has dropped by the time
// the watcher reads again is told as a gap.
//
// Threads: every field is touched on the loop only; gRPC's reactions post.
// Lifetime: the owner keeps it until `on_done`, which is called on the loop
// once gRPC has let go of it.
class WatchStream : public grpc::ServerWriteReactor<grpc::ByteBuffer> {
 public:
  // The most of a message, unless one event is larger.
  static constexpr size_t kMaxMessageBytes = 256 * 1024;

  // Any thread.  `loop` and `log` outlive it.
  WatchStream(Loop& loop, EventLog& log, WatchFilter filter,
              std::function<void(WatchStream*)> on_done);

  // Counts from now on: sends initial metadata, and every later event of the
  // log that passes the filter.  Loop thread.
  void Start();

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

  void PumpLater();
  void Pump();
  // The next events, encoded; "" for none.
  std::string TakeMessage();
  bool AtEnd() const { return next_ > log_.last_revision(); }
  void FinishIfIdle();

  Loop& loop_;
  EventLog& log_;
  const WatchFilter filter_;
  const std::function<void(WatchStream*)> on_done_;

  std::optional<EventLog::Subscription> subscription_;
  int64_t next_ = 0;  // The revision to look at next.
  bool pump_posted_ = false;
  bool write_in_flight_ = false;
  bool ending_ = false;
  std::optional<grpc::Status> status_;  // Once it is to finish.
  bool finished_ = false;
  grpc::ByteBuffer message_;  // The one on its way; gRPC reads it.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_WATCH_STREAM_H_
