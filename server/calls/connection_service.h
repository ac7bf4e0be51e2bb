// ConnectionService of portreeve.v1.
#ifndef PORTREEVE_SERVER_CALLS_CONNECTION_SERVICE_H_
#define PORTREEVE_SERVER_CALLS_CONNECTION_SERVICE_H_

#include <memory>
#include <string_view>

#include "lib/base/asio.h"
#include "lib/base/deferred.h"
#include "lib/base/loop.h"
#include "lib/base/task_scope.h"
#include "portreeve/v1/connection.grpc.pb.h"
#include "server/access/gate.h"
#include "server/calls/attach.h"
#include "server/calls/open_calls.h"
#include "server/calls/unary_service.h"
#include "server/registry/registry.h"
#include "server/remote/client_stream.h"

namespace portreeve::server {

// Attach and Dial are raw (server/calls/bidi_call.h).
using ConnectionServiceMethods =
    v1::ConnectionService::WithCallbackMethod_ListConnections<
        v1::ConnectionService::WithCallbackMethod_GetConnection<
            v1::ConnectionService::WithCallbackMethod_CloseConnection<
                v1::ConnectionService::WithRawCallbackMethod_Attach<
                    v1::ConnectionService::WithRawCallbackMethod_Dial<
                        v1::ConnectionService::Service>>>>>;

// Checks requests on gRPC's threads and does the work on the loop.
//
// Threads: the methods are gRPC's; EndStreams(): loop thread.
// Lifetime: what it is made of outlives it.  Destroy it when the gRPC server is
// shut down and the loop has run dry.
class ConnectionService final : public UnaryService<ConnectionServiceMethods> {
 public:
  using Stream = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

  ConnectionService(Loop& loop, Registry& registry, Gate& gate);

  // ListConnections, whose name the generated code has for another.
  grpc::ServerUnaryReactor* List(
      grpc::CallbackServerContext* context,
      const v1::ListConnectionsRequest* request,
      EncodedPage<v1::ListConnectionsResponse>* response);
  grpc::ServerUnaryReactor* GetConnection(
      grpc::CallbackServerContext* context,
      const v1::GetConnectionRequest* request,
      v1::Connection* response) override;
  grpc::ServerUnaryReactor* CloseConnection(
      grpc::CallbackServerContext* context,
      const v1::CloseConnectionRequest* request,
      v1::Connection* response) override;
  Stream* Attach(grpc::CallbackServerContext* context) override;
  Stream* Dial(grpc::CallbackServerContext* context) override;

  // Refuses later Attach and Dial calls.  Determined when none is left: each
  // ends with its connection.  Idempotent.
  Deferred<> EndStreams() { return calls_.End(); }

 private:
  using Serve = Task<>(Registry&, std::shared_ptr<ClientStream>, AuditFunction);

  Stream* StartStream(grpc::CallbackServerContext& context,
                      std::string_view method, Serve* serve);

  Loop& loop_;
  Registry& registry_;
  Gate& gate_;

  // Loop thread only.
  OpenCalls calls_;
  TaskScope tasks_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_CONNECTION_SERVICE_H_
