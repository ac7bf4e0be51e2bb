#include "server/access/network_set.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace portreeve::server {
namespace {

using asio::ip::network_v4;
using asio::ip::network_v6;

absl::Status Wrong(const std::string& cidr, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", absl::Utf8SafeCHexEscape(cidr), "\" ", what));
}

// Whether Asio may be asked: it reads addresses up to the first NUL, and does
// not look whether a prefix fits into an int.
bool IsReadable(const std::string& cidr) {
  const size_t slash = cidr.find('/');
  return slash != std::string::npos && cidr.size() - slash <= 4 &&
         cidr.find('\0') == std::string::npos &&
         cidr.find('%') == std::string::npos;
}

template <typename Network>
absl::Status CheckPrefix(const std::string& cidr, const Network& network) {
  if (network == network.canonical()) return absl::OkStatus();
  return Wrong(cidr,
               absl::StrCat("has bits beyond its prefix; ",
                            network.canonical().to_string(), " is meant?"));
}

template <typename Network, typename Address>
bool AnyContains(const std::vector<Network>& networks, const Address& address) {
  return std::any_of(
      networks.begin(), networks.end(), [&](const Network& network) {
        const Network same_size(address, network.prefix_length());
        return same_size.network() == network.address();
      });
}

template <typename Network, typename Address>
bool AnyContainsAll(const std::vector<Network>& networks,
                    const Address& unspecified) {
  return std::any_of(
      networks.begin(), networks.end(), [&](const Network& network) {
        return network.address() == unspecified &&
               (network.prefix_length() == 0 || network.is_host());
      });
}

asio::ip::address_v6 WithoutZone(const asio::ip::address_v6& address) {
  return asio::ip::address_v6(address.to_bytes());
}

}  // namespace

absl::Status NetworkSet::Add(const std::string& cidr) {
  if (!IsReadable(cidr)) {
    return Wrong(cidr, "is not a network like 10.0.0.0/8 or fd00::/8");
  }
  boost::system::error_code not_v4;
  const network_v4 v4 = asio::ip::make_network_v4(cidr, not_v4);
  if (!not_v4) {
    v4_.push_back(v4);
    return CheckPrefix(cidr, v4);
  }
  boost::system::error_code not_v6;
  const network_v6 v6 = asio::ip::make_network_v6(cidr, not_v6);
  if (not_v6) {
    return Wrong(cidr, "is not a network like 10.0.0.0/8 or fd00::/8");
  }
  if (v6.address().is_v4_mapped()) {
    return Wrong(cidr, "must be written as an IPv4 network");
  }
  v6_.push_back(v6);
  return CheckPrefix(cidr, v6);
}

bool NetworkSet::Contains(const asio::ip::address& address) const {
  const asio::ip::address unmapped = Unmapped(address);
  return unmapped.is_v4() ? AnyContains(v4_, unmapped.to_v4())
                          : AnyContains(v6_, WithoutZone(unmapped.to_v6()));
}

bool NetworkSet::ContainsAll(const asio::ip::address& unspecified) const {
  return unspecified.is_v4()
             ? AnyContainsAll(v4_, unspecified.to_v4())
             : AnyContainsAll(v6_, WithoutZone(unspecified.to_v6()));
}

}  // namespace portreeve::server
