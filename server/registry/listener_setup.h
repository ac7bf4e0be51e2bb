// Makes the handler, and what is done about its errors, that a checked spec
// asks for.
#ifndef PORTREEVE_SERVER_REGISTRY_LISTENER_SETUP_H_
#define PORTREEVE_SERVER_REGISTRY_LISTENER_SETUP_H_

#include "lib/base/executor.h"
#include "lib/serve/any_server.h"
#include "server/api/checked_spec.h"
#include "server/events/connection_histograms.h"
#include "server/handlers/forward_loops.h"
#include "server/handlers/frozen_connection.h"
#include "server/handlers/moving_connection.h"
#include "server/registry/listener_log.h"
#include "server/registry/shared.h"
#include "server/registry/upstream_counts.h"
#include "server/remote/remote_handler.h"
#include "server/remote/worker_pool.h"

namespace portreeve::server {

// The parts of a listener that its handlers use.
struct ListenerParts {
  const Executor& executor;
  ForwardLoops::Id forward_id;
  // These must outlive the handlers.
  WorkerPool& workers;
  ListenerLog& log;
  UpstreamCounts& upstream_counts;
  ConnectionHistograms* histograms;  // Null: it has none of its own.
};
AnyHandler HandlerOf(const CheckedSpec& spec, const Shared& shared,
                     const ListenerParts& listener);
// Of a spec with a remote handler: gives what that is made of.
RemoteOptions RemoteOptionsOf(const CheckedSpec& spec, const Shared& shared,
                              const ListenerParts& listener);
// Gives what goes on with those that are not connected yet; null where the spec
// forwards nothing.
RestoreForward ForwardRestorerOf(const CheckedSpec& spec, const Shared& shared,
                                 const ListenerParts& listener);
// Whether that connects as one does that another process has begun with.
bool ConnectsAlike(const CheckedSpec& spec, const FrozenForward& forward);

// `call` is used where the spec says CALL.
AnyOnHandlerError OnHandlerErrorOf(const CheckedSpec& spec,
                                   CallOnHandlerError call);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_LISTENER_SETUP_H_
