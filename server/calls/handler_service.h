// HandlerService of portreeve.v1.
#ifndef PORTREEVE_SERVER_CALLS_HANDLER_SERVICE_H_
#define PORTREEVE_SERVER_CALLS_HANDLER_SERVICE_H_

#include "lib/base/deferred.h"
#include "lib/base/loop.h"
#include "portreeve/v1/handler.grpc.pb.h"
#include "server/access/gate.h"
#include "server/calls/open_calls.h"
#include "server/registry/registry.h"

namespace portreeve::server {

// Threads: the methods are gRPC's; EndStreams(): loop thread.
// Lifetime: what it is made of outlives it.  Destroy it when the gRPC server is
// shut down and the loop has run dry.
class HandlerService final
    : public v1::HandlerService::WithRawCallbackMethod_Handle<
          v1::HandlerService::Service> {
 public:
  using Stream = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

  HandlerService(Loop& loop, Registry& registry, Gate& gate)
      : loop_(loop),
        registry_(registry),
        gate_(gate),
        calls_(loop.executor()) {}

  Stream* Handle(grpc::CallbackServerContext* context) override;

  // Refuses later calls.  Determined when none is left: each ends with its
  // listener's handlers.  Idempotent.
  Deferred<> EndStreams() { return calls_.End(); }

 private:
  Loop& loop_;
  Registry& registry_;
  Gate& gate_;
  OpenCalls calls_;  // Loop thread only.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_HANDLER_SERVICE_H_
