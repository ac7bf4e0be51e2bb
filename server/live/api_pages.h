// The lists of the daemon as JSON.
#ifndef PORTREEVE_SERVER_LIVE_API_PAGES_H_
#define PORTREEVE_SERVER_LIVE_API_PAGES_H_

#include "server/http/http_message.h"
#include "server/live/live_link.h"
#include "server/registry/registry.h"

namespace portreeve::server {

// What the pages answer is what gRPC's methods do: ListListeners, GetListener
// (for paths that begin so), ListConnections.  The registry outlives them.
constexpr char kListenersPath[] = "/api/listeners";
constexpr char kListenerPath[] = "/api/listeners/";
constexpr char kConnectionsPath[] = "/api/connections";

HttpPage ListenersPage(const LiveLink& link, const Registry& registry);
HttpPage ListenerPage(const LiveLink& link, const Registry& registry);
HttpPage ConnectionsPage(const LiveLink& link, const Registry& registry);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_LIVE_API_PAGES_H_
