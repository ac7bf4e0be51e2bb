#include "lib/connect/remote_address.h"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/this_coro.hpp>
#include <cstdint>
#include <utility>
#include <vector>

#include "lib/base/status.h"
#include "lib/connect/connect_attempt.h"

namespace portreeve {
namespace {

using Family = Resolver::Family;

Family FamilyOf(const asio::ip::address& address) {
  return address.is_v6() ? Family::kV6 : Family::kV4;
}

// Gives the families to ask for, in this order.
std::vector<Family> Families(const WhereToConnect<Inet>& where) {
  if (!where.bind_to_address) return {Family::kV6, Family::kV4};
  return {FamilyOf(Unmapped(*where.bind_to_address))};
}

}  // namespace

template <>
Task<Inet::Address> RemoteAddress(WhereToConnect<Inet> where,
                                  Resolver* resolver) {
  if (auto s = Validate(where); !s.ok()) throw StatusError(s);
  const auto port = static_cast<uint16_t>(where.port);
  error_code not_literal;
  const auto literal = asio::ip::make_address(where.host, not_literal);
  if (!not_literal) co_return Inet::Address(Effective(literal), port);
  if (resolver == nullptr) {
    const Executor executor = co_await asio::this_coro::executor;
    resolver = &Resolver::Of(LoopOf(executor));
  }
  absl::Status error = NoAddressError(ToString(where));
  for (const Family family : Families(where)) {
    std::vector<asio::ip::address> addresses;
    try {
      addresses = co_await resolver->Lookup(where.host, family);
    } catch (const StatusError& e) {
      error = e.status();
    }
    for (const asio::ip::address& found : addresses) {
      const asio::ip::address address = Effective(found);
      if (FamilyOf(address) == family) co_return Inet::Address(address, port);
    }
  }
  throw StatusError(error);
}

template <>
Task<Unix::Address> RemoteAddress(WhereToConnect<Unix> where, Resolver*) {
  if (auto s = Validate(where); !s.ok()) throw StatusError(s);
  co_return Unix::Address(where.path);
}

}  // namespace portreeve
