#include "lib/net/address.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace portreeve {
namespace {

// Takes, without an exception, also what Asio's own constructors and resize()
// refuse.
Unix::Address UnixFromEndpoint(
    const asio::generic::stream_protocol::endpoint& endpoint) {
  constexpr size_t kPathOffset = offsetof(sockaddr_un, sun_path);
  sockaddr_un raw{};
  // For a path of 108 bytes the kernel counts a NUL that has no room (unix(7)).
  const size_t size = std::min<size_t>(endpoint.size(), sizeof raw);
  std::memcpy(&raw, endpoint.data(), size);
  if (size <= kPathOffset) return Unix::Address();
  std::string_view path(raw.sun_path, size - kPathOffset);
  // An abstract name begins with a NUL, and may have more of them.
  if (path.front() != '\0') path = path.substr(0, path.find('\0'));
  Unix::Address address;
  if (path.size() <= kMaxUnixPathBytes) {
    address.path(std::string(path));
  } else {
    std::memcpy(address.data(), &raw, sizeof raw);
    address.resize(sizeof raw);
  }
  return address;
}

Inet::Address InetFromEndpoint(
    const asio::generic::stream_protocol::endpoint& endpoint) {
  Inet::Address address;
  const size_t size = std::min(endpoint.size(), address.capacity());
  std::memcpy(address.data(), endpoint.data(), size);
  address.resize(size);
  const asio::ip::address unmapped = Unmapped(address.address());
  if (unmapped.is_v4() && address.address().is_v6()) {
    return Inet::Address(unmapped, address.port());
  }
  return address;
}

}  // namespace

std::string ToString(const Inet::Address& address) {
  const std::string host = address.address().to_string();
  return address.address().is_v6()
             ? absl::StrCat("tcp:[", host, "]:", address.port())
             : absl::StrCat("tcp:", host, ":", address.port());
}

std::string ToString(const Unix::Address& address) {
  std::string text;
  for (const char c : UnixPathText(address.path())) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      absl::StrAppend(&text, "\\x", absl::Hex(c & 0x7f, absl::kZeroPad2));
    } else {
      text += c;
    }
  }
  return text;
}

std::string ToString(const AnyAddress& address) {
  return std::visit([](const auto& a) { return ToString(a); }, address);
}

AnyAddress FromEndpoint(
    const asio::generic::stream_protocol::endpoint& endpoint) {
  const size_t size = endpoint.size();
  switch (endpoint.protocol().family()) {
    case AF_UNIX:
      return UnixFromEndpoint(endpoint);
    case AF_INET:
      if (size >= sizeof(sockaddr_in)) return InetFromEndpoint(endpoint);
      break;
    case AF_INET6:
      if (size >= sizeof(sockaddr_in6)) return InetFromEndpoint(endpoint);
      break;
    default:
      break;
  }
  return Inet::Address();
}

bool IsAbstract(std::string_view path) {
  return !path.empty() && path.front() == '\0';
}

std::string UnixPathText(std::string_view path) {
  if (IsAbstract(path))
    return absl::StrCat("unix:@", std::string(path.substr(1)));
  const bool looks_abstract = !path.empty() && path.front() == '@';
  return absl::StrCat("unix:", looks_abstract ? "./" : "", std::string(path));
}

asio::ip::address Unmapped(const asio::ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  }
  return address;
}

asio::ip::address Effective(const asio::ip::address& address) {
  const asio::ip::address unmapped = Unmapped(address);
  if (!unmapped.is_unspecified()) return unmapped;
  if (unmapped.is_v4()) return asio::ip::address_v4::loopback();
  return asio::ip::address_v6::loopback();
}

}  // namespace portreeve
