#include "bench/net.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace portreeve::bench {
namespace {

constexpr int kBacklog = 4096;

void SetOption(int fd, int level, int option, int value) {
  if (setsockopt(fd, level, option, &value, sizeof value) != 0) {
    Die("setsockopt");
  }
}

}  // namespace

void Die(const std::string& what) {
  std::perror(what.c_str());
  std::exit(1);
}

void RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) Die("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) Die("setrlimit");
}

sockaddr_in ParseEndpoint(const std::string& text) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  const size_t colon = text.rfind(':');
  char* end = nullptr;
  errno = EINVAL;
  if (colon == text.npos || inet_pton(AF_INET, text.substr(0, colon).c_str(),
                                      &address.sin_addr) != 1) {
    Die("not ADDRESS:PORT: " + text);
  }
  const unsigned long port = std::strtoul(text.c_str() + colon + 1, &end, 10);
  if (end == text.c_str() + colon + 1 || *end != '\0' || port > 65535) {
    Die("not ADDRESS:PORT: " + text);
  }
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

int ListenOn(const sockaddr_in& address) {
  const int fd = NewSocket();
  if (fd < 0) Die("socket");
  SetOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
          0 ||
      listen(fd, kBacklog) != 0) {
    Die("listen");
  }
  return fd;
}

void PrintPort(int listening_socket) {
  sockaddr_in address;
  socklen_t size = sizeof address;
  if (getsockname(listening_socket, reinterpret_cast<sockaddr*>(&address),
                  &size) != 0) {
    Die("getsockname");
  }
  std::printf("listening %d\n", ntohs(address.sin_port));
  std::fflush(stdout);
}

int NewSocket() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0) SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  return fd;
}

void CloseWithReset(int fd) {
  const linger at_once{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close(fd);
}

bool SourceAddresses::Bind(int fd) {
  // 250 addresses: more would make the kernel's tables larger than any
  // machine's in use.
  constexpr unsigned kAddresses = 250;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl((127u << 24 | 1u << 16) + 1 + next_);
  next_ = (next_ + 1) % kAddresses;
  // The port is chosen in connect(2), for the pair of addresses.
  const int on = 1;
  return setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) ==
             0 &&
         bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace portreeve::bench
