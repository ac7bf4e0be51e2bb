// RemoteAddress: the address to which a WhereToConnect leads
// (docs/CONFORMANCE.md, C1).
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_CONNECT_REMOTE_ADDRESS_H_
#define PORTREEVE_LIB_CONNECT_REMOTE_ADDRESS_H_

#include "lib/base/asio.h"
#include "lib/connect/resolver.h"
#include "lib/net/where.h"

namespace portreeve {

// Gives the address of `where` that ConnectSock would try first, resolved by
// `resolver` (null: Resolver::Of(the loop)): of a name that has several, the
// first one of IPv6 if there is one, else of IPv4; of bind_to_address's family
// only, where that is set.  A unix address is given as it is.  Nothing is
// connected, and the next lookup may give another one.
//
// Throws StatusError: INVALID_FIELD; DNS_FAILURE, also where the name has no
// address.
// Cancellation: terminal; it gives up the lookup.
// Lifetime: `resolver` must outlive the call.
template <AddressKind A>
Task<typename A::Address> RemoteAddress(WhereToConnect<A> where,
                                        Resolver* resolver = nullptr);

}  // namespace portreeve

#endif  // PORTREEVE_LIB_CONNECT_REMOTE_ADDRESS_H_
