// A stream of events: what Client::WatchEvents gives.
#ifndef PORTREEVE_CLIENT_WATCH_H_
#define PORTREEVE_CLIENT_WATCH_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "client/call_options.h"
#include "portreeve/v1/event.pb.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace portreeve::client {

// A reader that does not call Next holds the stream up; what it misses for that
// the daemon reports by a `gap` event, and never drops silently.
//
// A watch that broke does not come back by itself, not even where an upgrade of
// the daemon has ended it (MOVED), and the next one may begin at once: HasMoved
// (client/error.h) says so.  IsLost (client/error.h)
// says whether to ask again, Retry (client/retry.h) when, and WatchPosition
// (client/watch_position.h) for what.  One that is silent for long lives behind
// proxies with idle limits if the request has a `progress_interval`; Next then
// gives `progress` events, too.
//
// Threads: one reads; any may cancel.
// Lifetime: it may outlive the Client.
class Watch {
 public:
  Watch(Watch&&) noexcept;
  Watch& operator=(Watch&&) noexcept;
  // Cancels.  Next may not be under way.
  ~Watch();

  // Waits for the next events: one or more, in order.  Gives an empty vector
  // once the daemon has ended the stream with OK, as it does when it shuts
  // down, and ever after.
  //
  // Errors: CANCELLED after Cancel; DEADLINE_EXCEEDED after the timeout;
  // UNAVAILABLE where the connection broke; what a proxy on the way makes of
  // its limits; the same ever after.
  absl::StatusOr<std::vector<v1::Event>> Next();

  // Ends the stream; a Next that waits gives CANCELLED at once.  Idempotent.
  void Cancel();

 private:
  friend class Client;
  class Impl;

  static absl::StatusOr<Watch> Start(
      const std::shared_ptr<grpc::Channel>& channel,
      const v1::WatchEventsRequest& request, const CallOptions& options);

  explicit Watch(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;  // Null only after a move.
};

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_WATCH_H_
