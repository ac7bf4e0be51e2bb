// System calls on a connected stream socket, without signals and waiting.
#ifndef PORTREEVE_LIB_BASE_SOCKET_CALLS_H_
#define PORTREEVE_LIB_BASE_SOCKET_CALLS_H_

#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace portreeve {

// Whether `error`, an errno, means that a call has nothing to do now, and may
// have later.
inline bool WouldBlock(int error) {
  return error == EAGAIN || error == EWOULDBLOCK;
}

// Calls recv(2), and gives what it gives: -1, with errno, also where there is
// nothing yet.
ssize_t ReceiveNow(int fd, std::span<char> space);

// Sends `pieces`, kMostPieces at most, as one by sendmsg(2).  Gives how many
// bytes the kernel took, or -1, and sets errno.
constexpr size_t kMostPieces = 64;
ssize_t SendNow(int fd, std::span<const std::string_view> pieces);

// Whether the kernel has at most kLittleUnsent bytes that it has not sent, or
// the socket is broken.  For a unix socket that is always so.
constexpr int kLittleUnsent = 256 * 1024;
bool HasLittleUnsent(int fd);

// With `only`, the socket is writable from now on only while the kernel has
// less than half of kLittleUnsent unsent; without, whenever the kernel takes
// more.  It has no effect on a unix socket.
void SetWritableWithLittleUnsent(int fd, bool only);

// Gives how many bytes that the kernel was given the peer has not acknowledged;
// a FIN that was sent counts as one.  It is 0 for a unix socket, whose peer has
// them.
int64_t UnacknowledgedBytes(int fd);

// Gives how many of these, FIN included, the kernel has not sent even once: a
// reset throws them away for certain.  Whether the peer's kernel has those that
// were sent, nobody knows until it acknowledges them, which may take 40 ms.  It
// is 0 for a unix socket.
int64_t UnsentBytes(int fd);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_SOCKET_CALLS_H_
