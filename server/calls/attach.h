// ServeAttach, ServeDial: the calls whose stream is a socket, from their first
// frame to their end (API.md "Attach and Dial").
#ifndef PORTREEVE_SERVER_CALLS_ATTACH_H_
#define PORTREEVE_SERVER_CALLS_ATTACH_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "lib/base/asio.h"
#include "server/registry/registry.h"
#include "server/remote/client_stream.h"

namespace portreeve::server {

// Told once what became of the call: the name of the connection, or "", and
// OK once it is the client's.
using AuditFunction =
    std::function<void(const std::string& name, const absl::Status& result)>;

// Reads the first frame, which must be `attach`, and serves the connection.
// Finishes the stream: with INVALID_FIELD, NOT_FOUND, NOT_REMOTE or
// ALREADY_ATTACHED where there was no `opened`.  Only where it throws, which it
// does for want of memory, and when it is cancelled, the caller has to.
// Threads: loop thread only.  Lifetime: `registry` outlives the call.
Task<> ServeAttach(Registry& registry, std::shared_ptr<ClientStream> stream,
                   AuditFunction audit);

// The same for `dial`.  Before `opened`: INVALID_FIELD, OUTSIDE_POLICY,
// SELF_CONNECT, SHUTTING_DOWN, FD_LIMIT, and the errors of ConnectSock().
Task<> ServeDial(Registry& registry, std::shared_ptr<ClientStream> stream,
                 AuditFunction audit);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_ATTACH_H_
