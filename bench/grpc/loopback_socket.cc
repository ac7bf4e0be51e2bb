#include "bench/grpc/loopback_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>

namespace portreeve::bench {
namespace {

int Connect(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  (void)connect(fd, reinterpret_cast<const sockaddr*>(&address),
                sizeof address);
  return fd;
}

}  // namespace

LoopbackSocket::LoopbackSocket(int port) : fd_(Connect(port)) {}

LoopbackSocket::~LoopbackSocket() {
  if (fd_ >= 0) close(fd_);
}

bool LoopbackSocket::EchoByte() {
  const char sent = 'x';
  char received = 0;
  return send(fd_, &sent, 1, MSG_NOSIGNAL) == 1 &&
         recv(fd_, &received, 1, 0) == 1 && received == sent;
}

}  // namespace portreeve::bench
