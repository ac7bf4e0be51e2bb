#include "lib/net/close_socket.h"

#include <sys/socket.h>

#include <cerrno>

#include "lib/base/socket_calls.h"

namespace portreeve {
namespace {

// 8 MiB in all, more than a receive buffer has by default.
constexpr int kMostDiscards = 512;

}  // namespace

bool ShutDownInOrder(int fd) {
  (void)shutdown(fd, SHUT_RDWR);
  char discarded[16 * 1024];
  for (int i = 0; i < kMostDiscards; ++i) {
    const ssize_t n = recv(fd, discarded, sizeof(discarded), MSG_DONTWAIT);
    if (n == 0) return true;
    if (n < 0) return WouldBlock(errno);
  }
  return true;
}

void MakeCloseReset(int fd) {
  const linger at_once{1, 0};
  (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

void MakeCloseAnEnd(int fd) {
  const linger none{0, 0};
  (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
}

int TakeSocketError(int fd) {
  int error = 0;
  socklen_t size = sizeof(error);
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  return error;
}

}  // namespace portreeve
