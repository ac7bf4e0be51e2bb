#include "server/connection_service.h"

#include <string>
#include <utility>

#include "server/convert.h"
#include "server/errors.h"
#include "server/names.h"
#include "server/refused_stream.h"
#include "server/unary.h"

namespace portreeve::server {
namespace {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;
using Refused = RefusedStream<v1::ClientFrame, v1::ServerFrame>;

}  // namespace

ServerUnaryReactor* ConnectionService::ListConnections(
    CallbackServerContext* context, const v1::ListConnectionsRequest* request,
    v1::ListConnectionsResponse* response) {
  std::string listener;
  if (!request->listener().empty()) {
    auto id = ParseListenerName(request->listener(), "listener");
    if (!id.ok()) return Answer(context, id.status());
    listener = *std::move(id);
  }
  auto work = [this, listener = std::move(listener), request, response] {
    auto page = registry_.ListConnections(listener, *request);
    if (page.ok()) *response = *std::move(page);
    return page.status();
  };
  return AnswerOnLoop(context, loop_, std::move(work));
}

ServerUnaryReactor* ConnectionService::GetConnection(
    CallbackServerContext* context, const v1::GetConnectionRequest* request,
    v1::Connection* response) {
  const auto number = ParseConnectionName(request->name(), "name");
  if (!number.ok()) return Answer(context, number.status());
  auto work = [this, number = *number, response] {
    auto connection = registry_.GetConnection(number);
    if (connection.ok()) *response = *std::move(connection);
    return connection.status();
  };
  return AnswerOnLoop(context, loop_, std::move(work));
}

ServerUnaryReactor* ConnectionService::CloseConnection(
    CallbackServerContext* context, const v1::CloseConnectionRequest* request,
    v1::Connection* response) {
  const auto number = ParseConnectionName(request->name(), "name");
  if (!number.ok()) return Answer(context, number.status());
  const auto how = FromProto(request->mode());
  if (!how.ok()) return Answer(context, how.status());
  auto begin = [this, number = *number, how = *how,
                response]() -> absl::StatusOr<WaitReactor::Wait> {
    auto awaited = registry_.CloseConnection(number, how);
    if (!awaited.ok()) return awaited.status();
    auto respond = [response, describe = std::move(awaited->describe)] {
      *response = describe();
    };
    return WaitReactor::Wait{std::move(awaited->until), std::move(respond)};
  };
  return WaitReactor::Start(loop_, std::move(begin));
}

ConnectionService::Stream* ConnectionService::Attach(CallbackServerContext*) {
  return new Refused(NotImplemented("Attach"));
}

ConnectionService::Stream* ConnectionService::Dial(CallbackServerContext*) {
  return new Refused(NotImplemented("Dial"));
}

}  // namespace portreeve::server
