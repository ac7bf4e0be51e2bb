// From a checked spec to the handler, the policy and the options that it asks
// for.
#ifndef PORTREEVE_SERVER_REGISTRY_LISTENER_SETUP_H_
#define PORTREEVE_SERVER_REGISTRY_LISTENER_SETUP_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "lib/serve/any_server.h"
#include "portreeve/v1/listener.pb.h"
#include "server/handlers/forward_loops.h"
#include "server/remote/remote_handler.h"

namespace portreeve::server {

// Each takes a spec that CheckAndFill() (server/api/spec.h) has gone over.

// What the handlers need of the daemon.
struct HandlerHooks {
  // forward: its upstream is reached; as ForwardOptions.
  std::function<void(int64_t connection_id, std::shared_ptr<const AnyAddress>)>
      on_connected;
  std::function<absl::Status(const Inet::Address&)> admit;
  std::function<absl::StatusOr<Descriptor>(const Unix::Address&)> open;
  ForwardLoops* loops = nullptr;
  ForwardLoops::Id listener = 0;
  std::function<void()> on_loop;
  // remote: as RemoteOptions.
  WorkerPool* workers = nullptr;
  std::function<std::shared_ptr<Claim>(int64_t)> claim_of;
  std::function<v1::Connection(int64_t)> describe;
};
AnyHandler HandlerOf(const v1::ListenerSpec& spec, HandlerHooks hooks);

// How long a worker of a remote handler has to claim an offer, or to give a
// verdict.
Duration ClaimTimeoutOf(const v1::ListenerSpec& spec);

// How many descriptors a connection takes: that to the upstream counts, too.
int DescriptorsPerConnection(const v1::ListenerSpec& spec);

// `call` is for CALL.
AnyOnHandlerError OnHandlerErrorOf(const v1::ListenerSpec& spec,
                                   CallOnHandlerError call);

// All but the observer and the budget.
ServerOptions OptionsOf(const v1::ListenerSpec& spec);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_LISTENER_SETUP_H_
