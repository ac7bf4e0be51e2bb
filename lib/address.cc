#include "lib/address.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "lib/check.h"

namespace portreeve {

std::string ToString(const Inet::Address& address) {
  const std::string host = address.address().to_string();
  return address.address().is_v6()
             ? absl::StrCat("tcp:[", host, "]:", address.port())
             : absl::StrCat("tcp:", host, ":", address.port());
}

std::string ToString(const Unix::Address& address) {
  return absl::StrCat("unix:", address.path());
}

std::string ToString(const AnyAddress& address) {
  return std::visit([](const auto& a) { return ToString(a); }, address);
}

AnyAddress FromEndpoint(
    const asio::generic::stream_protocol::endpoint& endpoint) {
  const int family = endpoint.protocol().family();
  if (family == AF_UNIX) {
    Unix::Address address;
    PORTREEVE_CHECK(endpoint.size() <= address.capacity());
    std::memcpy(address.data(), endpoint.data(), endpoint.size());
    address.resize(endpoint.size());
    return address;
  }
  PORTREEVE_CHECK(family == AF_INET || family == AF_INET6);
  Inet::Address address;
  std::memcpy(address.data(), endpoint.data(), endpoint.size());
  address.resize(endpoint.size());
  return address;
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
