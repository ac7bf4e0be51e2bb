#include "lib/base/socket_calls.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>

#include "lib/base/check.h"

namespace portreeve {

ssize_t ReceiveNow(int fd, std::span<char> space) {
  ssize_t n;
  do {
    n = recv(fd, space.data(), space.size(), MSG_DONTWAIT);
  } while (n < 0 && errno == EINTR);
  return n;
}

ssize_t SendNow(int fd, std::span<const std::string_view> pieces) {
  PORTREEVE_CHECK(pieces.size() <= kMostPieces);
  std::array<iovec, kMostPieces> vectors;
  for (size_t i = 0; i < pieces.size(); ++i) {
    vectors[i] = {const_cast<char*>(pieces[i].data()), pieces[i].size()};
  }
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = pieces.size();
  ssize_t n;
  do {
    n = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (n < 0 && errno == EINTR);
  return n;
}

int64_t UnacknowledgedBytes(int fd) {
  sockaddr_storage local;
  socklen_t size = sizeof(local);
  // A unix socket would give memory, and not bytes of data.
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size) != 0 ||
      local.ss_family == AF_UNIX) {
    return 0;
  }
  int bytes = 0;
  return ioctl(fd, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

int64_t UnsentBytes(int fd) {
  int bytes = 0;
  return ioctl(fd, SIOCOUTQNSD, &bytes) == 0 ? bytes : 0;
}

bool HasLittleUnsent(int fd) {
  int unsent = 0;
  return ioctl(fd, SIOCOUTQNSD, &unsent) != 0 || unsent <= kLittleUnsent;
}

void SetWritableWithLittleUnsent(int fd, bool only) {
  const int bytes = only ? kLittleUnsent : 0;  // 0: no bound.
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
}

}  // namespace portreeve
