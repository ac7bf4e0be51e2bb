// Whether a listener of the daemon keeps another from its address.
#ifndef PORTREEVE_SERVER_REGISTRY_ADDRESS_CONFLICT_H_
#define PORTREEVE_SERVER_REGISTRY_ADDRESS_CONFLICT_H_

#include "lib/net/address.h"
#include "portreeve/v1/listener.pb.h"

namespace portreeve::server {

// For a bind of `wanted` that has failed with "address in use": whether an open
// listener with the spec address `held`, listening on `held_address`, is in its
// way.  Both are checked (server/api/spec.h).
bool Conflicts(const v1::WhereToListen& wanted, const v1::WhereToListen& held,
               const AnyAddress& held_address);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_ADDRESS_CONFLICT_H_
