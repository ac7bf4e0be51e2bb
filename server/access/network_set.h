// NetworkSet: networks in CIDR notation.
#ifndef PORTREEVE_SERVER_ACCESS_NETWORK_SET_H_
#define PORTREEVE_SERVER_ACCESS_NETWORK_SET_H_

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/net/address.h"

namespace portreeve::server {

// A plain value.  An IPv4-mapped IPv6 address is in the IPv4 networks only; the
// zone of an address ("%eth0") does not matter.
class NetworkSet {
 public:
  // Adds a network like "10.0.0.0/8".
  // Errors: INVALID_ARGUMENT, which says what is wrong with `cidr`.
  absl::Status Add(const std::string& cidr);

  bool empty() const { return v4_.empty() && v6_.empty(); }
  bool Contains(const asio::ip::address& address) const;

  // Whether every address of the family of `unspecified` (0.0.0.0 or ::) is
  // within one network, or it has a network of its own.
  bool ContainsAll(const asio::ip::address& unspecified) const;

 private:
  std::vector<asio::ip::network_v4> v4_;
  std::vector<asio::ip::network_v6> v6_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_ACCESS_NETWORK_SET_H_
