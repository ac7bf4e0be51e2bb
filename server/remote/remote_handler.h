// RemoteHandler: the handler that is a client (API.md "Handlers", "remote").
#ifndef PORTREEVE_SERVER_REMOTE_REMOTE_HANDLER_H_
#define PORTREEVE_SERVER_REMOTE_REMOTE_HANDLER_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "lib/base/time_source.h"
#include "lib/serve/server_options.h"
#include "portreeve/v1/connection.pb.h"
#include "server/remote/claim.h"
#include "server/remote/worker_pool.h"

namespace portreeve::server {

struct RemoteOptions {
  // Outlives the handler.
  WorkerPool* workers = nullptr;
  // How long a worker has to claim an offer.  > 0.
  Duration claim_timeout;
  // Makes the connection of this id one that can be claimed, and gives its
  // claim.
  std::function<std::shared_ptr<Claim>(int64_t)> claim_of;
  // What workers are told of it.
  std::function<v1::Connection(int64_t)> describe;
};

// Offers the connection to workers and waits until the client that took it is
// through; a HandlerRaised of that client is thrown.  One that nobody takes is
// reset, kUnclaimed.
AnyHandler RemoteHandler(RemoteOptions options);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REMOTE_REMOTE_HANDLER_H_
