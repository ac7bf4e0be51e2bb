// Resolver: looks names up, without a thread (docs/CONFORMANCE.md, C2).
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_CONNECT_RESOLVER_H_
#define PORTREEVE_LIB_CONNECT_RESOLVER_H_

#include <boost/asio/ip/address.hpp>
#include <string>
#include <vector>

#include "lib/base/asio.h"

namespace portreeve {

// Looks names up.  Lookups do not wait for one another.
// Threads: loop thread only.  Lifetime: it must outlive its lookups.
class Resolver {
 public:
  enum class Family { kV4, kV6 };

  // Gives the resolver of a loop, which is made at the first call: c-ares on
  // the loop's own sockets, with the system's configuration (/etc/hosts,
  // /etc/resolv.conf).
  static Resolver& Of(asio::io_context& loop);

  virtual ~Resolver() = default;

  // Gives the addresses of `host` of one family, in the order in which to try
  // them; none if the name has none of this family.
  //
  // Throws StatusError, UNAVAILABLE / DNS_FAILURE, if that cannot be found out.
  // Cancellation: terminal; the lookup ends at once, and holds up neither
  // another lookup nor the end of the loop.  A question that is shared with
  // others is abandoned when the last of them ends.
  virtual Task<std::vector<asio::ip::address>> Lookup(std::string host,
                                                      Family family) = 0;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_CONNECT_RESOLVER_H_
