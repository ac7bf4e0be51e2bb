// RemoteHandler: has clients of the control plane serve connections
// (proto/portreeve/v1/handler.proto).
#ifndef PORTREEVE_SERVER_REMOTE_REMOTE_HANDLER_H_
#define PORTREEVE_SERVER_REMOTE_REMOTE_HANDLER_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "lib/base/time_source.h"
#include "lib/net/close_reason.h"
#include "lib/serve/server_options.h"
#include "portreeve/v1/connection.pb.h"
#include "server/remote/claim.h"
#include "server/remote/worker_pool.h"

namespace portreeve::server {

struct RemoteOptions {
  // It must outlive the handler.
  WorkerPool* workers = nullptr;
  // How long a worker has to claim an offer; > 0.
  Duration claim_timeout;
  // Whether a connection waits for a worker, as long as that, where there is
  // none.
  bool awaits_worker = false;
  // Makes the connection with this id one that can be claimed, and gives its
  // claim.
  std::function<std::shared_ptr<Claim>(int64_t)> claim_of;
  // Gives what workers learn of the connection with this id.
  std::function<v1::Connection(int64_t)> describe;
};

// Gives a handler that offers the connection to workers and waits until the
// client that took it is through; it throws that client's HandlerRaised.  A
// connection that nobody takes is reset, with reason kUnclaimed.
CoroutineHandler RemoteHandler(RemoteOptions options);

// How long a client has to come back that has dialled its connection.
inline constexpr std::chrono::seconds kReturnTimeout{10};

struct ReturnOptions {
  std::shared_ptr<Claim> claim;
  // How long it may take to come; > 0.
  Duration timeout;
  // Why the connection is closed where nobody comes.
  CloseReason gone = CloseReason::kClientGone;
};

// Gives a handler of a connection for which one client has to come, since it is
// known there already: it waits until `claim` is taken, and else does what
// RemoteHandler()'s does.
CoroutineHandler ReturningHandler(ReturnOptions options);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REMOTE_REMOTE_HANDLER_H_
