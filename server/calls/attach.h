// ServeAttach, ServeDial: the calls whose stream is a socket, from their first
// frame to their end (proto/portreeve/v1/connection.proto).
#ifndef PORTREEVE_SERVER_CALLS_ATTACH_H_
#define PORTREEVE_SERVER_CALLS_ATTACH_H_

#include <memory>

#include "absl/status/status.h"
#include "lib/base/asio.h"
#include "server/access/audit_log.h"
#include "server/registry/registry.h"
#include "server/remote/client_stream.h"

namespace portreeve::server {

// Reads the first frame, which must be `attach`, and serves the connection.
// `audit` is told once, with the name of the connection, or "", and OK once it
// is the client's.
// Finishes the stream: with INVALID_FIELD, NOT_FOUND, NOT_REMOTE or
// ALREADY_ATTACHED where there was no `opened`.  Only where it throws, which it
// does for want of memory, and when it is cancelled, the caller has to.
// Threads: loop thread only.  Lifetime: `registry` outlives the call.
Task<> ServeAttach(Registry& registry, std::shared_ptr<ClientStream> stream,
                   AuditFunction audit);

// Does the same for `dial`.  The errors before `opened` are INVALID_FIELD,
// OUTSIDE_POLICY, SELF_CONNECT, SHUTTING_DOWN, FD_LIMIT, and those of
// ConnectSock().
Task<> ServeDial(Registry& registry, std::shared_ptr<ClientStream> stream,
                 AuditFunction audit);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_ATTACH_H_
