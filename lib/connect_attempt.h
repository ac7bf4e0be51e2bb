// One non-blocking connect(2), of either kind of address.
#ifndef PORTREEVE_LIB_CONNECT_ATTEMPT_H_
#define PORTREEVE_LIB_CONNECT_ATTEMPT_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/asio.h"
#include "lib/socket.h"
#include "lib/where.h"

namespace portreeve {

// Opens a socket and begins to connect it to `peer`, from `source` if there is
// one.  The attempt has ended when the socket is writable: EndConnect() says
// how.  Destroying the socket gives it up.
//
// Errors: "socket ADDRESS: ...", "bind ADDRESS: ..." (of the source), "connect
// ADDRESS: ...", if they are known at once.
absl::StatusOr<StreamSocket> BeginConnect(
    asio::io_context& loop, const Inet::Address& peer,
    const std::optional<Inet::Address>& source, const SocketOptions& options);

// How the attempt ended; nothing while it has not.  Once.
std::optional<absl::Status> EndConnect(StreamSocket& socket,
                                       const Inet::Address& peer);

// Connects to a unix socket, which takes no time: a full backlog is an error at
// once (EAGAIN), as is a missing file.  Errors: as BeginConnect.
absl::StatusOr<StreamSocket> ConnectUnix(asio::io_context& loop,
                                         const Unix::Address& peer);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_CONNECT_ATTEMPT_H_
