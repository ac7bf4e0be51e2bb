// The errors of reaching an upstream that lib/connect has not.
#ifndef PORTREEVE_SERVER_HANDLERS_FORWARD_ERRORS_H_
#define PORTREEVE_SERVER_HANDLERS_FORWARD_ERRORS_H_

#include <string>

#include "absl/status/status.h"
#include "lib/net/where.h"

namespace portreeve::server {

// Gives SELF_CONNECT: a connection to `address` would come to a listener which
// the client has come through.
absl::Status LedBackError(const std::string& address);

// Gives CONNECT_TIMEOUT: the backlog of the unix socket `address` was full
// until the time was over.
absl::Status FullBacklogError(const std::string& address);

// Gives DNS_FAILURE: the time was over before the name had an address.
absl::Status NoAnswerError(const WhereToConnect<Inet>& where);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HANDLERS_FORWARD_ERRORS_H_
