#include "bench/grpc/listening_sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace portreeve::bench {
namespace {

// The daemon's default of max_pending_connections.
constexpr int kBacklog = 64;

bool Listen(int fd, int epoll) {
  const int on = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* const bound = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof address;
  epoll_event event{};
  event.events = EPOLLIN;
  return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
         bind(fd, bound, size) == 0 && listen(fd, kBacklog) == 0 &&
         getsockname(fd, bound, &size) == 0 &&
         epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

}  // namespace

ListeningSockets::ListeningSockets() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

ListeningSockets::~ListeningSockets() {
  for (const int fd : open_) close(fd);
  close(epoll_);
}

int ListeningSockets::Open() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (!Listen(fd, epoll_)) {
    close(fd);
    return -1;
  }
  const std::lock_guard lock(mutex_);
  open_.insert(fd);
  return fd;
}

bool ListeningSockets::Close(int fd) {
  {
    const std::lock_guard lock(mutex_);
    if (open_.erase(fd) == 0) return false;
  }
  return close(fd) == 0;
}

}  // namespace portreeve::bench
