// LogEnd: the line of log about a connection's end.
#ifndef PORTREEVE_SERVER_REGISTRY_CONNECTION_LOG_H_
#define PORTREEVE_SERVER_REGISTRY_CONNECTION_LOG_H_

#include "lib/net/any_connection.h"
#include "server/registry/connection_table.h"

namespace portreeve::server {

// Logs at kDebug how a connection that is closed has ended, or that it was
// dropped: the reason, the addresses, the bytes, how long it was open.
void LogEnd(const AnyConnection& connection, const ConnectionFacts& facts);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_CONNECTION_LOG_H_
