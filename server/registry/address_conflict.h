// Whether a listener of the daemon keeps another from its address.
#ifndef PORTREEVE_SERVER_REGISTRY_ADDRESS_CONFLICT_H_
#define PORTREEVE_SERVER_REGISTRY_ADDRESS_CONFLICT_H_

#include "lib/net/address.h"
#include "server/api/convert.h"

namespace portreeve::server {

// For a bind of `wanted` that has failed with "address in use": whether an open
// listener with the spec address `held`, which listens on `held_address`, is in
// its way.
bool Conflicts(const AnyWhereToListen& wanted, const AnyWhereToListen& held,
               const AnyAddress& held_address);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_ADDRESS_CONFLICT_H_
