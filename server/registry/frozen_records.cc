#include "server/registry/frozen_records.h"

#include <sys/socket.h>

#include <cerrno>

#include "lib/base/status.h"
#include "server/api/errors.h"

namespace portreeve::server {

absl::StatusOr<AnyAddress> AddressOf(const v1::Address& address) {
  if (address.has_unix_socket()) {
    const std::string& path = address.unix_socket().path();
    // One that was bound by others may be a byte longer than can be asked for.
    if (path.size() <= kMaxUnixPathBytes) return Unix::Address(path);
  } else if (address.has_inet()) {
    error_code error;
    const auto host = asio::ip::make_address(address.inet().address(), error);
    const uint32_t port = static_cast<uint32_t>(address.inet().port());
    if (!error && port <= 0xffff) {
      return Inet::Address(host, static_cast<uint16_t>(port));
    }
  }
  return HandoverDamaged("what should be an address is none");
}

absl::StatusOr<AnyAddress> BoundAddressOf(int fd) {
  asio::generic::stream_protocol::endpoint endpoint;
  auto size = static_cast<socklen_t>(endpoint.capacity());
  if (getsockname(fd, endpoint.data(), &size) != 0) {
    return ErrnoError(errno, "getsockname", "a socket");
  }
  endpoint.resize(size);
  return FromEndpoint(endpoint);
}

}  // namespace portreeve::server
