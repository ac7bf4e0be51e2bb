// A stream of statistics: what Client::WatchStats gives.
#ifndef PORTREEVE_CLIENT_STATS_WATCH_H_
#define PORTREEVE_CLIENT_STATS_WATCH_H_

#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "client/call_options.h"
#include "portreeve/v1/stats.pb.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace portreeve::client {

// A reader that does not call Next misses what was in between, and nothing
// else: each message has the newest values.
//
// A watch that broke does not come back by itself: see client/watch.h.  A new
// one begins with all listeners again.
//
// Threads: one reads; any may cancel.
// Lifetime: it may outlive the Client.
class StatsWatch {
 public:
  StatsWatch(StatsWatch&&) noexcept;
  StatsWatch& operator=(StatsWatch&&) noexcept;
  // Cancels.  Next may not be under way.
  ~StatsWatch();

  // Waits for the next message.  Gives nullopt once the daemon has ended the
  // stream with OK, as it does when it shuts down, and ever after.
  //
  // Errors: those of Watch::Next.
  absl::StatusOr<std::optional<v1::WatchStatsResponse>> Next();

  // Ends the stream; a Next that waits gives CANCELLED at once.  Idempotent.
  void Cancel();

 private:
  friend class Client;
  class Impl;

  static absl::StatusOr<StatsWatch> Start(
      const std::shared_ptr<grpc::Channel>& channel,
      const v1::WatchStatsRequest& request, const CallOptions& options);

  explicit StatsWatch(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;  // Null only after a move.
};

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_STATS_WATCH_H_
