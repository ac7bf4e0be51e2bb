// raw_echo ADDRESS:PORT: an echo with as few system calls as epoll(7) allows,
// the practical limit for one.  One thread, level-triggered.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bench/net.h"

namespace portreeve::bench {
namespace {

constexpr size_t kBufferSize = 64 << 10;
constexpr int kAccepts = 64;

char buffer[kBufferSize];

class RawEcho {
 public:
  explicit RawEcho(int listener)
      : listener_(listener), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) Die("epoll_create1");
    Control(EPOLL_CTL_ADD, listener_, EPOLLIN);
  }

  [[noreturn]] void Run() {
    epoll_event events[256];
    for (;;) {
      const int count = epoll_wait(epoll_, events, 256, -1);
      if (count < 0 && errno != EINTR) Die("epoll_wait");
      for (int i = 0; i < count; ++i) {
        const int fd = events[i].data.fd;
        if (fd == listener_) {
          Accept();
        } else if (events[i].events & EPOLLOUT) {
          SendRest(fd);
        } else {
          Echo(fd);
        }
      }
    }
  }

 private:
  void Control(int operation, int fd, uint32_t what) {
    epoll_event event{};
    event.events = what;
    event.data.fd = fd;
    if (epoll_ctl(epoll_, operation, fd, &event) != 0) Die("epoll_ctl");
  }

  void Accept() {
    for (int i = 0; i < kAccepts; ++i) {
      const int fd =
          accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0 && errno == ECONNABORTED) continue;
      if (fd < 0 && errno != EAGAIN) Die("accept4");
      if (fd < 0) return;
      if (rest_.size() <= static_cast<size_t>(fd)) {
        rest_.resize(static_cast<size_t>(fd) + 1);
      }
      Control(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
  }

  // Everything that came before the end has been sent.
  void Close(int fd) {
    rest_[static_cast<size_t>(fd)].reset();
    close(fd);
  }

  void Echo(int fd) {
    const ssize_t size = recv(fd, buffer, kBufferSize, 0);
    if (size < 0 && errno == EAGAIN) return;
    if (size <= 0) return Close(fd);
    const ssize_t sent =
        send(fd, buffer, static_cast<size_t>(size), MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return Close(fd);
    if (sent == size) return;
    const auto done = static_cast<size_t>(sent < 0 ? 0 : sent);
    rest_[static_cast<size_t>(fd)] = std::make_unique<std::string>(
        buffer + done, static_cast<size_t>(size) - done);
    Control(EPOLL_CTL_MOD, fd, EPOLLOUT);
  }

  void SendRest(int fd) {
    std::unique_ptr<std::string>& rest = rest_[static_cast<size_t>(fd)];
    const ssize_t sent = send(fd, rest->data(), rest->size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) return;
    if (sent < 0) return Close(fd);
    rest->erase(0, static_cast<size_t>(sent));
    if (!rest->empty()) return;
    rest.reset();
    Control(EPOLL_CTL_MOD, fd, EPOLLIN);
  }

  const int listener_;
  const int epoll_;
  // By descriptor: what could not be sent; while there is any, nothing is read.
  std::vector<std::unique_ptr<std::string>> rest_;
};

}  // namespace
}  // namespace portreeve::bench

int main(int argc, char** argv) {
  using namespace portreeve::bench;
  RaiseDescriptorLimit();
  const int listener = ListenOn(ParseEndpoint(argc > 1 ? argv[1] : ""));
  PrintPort(listener);
  RawEcho(listener).Run();
}
