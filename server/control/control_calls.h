// ControlCalls: counts the calls of gRPC for the connections that they belong
// to.
#ifndef PORTREEVE_SERVER_CONTROL_CONTROL_CALLS_H_
#define PORTREEVE_SERVER_CONTROL_CONTROL_CALLS_H_

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <memory>

#include "server/control/control_connection.h"
#include "server/control/control_table.h"
#include "server/control/request_counts.h"

namespace portreeve::server {

// Has the calls of a server counted for their connections, from the moment when
// gRPC takes them in, those of methods that nobody knows included.  `table`
// must outlive the server.  It must be called before BuildAndStart().
//
// `requests` counts the answers, and has to outlive the server, too; null: they
// are not counted, and no clock is read.
void CountCalls(grpc::ServerBuilder& builder, ControlTable& table,
                RequestCounts* requests = nullptr);

// Gives the connection of a call that has begun; null where nobody counts its
// calls.
std::shared_ptr<ControlConnection> ConnectionOf(
    const grpc::ServerContextBase& context);

// Notes that the status of a call, with `code`, is given to gRPC, so that the
// call waits for nothing any more.
void NoteAnswer(const grpc::ServerContextBase& context, grpc::StatusCode code);

// Answers UNIMPLEMENTED to every method that no other service has, so that
// such calls are counted, too.
class UnknownMethods final : public grpc::CallbackGenericService {
 public:
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CONTROL_CONTROL_CALLS_H_
