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

// Give the errors of connecting to `address` as a whole, whatever the single
// attempts were.
absl::Status ConnectTimeoutError(const std::string& address);
absl::Status ConnectInterruptedError(const std::string& address);
absl::Status NoAddressError(const std::string& address);

// Opens a non-blocking socket and begins to connect it to `peer`, from `source`
// if there is one.  The attempt has ended when the socket is writable; closing
// it gives the attempt up.  The socket must not be watched before this call:
// epoll reports one that does not connect yet as writable.
//
// Errors, if they are known at once: "socket ADDRESS: TEXT", "bind ADDRESS:
// TEXT" (with the source), "connect ADDRESS: TEXT".
absl::StatusOr<Descriptor> OpenAndConnect(
    const Inet::Address& peer, const std::optional<Inet::Address>& source,
    const SocketOptions& options);

// A connect to a free port of the range from which the kernel chooses source
// ports can meet itself: TCP's simultaneous open, with one socket.  Returns
// whether that has happened to `fd`, which is connected to `peer`.
bool IsConnectedToItself(int fd, const Inet::Address& peer);

// Returns false if that cannot happen to an attempt without a source, since the
// port of `peer` is not in that range, as it is at the time of the call.  It
// reads a file.
bool MayConnectToItself(const Inet::Address& peer);

// Does the same for a unix socket, which takes no time: a missing file is an
// error at once, and so is a full backlog, which is worth another attempt.
// Where `file` is open, with O_PATH, it connects to that, whatever is at the
// path of `peer`; without /proc the error is then SYSTEM_ERROR.  `prepare`, if
// there is one, is called with the socket before that, and gives 0, or an
// errno, which becomes the error, as one of bind(2).
absl::StatusOr<Descriptor> OpenAndConnect(
    const Unix::Address& peer, const Descriptor& file,
    const std::function<int(int fd)>& prepare = nullptr);

// Whether `error`, of an attempt at a unix socket, means that somebody listens
// there and has as many clients waiting as the backlog takes (EAGAIN).  The
// kernel does not report when there is room: DoublingDelay says when to try
// again.
bool IsBacklogFull(const absl::Status& error);

// Does what OpenAndConnect() does, for Asio; with `given`, a non-blocking
// socket, if that is open, in place of a new one.  EndConnect() says how the
// attempt ended.
absl::StatusOr<StreamSocket> BeginConnect(
    asio::io_context& loop, const Inet::Address& peer,
    const std::optional<Inet::Address>& source, const SocketOptions& options,
    Descriptor given = Descriptor());

// Gives how the attempt ended; nothing while it has not.  It must not be called
// again after that.  Where the attempt succeeded and the peer has reset the
// connection since, `failure` is set to that errno, and otherwise left as it
// is: what the peer had sent can still be received, but an end that is received
// then is none.
std::optional<absl::Status> EndConnect(StreamSocket& socket,
                                       const Inet::Address& peer, int* failure);

// Does the same; where `given` is open it is taken if this succeeds, and stays
// for another attempt if not.
absl::StatusOr<StreamSocket> ConnectUnix(asio::io_context& loop,
                                         const Unix::Address& peer,
                                         const Descriptor& file,
                                         Descriptor& given);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_CONNECT_CONNECT_ATTEMPT_H_
