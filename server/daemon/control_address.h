// Where the control plane is reached: the values of --control.
#ifndef PORTREEVE_SERVER_DAEMON_CONTROL_ADDRESS_H_
#define PORTREEVE_SERVER_DAEMON_CONTROL_ADDRESS_H_

#include <string>

#include "absl/status/statusor.h"
#include "lib/net/address.h"

namespace portreeve::server {

// Parses "tcp:HOST:PORT" or "HOST:PORT", where HOST is an IP literal,
// `localhost` (127.0.0.1), or `*` or nothing (every address), and for port 0
// the OS chooses one; or "unix:PATH", relative to `directory`, or "unix:@name".
// Errors: INVALID_ARGUMENT, one line.
absl::StatusOr<AnyAddress> ParseControlAddress(const std::string& text,
                                               const std::string& directory);

// Whether only this machine reaches `address`, as it does loopback and unix
// sockets.
bool IsLocal(const AnyAddress& address);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_CONTROL_ADDRESS_H_
