#include "lib/net/own_addresses.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <variant>

#include "lib/base/descriptor.h"
#include "lib/base/status.h"

namespace portreeve {
namespace {

// Two scopes of one link-local address count as the same.
asio::ip::address WithoutScope(const asio::ip::address& address) {
  if (!address.is_v6()) return address;
  return asio::ip::address_v6(address.to_v6().to_bytes());
}

// A wildcard for IPv6 may take IPv4, too.
bool MayCover(const asio::ip::address& wildcard,
              const asio::ip::address& address) {
  return wildcard.is_v6() || address.is_v4();
}

// Whether sockets may be bound to addresses that nobody has.
bool MayBindToAny(const asio::ip::address& address) {
  std::ifstream setting(address.is_v6()
                            ? "/proc/sys/net/ipv6/ip_nonlocal_bind"
                            : "/proc/sys/net/ipv4/ip_nonlocal_bind");
  int value = 0;
  return setting >> value && value != 0;
}

std::optional<asio::ip::address> AddressOf(const sockaddr* address) {
  Inet::Address endpoint;
  if (address == nullptr) return std::nullopt;
  if (address->sa_family == AF_INET) {
    std::memcpy(endpoint.data(), address, sizeof(sockaddr_in));
  } else if (address->sa_family == AF_INET6) {
    std::memcpy(endpoint.data(), address, sizeof(sockaddr_in6));
  } else {
    return std::nullopt;
  }
  return endpoint.address();
}

bool HasInterfaceWith(const asio::ip::address& address) {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return true;
  bool found = false;
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    const auto has = AddressOf(one->ifa_addr);
    found |= has && WithoutScope(*has) == WithoutScope(address);
  }
  freeifaddrs(all);
  return found;
}

}  // namespace

absl::Status OwnAddresses::Add(const AnyAddress& address) {
  if (const auto* inet = std::get_if<Inet::Address>(&address)) {
    inet_.emplace_back(Unmapped(inet->address()), inet->port());
    return absl::OkStatus();
  }
  const std::string path = std::get<Unix::Address>(address).path();
  if (IsAbstract(path)) {
    abstract_names_.push_back(path);
    return absl::OkStatus();
  }
  struct stat file;
  if (stat(path.c_str(), &file) != 0) {
    return ErrnoError(errno, "stat", ToString(address));
  }
  files_.emplace_back(file.st_dev, file.st_ino);
  return absl::OkStatus();
}

bool OwnAddresses::Contain(const Inet::Address& address) const {
  const auto is_it = [&address](const Inet::Address& own) {
    if (own.port() != address.port()) return false;
    const asio::ip::address host = Effective(address.address());
    if (own.address().is_unspecified()) {
      return MayCover(own.address(), host) && IsOfThisMachine(host);
    }
    return WithoutScope(own.address()) == WithoutScope(host);
  };
  return std::any_of(inet_.begin(), inet_.end(), is_it);
}

bool OwnAddresses::ContainFile(const struct stat& file) const {
  const std::pair<dev_t, ino_t> identity(file.st_dev, file.st_ino);
  return std::find(files_.begin(), files_.end(), identity) != files_.end();
}

bool OwnAddresses::ContainPath(const std::string& path) const {
  if (IsAbstract(path)) {
    return std::find(abstract_names_.begin(), abstract_names_.end(), path) !=
           abstract_names_.end();
  }
  struct stat file;
  return has_files() && stat(path.c_str(), &file) == 0 && ContainFile(file);
}

bool IsOfThisMachine(const asio::ip::address& address) {
  if (address.is_loopback() || address.is_unspecified()) return true;
  const Inet::Address any_port(address, 0);
  const Descriptor fd(
      socket(any_port.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  // A machine without IPv6 has no such address.
  if (!fd.is_open()) return errno != EAFNOSUPPORT;
  // Another machine's address is not available here; a link-local one needs a
  // scope.
  if (bind(fd.get(), any_port.data(),
           static_cast<socklen_t>(any_port.size())) == 0) {
    return !MayBindToAny(address) || HasInterfaceWith(address);
  }
  return errno != EADDRNOTAVAIL && errno != ENODEV && errno != EINVAL;
}

}  // namespace portreeve
