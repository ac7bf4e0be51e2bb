// What browsers and curl can read and watch over HTTP: the pages, by their
// paths.
#ifndef PORTREEVE_SERVER_LIVE_LIVE_PAGES_H_
#define PORTREEVE_SERVER_LIVE_LIVE_PAGES_H_

#include "lib/base/executor.h"
#include "lib/base/loop.h"
#include "server/events/event_log.h"
#include "server/http/http_message.h"
#include "server/registry/registry.h"
#include "server/stats/stats_board.h"
#include "server/watch/event_service.h"

namespace portreeve::server {

// What they are made of, on the daemon's loop.  All of it outlives them.
struct LiveSources {
  Loop& loop;
  EventLog& log;
  const Registry& registry;
  EventService& events;
  StatsBoard& stats;
};

// Makes them for a server on `executor`, which is not the loop's: /stats,
// /events and what begins with /api/.
// Lifetime: what they have begun ends with them, and with the streams of the
// server.
HttpPages MakeLivePages(const LiveSources& sources, const Executor& executor);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_LIVE_LIVE_PAGES_H_
