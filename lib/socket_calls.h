// System calls on a connected stream socket, without signals and waiting.
#ifndef PORTREEVE_LIB_SOCKET_CALLS_H_
#define PORTREEVE_LIB_SOCKET_CALLS_H_

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <string_view>

namespace portreeve {

// recv(2): -1 and errno where there is nothing.
ssize_t ReceiveNow(int fd, std::span<char> space);

// sendmsg(2) of pieces that are one, kMostPieces at most: how many bytes the
// kernel took, or -1 and errno.
constexpr size_t kMostPieces = 64;
ssize_t SendNow(int fd, std::span<const std::string_view> pieces);

// Whether the kernel has at most kLittleUnsent bytes that it has not sent, or
// the socket is broken.  Of a unix socket: whether it takes more.
constexpr int kLittleUnsent = 64 * 1024;
bool HasLittleUnsent(int fd);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_SOCKET_CALLS_H_
