// From a checked spec to the handler and the policy that it asks for.
#ifndef PORTREEVE_SERVER_REGISTRY_LISTENER_SETUP_H_
#define PORTREEVE_SERVER_REGISTRY_LISTENER_SETUP_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "lib/serve/any_server.h"
#include "portreeve/v1/connection.pb.h"
#include "server/api/checked_spec.h"
#include "server/handlers/forward_loops.h"
#include "server/remote/remote_handler.h"

namespace portreeve::server {

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
AnyHandler HandlerOf(const CheckedSpec& spec, HandlerHooks hooks);

// `call` is for CALL.
AnyOnHandlerError OnHandlerErrorOf(const CheckedSpec& spec,
                                   CallOnHandlerError call);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_LISTENER_SETUP_H_
