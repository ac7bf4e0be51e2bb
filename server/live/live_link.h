// LiveLink: the two threads between which the answers are made.
#ifndef PORTREEVE_SERVER_LIVE_LIVE_LINK_H_
#define PORTREEVE_SERVER_LIVE_LIVE_LINK_H_

#include <memory>

#include "lib/base/loop.h"
#include "server/http/loop_link.h"

namespace portreeve::server {

// What there is to see is on the daemon's loop, and is made JSON on the thread
// of the HTTP server.
struct LiveLink {
  Loop& loop;  // The daemon's; it outlives all who have this.
  std::shared_ptr<LoopLink> http;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_LIVE_LIVE_LINK_H_
