// The gRPC service StatsService.
#ifndef PORTREEVE_SERVER_STATS_STATS_SERVICE_H_
#define PORTREEVE_SERVER_STATS_STATS_SERVICE_H_

#include <cstddef>

#include "lib/base/deferred.h"
#include "lib/base/loop.h"
#include "portreeve/v1/stats.grpc.pb.h"
#include "server/access/gate.h"
#include "server/calls/open_calls.h"
#include "server/calls/unread_answers.h"
#include "server/events/event_log.h"
#include "server/registry/registry.h"
#include "server/stats/stats_board.h"

namespace portreeve::server {

// WatchStats is raw, for listeners are encoded once for all who watch.
//
// Threads: the methods are gRPC's; EndStreams(): loop thread.
// Lifetime: what it is made of outlives it.  Destroy it when the gRPC server is
// shut down and the loop has run dry.
class StatsService : public v1::StatsService::WithRawCallbackMethod_WatchStats<
                         v1::StatsService::Service> {
 public:
  // No message has more than `max_message_bytes`, unless one listener has.
  StatsService(Loop& loop, const EventLog& events, const Registry& registry,
               Gate& gate, size_t max_message_bytes = size_t{1} << 20);

  using Stream = grpc::ServerWriteReactor<grpc::ByteBuffer>;

  Stream* WatchStats(grpc::CallbackServerContext* context,
                     const grpc::ByteBuffer* request) override;

  // Ends every stream with OK; later ones are refused.  Determined when the
  // clients of all have been told; one that does not read is never.
  // Idempotent.
  Deferred<> EndStreams() { return calls_.End(); }

  // For those who watch, but not over gRPC.
  // Threads: loop thread only.
  StatsBoard& board() { return board_; }

 private:
  Loop& loop_;
  Gate& gate_;
  UnreadAnswers& unread_;
  const size_t max_message_bytes_;

  // Loop thread only.
  StatsBoard board_;
  OpenCalls calls_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATS_STATS_SERVICE_H_
