#include "tests/model/endpoint.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

namespace portreeve::model {
namespace {

constexpr int kBacklog = 128;

class AnySocketAddress {
 public:
  AnySocketAddress(int port, const std::string& path) {
    if (path.empty()) {
      auto* const inet = reinterpret_cast<sockaddr_in*>(&storage_);
      inet->sin_family = AF_INET;
      inet->sin_port = htons(static_cast<uint16_t>(port));
      inet->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      size_ = sizeof *inet;
    } else {
      auto* const unix_address = reinterpret_cast<sockaddr_un*>(&storage_);
      unix_address->sun_family = AF_UNIX;
      path.copy(unix_address->sun_path, sizeof unix_address->sun_path - 1);
      size_ = sizeof *unix_address;
    }
  }

  const sockaddr* get() const {
    return reinterpret_cast<const sockaddr*>(&storage_);
  }
  socklen_t size() const { return size_; }
  int family() const { return storage_.ss_family; }

 private:
  sockaddr_storage storage_{};
  socklen_t size_;
};

int CloseAndKeepErrno(int fd) {
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

int NewSocket(int family, int receive_buffer) {
  const int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && receive_buffer > 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer,
               sizeof receive_buffer);
  }
  return fd;
}

int Bind(int port, const std::string& path, int receive_buffer) {
  const AnySocketAddress address(port, path);
  const int fd = NewSocket(address.family(), receive_buffer);
  if (fd < 0 || bind(fd, address.get(), address.size()) == 0) return fd;
  return CloseAndKeepErrno(fd);
}

}  // namespace

// On this machine connecting takes no time.
int ConnectTo(int port, const std::string& path, int receive_buffer) {
  const AnySocketAddress address(port, path);
  const int fd = NewSocket(address.family(), receive_buffer);
  if (fd < 0) return -1;
  if (connect(fd, address.get(), address.size()) != 0) {
    return CloseAndKeepErrno(fd);
  }
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

int Listen(const std::string& path, int receive_buffer) {
  const int fd = Bind(0, path, receive_buffer);
  if (fd < 0) return -1;
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return listen(fd, kBacklog) == 0 ? fd : CloseAndKeepErrno(fd);
}

int BindOnly() { return Bind(0, "", 0); }

int BindBeside(int listening) {
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  address.sin6_port = htons(static_cast<uint16_t>(LocalPort(listening)));
  const int fd = NewSocket(AF_INET6, 0);
  if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&address),
                     sizeof address) == 0) {
    return fd;
  }
  return CloseAndKeepErrno(fd);
}

int Accept(int listening) {
  return accept4(listening, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int LocalPort(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

std::string LocalKey(int fd, const std::string& path) {
  return path.empty() ? "127.0.0.1:" + std::to_string(LocalPort(fd)) : path;
}

std::string Key(const v1::Address& address) {
  if (address.has_unix_socket()) return address.unix_socket().path();
  return address.inet().address() + ":" + std::to_string(address.inet().port());
}

}  // namespace portreeve::model
