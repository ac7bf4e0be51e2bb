#include "server/registry/frozen_records.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <variant>

#include "lib/base/status.h"
#include "server/api/errors.h"
#include "server/api/utf8.h"

namespace portreeve::server {

std::string RawOf(const AnyAddress& address) {
  const auto* const name = std::get_if<Unix::Address>(&address);
  if (name == nullptr) return "";
  const std::string path = name->path();
  if (path.size() <= kMaxUnixPathBytes && EscapeNonUtf8(path) == path) {
    return "";
  }
  return {reinterpret_cast<const char*>(name->data()), name->size()};
}

absl::StatusOr<AnyAddress> AddressOf(const v1::Address& address,
                                     const std::string& raw) {
  asio::generic::stream_protocol::endpoint endpoint;
  if (!raw.empty() && raw.size() <= endpoint.capacity()) {
    std::memcpy(endpoint.data(), raw.data(), raw.size());
    endpoint.resize(raw.size());
    return FromEndpoint(endpoint);
  }
  if (address.has_unix_socket()) {
    const std::string& path = address.unix_socket().path();
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
