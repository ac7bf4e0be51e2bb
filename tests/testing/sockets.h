// Sockets as a parent, systemd or the program itself makes them, to be given to
// the library.
#ifndef PORTREEVE_TESTS_TESTING_SOCKETS_H_
#define PORTREEVE_TESTS_TESTING_SOCKETS_H_

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>

#include "lib/base/descriptor.h"
#include "lib/net/address.h"
#include "lib/net/where.h"

namespace portreeve::testing {

// Gives a blocking one, which an exec(2) does not close.
inline Descriptor NewSocket(int family, int type = SOCK_STREAM,
                            int protocol = 0) {
  return Descriptor(socket(family, type, protocol));
}

inline Inet::Address AddressOf(const WhereToListen<Inet>& where) {
  return Inet::Address(where.address, static_cast<uint16_t>(where.port));
}
inline Unix::Address AddressOf(const WhereToListen<Unix>& where) {
  return Unix::Address(where.path);
}

// Gives one that is bound to `address`; not an open one if that fails.
template <typename Address>
Descriptor BoundSocket(const Address& address) {
  Descriptor fd = NewSocket(address.protocol().family());
  if (bind(fd.get(), address.data(), static_cast<socklen_t>(address.size())) !=
      0) {
    return Descriptor();
  }
  return fd;
}

template <typename Address>
Descriptor ListeningSocketAt(const Address& address, int backlog) {
  Descriptor fd = BoundSocket(address);
  if (listen(fd.get(), backlog) != 0) return Descriptor();
  return fd;
}

// Gives another descriptor of the same socket, as another process has one.
inline Descriptor CopyOf(const Descriptor& fd) {
  return Descriptor(dup(fd.get()));
}

inline AnyAddress LocalAddressOf(const Descriptor& fd) {
  boost::asio::generic::stream_protocol::endpoint endpoint;
  auto size = static_cast<socklen_t>(endpoint.capacity());
  if (getsockname(fd.get(), endpoint.data(), &size) != 0) return AnyAddress();
  endpoint.resize(size);
  return FromEndpoint(endpoint);
}

inline int OptionOf(const Descriptor& fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  return getsockopt(fd.get(), level, name, &value, &size) == 0 ? value : -1;
}

inline bool IsListening(const Descriptor& fd) {
  return OptionOf(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1;
}
inline bool IsNonBlocking(const Descriptor& fd) {
  return (fcntl(fd.get(), F_GETFL) & O_NONBLOCK) != 0;
}

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_SOCKETS_H_
