// CheckNoLoop: whether a listener would forward to itself, as far as that is
// certain.
#ifndef PORTREEVE_SERVER_REGISTRY_SELF_FORWARD_H_
#define PORTREEVE_SERVER_REGISTRY_SELF_FORWARD_H_

#include "absl/status/status.h"
#include "lib/net/address.h"
#include "server/api/checked_spec.h"
#include "server/handlers/forward_loops.h"

namespace portreeve::server {

// Refuses a spec whose forward handler would lead every connection back to its
// own listener, straight or by way of others.  Names are not certain, nor is a
// port that the OS has yet to choose, a shared one, or one of a single
// interface; they are left to ForwardLoops while the listener runs.
// `listening_on` is null before it listens.  Errors: SELF_CONNECT, with the
// field from `handler.forward.upstream`.
absl::Status CheckNoLoop(const CheckedSpec& spec,
                         const AnyAddress* listening_on,
                         const ForwardLoops& loops);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_SELF_FORWARD_H_
