// The gRPC service EventService.
#ifndef PORTREEVE_SERVER_WATCH_EVENT_SERVICE_H_
#define PORTREEVE_SERVER_WATCH_EVENT_SERVICE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "lib/base/deferred.h"
#include "lib/base/loop.h"
#include "lib/base/time_source.h"
#include "portreeve/v1/event.grpc.pb.h"
#include "server/access/gate.h"
#include "server/calls/open_calls.h"
#include "server/calls/unread_answers.h"
#include "server/events/event_log.h"
#include "server/registry/registry.h"
#include "server/watch/filtered_events.h"
#include "server/watch/snapshot_queue.h"
#include "server/watch/watch_call.h"
#include "server/watch/watch_filter.h"
#include "server/watch/watch_schedule.h"

namespace portreeve::server {

// WatchEvents is raw: the answers are put together from events that were
// encoded once for all watchers with the same filter.
//
// Threads: the methods are gRPC's; EndStreams(): loop thread.
// Lifetime: what it is made of outlives it.  Destroy it when the gRPC server is
// shut down and the loop has run dry.
class EventService : public v1::EventService::WithRawCallbackMethod_WatchEvents<
                         v1::EventService::Service> {
 public:
  EventService(Loop& loop, EventLog& log, const Registry& registry, Gate& gate)
      : loop_(loop),
        log_(log),
        registry_(registry),
        gate_(gate),
        unread_(UnreadAnswers::Of(loop.context())),
        schedule_(loop, log),
        snapshots_(loop),
        filters_(log),
        calls_(loop.executor()) {}

  using Stream = grpc::ServerWriteReactor<grpc::ByteBuffer>;

  Stream* WatchEvents(grpc::CallbackServerContext* context,
                      const grpc::ByteBuffer* request) override;

  // Ends every watch with OK, after the events until now; later ones are
  // refused.  Determined when the clients of all have been told; one that does
  // not read is never.  Idempotent.
  Deferred<> EndStreams() { return calls_.End(); }

  // How many watches are open, and how many events their gaps, and those of
  // watches that have ended, say are missing.
  // Threads: loop thread only.
  size_t num_watchers() const { return calls_.size() + num_others_; }
  int64_t lost_total() const { return lost_total_; }

  // For watches that do not come over gRPC: they look together with those that
  // do, wait for their snapshots with them, share the bytes, and are counted
  // with them.
  // Threads: loop thread only.
  WatchSchedule& schedule() { return schedule_; }
  SnapshotQueue& snapshots() { return snapshots_; }
  EventFilters& filters() { return filters_; }
  void AddOther() { ++num_others_; }
  void RemoveOther() { --num_others_; }
  void AddLost(int64_t count) { lost_total_ += count; }

 private:
  void Start(const std::shared_ptr<WatchCall>& stream,
             const WatchFilter& filter, const v1::WatchEventsRequest& request,
             std::optional<Duration> progress_interval);
  // The first revision that the watcher gets, after a snapshot.
  // Errors: REVISION_UNKNOWN.
  absl::StatusOr<int64_t> FirstRevision(
      const v1::WatchEventsRequest& request) const;

  Loop& loop_;
  EventLog& log_;
  const Registry& registry_;
  Gate& gate_;
  UnreadAnswers& unread_;

  // Loop thread only.
  WatchSchedule schedule_;
  SnapshotQueue snapshots_;
  EventFilters filters_;
  int64_t lost_total_ = 0;
  size_t num_others_ = 0;
  OpenCalls calls_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_WATCH_EVENT_SERVICE_H_
