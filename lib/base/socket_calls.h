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

// Whether a call that gave this errno has nothing to do now, and may later.
inline bool WouldBlock(int error) {
  return error == EAGAIN || error == EWOULDBLOCK;
}

// recv(2): -1 and errno where there is nothing.
ssize_t ReceiveNow(int fd, std::span<char> space);

// sendmsg(2) of pieces that are one, kMostPieces at most: how many bytes the
// kernel took, or -1 and errno.
constexpr size_t kMostPieces = 64;
ssize_t SendNow(int fd, std::span<const std::string_view> pieces);

// Whether the kernel has at most kLittleUnsent bytes that it has not sent, or
// the socket is broken.  Of a unix socket it never has much: always.
constexpr int kLittleUnsent = 256 * 1024;
bool HasLittleUnsent(int fd);

// From now on the socket is writable only while the kernel has less than half
// of that unsent; or again whenever it takes more.  No effect on a unix socket.
void SetWritableWithLittleUnsent(int fd, bool only);

// How many bytes that were given to the kernel the peer has not acknowledged; a
// FIN that was sent counts as one.  0 of a unix socket, whose peer has them.
int64_t UnacknowledgedBytes(int fd);

// How many of them, FIN included, the kernel has not sent even once: what a
// reset throws away before the peer's kernel has it.  Of what was sent nobody
// knows that until the peer acknowledges it, which may take 40 ms.  0 of a unix
// socket.
int64_t UnsentBytes(int fd);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_SOCKET_CALLS_H_
