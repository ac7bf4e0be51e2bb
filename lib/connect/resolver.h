// Resolver: names to addresses, without a thread (SPEC C2).
#ifndef PORTREEVE_LIB_CONNECT_RESOLVER_H_
#define PORTREEVE_LIB_CONNECT_RESOLVER_H_

#include <boost/asio/ip/address.hpp>
#include <string>
#include <vector>

#include "lib/base/asio.h"

namespace portreeve {

// Looks names up.  Lookups do not wait for one another.
// Threads: loop thread only.  Lifetime: outlives its lookups.
class Resolver {
 public:
  enum class Family { kV4, kV6 };

  // The resolver of a loop, made at the first call: c-ares on the loop's own
  // sockets, with the system's configuration (/etc/hosts, /etc/resolv.conf).
  static Resolver& Of(asio::io_context& loop);

  virtual ~Resolver() = default;

  // The addresses of `host` of one family, in the order in which to try them;
  // empty if the name has none of this family.
  //
  // Throws StatusError, UNAVAILABLE / DNS_FAILURE, if it cannot be said.
  // Cancellation: terminal; the lookup ends at once, and holds up neither
  // another lookup nor the end of the loop.  What was asked for others, too, is
  // abandoned when the last of them ends.
  virtual Task<std::vector<asio::ip::address>> Lookup(std::string host,
                                                      Family family) = 0;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_CONNECT_RESOLVER_H_
