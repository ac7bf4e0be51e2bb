// ControlCalls: which connection each call of gRPC is of, and how many a
// connection has.
#ifndef PORTREEVE_SERVER_CONTROL_CONTROL_CALLS_H_
#define PORTREEVE_SERVER_CONTROL_CONTROL_CALLS_H_

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>

#include <memory>

#include "server/control/control_connection.h"
#include "server/control/control_table.h"

namespace portreeve::server {

// Has the calls of a server counted for their connections, from the moment in
// which gRPC takes them in, those of methods that nobody knows included.
// `table` outlives the server.  Before BuildAndStart().
void CountCalls(grpc::ServerBuilder& builder, ControlTable& table);

// The connection of a call, once it has begun; null where nobody counts.
std::shared_ptr<ControlConnection> ConnectionOf(
    const grpc::ServerContextBase& context);

// The status of a call is given to gRPC: it waits for nothing any more.
void NoteAnswer(const grpc::ServerContextBase& context);

// Answers UNIMPLEMENTED to every method that no other service has, so that
// such calls are counted, too.
class UnknownMethods final : public grpc::CallbackGenericService {
 public:
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CONTROL_CONTROL_CALLS_H_
