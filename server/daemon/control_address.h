// Where the control plane is reached: the values of --control.
#ifndef PORTREEVE_SERVER_DAEMON_CONTROL_ADDRESS_H_
#define PORTREEVE_SERVER_DAEMON_CONTROL_ADDRESS_H_

#include <string>

#include "absl/status/statusor.h"
#include "lib/net/address.h"

namespace portreeve::server {

// One of the values.
struct ControlAddress {
  AnyAddress address;
  // Who may connect to the file of a unix socket that the daemon makes: its
  // permissions, and its group, by name or number; "": the one of every new
  // file.
  int mode = 0600;
  std::string group = {};
};

// Parses "tcp:HOST:PORT" or "HOST:PORT", where HOST is an IP literal,
// `localhost` (127.0.0.1), or `*` or nothing (every address), and for port 0
// the OS chooses one; or "unix:PATH", relative to `directory`, with
// "?mode=0660&group=NAME" or a part of that behind it; or "unix:@name". Whether
// there is such a group is not asked.
// Errors: INVALID_ARGUMENT, one line, with the key that is wrong.
absl::StatusOr<ControlAddress> ParseControlAddress(
    const std::string& text, const std::string& directory);

// Whether only this machine reaches `address`, as it does loopback and unix
// sockets.
bool IsLocal(const AnyAddress& address);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_CONTROL_ADDRESS_H_
