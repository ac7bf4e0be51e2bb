#include "server/registry/given_sockets.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>
#include <variant>

namespace portreeve::server {
namespace {

bool IsIpv6Only(int fd) {
  int value = 0;
  socklen_t size = sizeof value;
  return getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, &size) == 0 &&
         value != 0;
}

bool IsAt(const GivenSockets::Entry& entry, const WhereToListen<Inet>& where) {
  const auto* const address = std::get_if<Inet::Address>(&entry.address);
  if (address == nullptr || address->address() != where.address ||
      address->port() != where.port || !where.bind_to_interface.empty()) {
    return false;
  }
  // Of one address alone, the option says nothing.
  const bool is_every_v6 =
      where.address.is_v6() && where.address.is_unspecified();
  return !is_every_v6 || IsIpv6Only(entry.socket.get()) == where.ipv6_only;
}

bool IsAt(const GivenSockets::Entry& entry, const WhereToListen<Unix>& where) {
  const auto* const address = std::get_if<Unix::Address>(&entry.address);
  return address != nullptr && address->path() == where.path;
}

bool IsAt(const GivenSockets::Entry& entry, const AnyWhereToListen& where) {
  return std::visit([&](const auto& kind) { return IsAt(entry, kind); }, where);
}

}  // namespace

std::string GivenSockets::IdAt(
    const AnyWhereToListen& where,
    const std::function<bool(const std::string& id)>& wanted) const {
  for (const Entry& entry : entries_) {
    if (IsAt(entry, where) && wanted(entry.id)) return entry.id;
  }
  return "";
}

std::optional<Descriptor> GivenSockets::Take(const std::string& id,
                                             const AnyWhereToListen& where) {
  const auto found = std::find_if(
      entries_.begin(), entries_.end(),
      [&](const Entry& entry) { return entry.id == id && IsAt(entry, where); });
  if (found == entries_.end()) return std::nullopt;
  Descriptor socket = std::move(found->socket);
  entries_.erase(found);
  return socket;
}

}  // namespace portreeve::server
