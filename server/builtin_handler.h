// From a checked spec to the handler, the policy and the options that it asks
// for.
#ifndef PORTREEVE_SERVER_BUILTIN_HANDLER_H_
#define PORTREEVE_SERVER_BUILTIN_HANDLER_H_

#include <cstdint>
#include <functional>

#include "lib/any_server.h"
#include "portreeve/v1/listener.pb.h"

namespace portreeve::server {

// Each takes a spec that CheckAndFill() (server/spec.h) has gone over.

// `on_connected` is called when a forward handler has reached its upstream.
AnyHandler HandlerOf(
    const v1::ListenerSpec& spec,
    std::function<void(int64_t connection_id, const AnyAddress&)> on_connected);

// How many descriptors a connection takes: that to the upstream counts, too.
int DescriptorsPerConnection(const v1::ListenerSpec& spec);

AnyOnHandlerError OnHandlerErrorOf(const v1::ListenerSpec& spec);

// All but the observer and the budget.
ServerOptions OptionsOf(const v1::ListenerSpec& spec);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_BUILTIN_HANDLER_H_
