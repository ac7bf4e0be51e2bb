// ConnectionService of portreeve.v1.
#ifndef PORTREEVE_SERVER_CONNECTION_SERVICE_H_
#define PORTREEVE_SERVER_CONNECTION_SERVICE_H_

#include <boost/asio/io_context.hpp>

#include "lib/asio.h"
#include "portreeve/v1/connection.grpc.pb.h"
#include "server/registry.h"

namespace portreeve::server {

// Checks requests on gRPC's threads and does the work on the loop.
// Lifetime: `loop` and `registry` outlive every call.
class ConnectionService final : public v1::ConnectionService::CallbackService {
 public:
  using Stream = grpc::ServerBidiReactor<v1::ClientFrame, v1::ServerFrame>;

  ConnectionService(asio::io_context& loop, Registry& registry)
      : loop_(loop), registry_(registry) {}

  grpc::ServerUnaryReactor* ListConnections(
      grpc::CallbackServerContext* context,
      const v1::ListConnectionsRequest* request,
      v1::ListConnectionsResponse* response) override;
  grpc::ServerUnaryReactor* GetConnection(
      grpc::CallbackServerContext* context,
      const v1::GetConnectionRequest* request,
      v1::Connection* response) override;
  grpc::ServerUnaryReactor* CloseConnection(
      grpc::CallbackServerContext* context,
      const v1::CloseConnectionRequest* request,
      v1::Connection* response) override;
  // UNIMPLEMENTED in this release.
  Stream* Attach(grpc::CallbackServerContext* context) override;
  Stream* Dial(grpc::CallbackServerContext* context) override;

 private:
  asio::io_context& loop_;
  Registry& registry_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CONNECTION_SERVICE_H_
