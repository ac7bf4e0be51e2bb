// The value of --listen: "ADDRESS HANDLER".
#ifndef PORTREEVE_SERVER_DAEMON_LISTEN_FLAG_H_
#define PORTREEVE_SERVER_DAEMON_LISTEN_FLAG_H_

#include <string>

#include "absl/status/statusor.h"
#include "portreeve/v1/listener.pb.h"

namespace portreeve::server {

// Gives "tcp:127.0.0.1:7007 echo", "tcp:*:8080 forward tcp:10.0.0.1:80" or
// "unix:/path discard" as the request that a client would send.  Relative paths
// count from `directory`.  Only the writing is checked; the registry checks the
// rest.
// Errors: INVALID_ARGUMENT, one line.
absl::StatusOr<v1::CreateListenerRequest> ParseListenFlag(
    const std::string& text, const std::string& directory);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_LISTEN_FLAG_H_
