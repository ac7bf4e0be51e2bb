// EventFeed: a stream of events over HTTP.
#ifndef PORTREEVE_SERVER_LIVE_EVENT_FEED_H_
#define PORTREEVE_SERVER_LIVE_EVENT_FEED_H_

#include <grpcpp/support/slice.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "lib/base/time_source.h"
#include "server/events/event_log.h"
#include "server/http/http_message.h"
#include "server/live/event_text.h"
#include "server/live/live_link.h"
#include "server/live/live_query.h"
#include "server/registry/registry.h"
#include "server/watch/event_service.h"
#include "server/watch/filtered_events.h"
#include "server/watch/snapshot.h"
#include "server/watch/snapshot_queue.h"
#include "server/watch/watch_schedule.h"

namespace portreeve::server {

// Sends what EventService.WatchEvents does: where the client has the id of an
// event, what comes after it; else the snapshot that it wants, and what comes
// after that.
//
// What the client has to catch up with waits where it is, in the log or in the
// snapshot, until it has read what comes before.  Once it has caught up it gets
// events as they happen: if it does not read these, the sink cuts it off, and
// it catches up when it comes back.
//
// Where there is no memory the loop tries again, and the server's thread, which
// has nobody to do that, ends the stream.
//
// Threads: those of HttpFeed; what it does on the loop it posts.
class EventFeed final : public HttpFeed,
                        public std::enable_shared_from_this<EventFeed>,
                        private WatchSchedule::Watcher,
                        private SnapshotQueue::Watcher {
 public:
  // What all streams share; `log`, `registry` and `service` outlive them.
  struct Shared {
    LiveLink link;
    EventLog& log;
    const Registry& registry;
    EventService& service;
    std::shared_ptr<EventTexts> texts;  // The server's thread's.
  };

  EventFeed(Shared shared, EventQuery query);

  void Start(HttpSink& sink) override;
  void OnDrained() override;
  void Stop() override;

 private:
  // While the client catches up, it has so many bytes at a time, before they
  // are JSON.
  static constexpr size_t kMaxPartBytes = 32 * 1024;
  // So many messages are under way to the other thread, which may be slow,
  // before it is asked when it is done.
  static constexpr int kMaxOnWay = 4;

  // From the loop to the server's thread.
  struct Handed {
    grpc::Slice bytes;
    EventsAre what = EventsAre::kNews;
    // The loop waits until the client has it, which may take it in parts.
    bool awaited = false;
  };

  // On the loop.
  int64_t next() const override { return next_; }
  void Look() override { Pump(); }
  bool TakeStep() override;
  void Join();
  void Begin();
  void Pump();
  void PumpOnce();
  void PumpLater();
  void PumpEvents();
  void Hand(Handed handed);
  void AwaitClient();
  void Leave();

  // On the server's thread.
  void OnRestart(const std::string& reason);
  void OnHanded(const Handed& handed);
  void PutPart();
  void End();

  const Shared shared_;
  const EventQuery query_;
  std::atomic<bool> gone_ = false;  // The client.
  std::atomic<int> on_way_ = 0;     // Messages to the server's thread.

  // The loop's.
  std::shared_ptr<EventFeed> self_;         // While it watches.
  std::shared_ptr<FilteredEvents> events_;  // Null before it begins.
  std::unique_ptr<Snapshot> snapshot_;      // Null: nothing is left of it.
  // Of the snapshot, and not handed over yet; empty: none.
  grpc::Slice message_;
  std::string restart_;  // To be said first, if anything.
  int64_t next_ = 0;     // The revision to look at next.
  // Armed where there was no memory, or while the client is waited for.
  std::optional<Timer> timer_;

  // The server's thread's.
  HttpSink* sink_ = nullptr;  // While there is a client, until it is ended.
  Handed parts_;              // What is left of what the loop waits for.
  bool loop_waits_ = false;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_LIVE_EVENT_FEED_H_
