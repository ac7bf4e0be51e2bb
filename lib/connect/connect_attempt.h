// One non-blocking connect(2), of either kind of address.
#ifndef PORTREEVE_LIB_CONNECT_CONNECT_ATTEMPT_H_
#define PORTREEVE_LIB_CONNECT_CONNECT_ATTEMPT_H_

#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/asio.h"
#include "lib/base/descriptor.h"
#include "lib/net/socket.h"
#include "lib/net/where.h"

namespace portreeve {

// Of the attempts to connect to `address` as a whole.
absl::Status ConnectTimeoutError(const std::string& address);
absl::Status ConnectInterruptedError(const std::string& address);

// Opens a non-blocking socket and begins to connect it to `peer`, from `source`
// if there is one.  The attempt has ended when the socket is writable; closing
// it gives the attempt up.  Not to be watched before: epoll reports a socket
// that does not connect yet as writable.
//
// Errors: "socket ADDRESS: ...", "bind ADDRESS: ..." (of the source), "connect
// ADDRESS: ...", if they are known at once.
absl::StatusOr<Descriptor> OpenAndConnect(
    const Inet::Address& peer, const std::optional<Inet::Address>& source,
    const SocketOptions& options);

// A connect to a free port of the range from which the kernel chooses source
// ports can meet itself: TCP's simultaneous open, with one socket.  True if
// that has happened to `fd`, which is connected to `peer`.
bool IsConnectedToItself(int fd, const Inet::Address& peer);

// False if that cannot happen to an attempt without a source: the port of
// `peer` is not in that range, as it is at the time of the call.  Reads a file.
bool MayConnectToItself(const Inet::Address& peer);

// The same for a unix socket, which takes no time: a missing file is an error
// at once, and so is a full backlog, which is worth another attempt.  With an
// open `file` that one is connected to, whatever is at the path of `peer`; it
// is opened with O_PATH.  Errors then also: SYSTEM_ERROR without /proc.
// `prepare`, if there is one, is given the socket before, and gives 0, or
// errno: then that is the error, as one of bind(2).
absl::StatusOr<Descriptor> OpenAndConnect(
    const Unix::Address& peer, const Descriptor& file,
    const std::function<int(int fd)>& prepare = nullptr);

// Whether `error`, of an attempt at a unix socket, means that somebody listens
// there and has as many clients waiting as the backlog takes (EAGAIN).  The
// kernel does not tell when there is room: DoublingDelay says when to try
// again.
bool IsBacklogFull(const absl::Status& error);

// OpenAndConnect() for Asio: EndConnect() says how the attempt ended.
absl::StatusOr<StreamSocket> BeginConnect(
    asio::io_context& loop, const Inet::Address& peer,
    const std::optional<Inet::Address>& source, const SocketOptions& options);

// How the attempt ended; nothing while it has not.  Once.  `failure` becomes
// not 0, but errno, where it succeeded and the peer has reset the connection
// since: what it had sent can still be received, and its end is none.
std::optional<absl::Status> EndConnect(StreamSocket& socket,
                                       const Inet::Address& peer, int* failure);

absl::StatusOr<StreamSocket> ConnectUnix(asio::io_context& loop,
                                         const Unix::Address& peer,
                                         const Descriptor& file);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_CONNECT_CONNECT_ATTEMPT_H_
