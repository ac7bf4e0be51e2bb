#include "server/calls/connection_service.h"

#include <utility>

#include "lib/base/guarded.h"
#include "lib/base/monitor.h"
#include "lib/base/task_scope.h"
#include "server/api/convert.h"
#include "server/api/errors.h"
#include "server/api/names.h"
#include "server/calls/answers.h"
#include "server/calls/page_response.h"
#include "server/calls/refused_call.h"
#include "server/calls/socket_call.h"
#include "server/calls/unary.h"

namespace portreeve::server {
namespace {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

}  // namespace

ConnectionService::ConnectionService(Loop& loop, Registry& registry, Gate& gate)
    : UnaryService(loop.context(), gate),
      loop_(loop),
      registry_(registry),
      gate_(gate),
      calls_(loop.executor()),
      tasks_(loop.executor()) {
  ServeUnary("ListConnections", &ConnectionService::List);
  ServeUnary("GetConnection", &ConnectionService::GetConnection);
  ServeUnary("CloseConnection", &ConnectionService::CloseConnection);
}

ServerUnaryReactor* ConnectionService::List(
    CallbackServerContext* context, const v1::ListConnectionsRequest* request,
    EncodedPage<v1::ListConnectionsResponse>* response) {
  const auto caller = gate_.Admit(*context, "ListConnections");
  if (!caller.ok()) return Answer(context, caller.status());
  std::string listener;
  if (!request->listener().empty()) {
    auto id = ParseListenerName(request->listener(), "listener");
    if (!id.ok()) return Answer(context, id.status());
    listener = *std::move(id);
  }
  auto work = [this, listener = std::move(listener), request, response] {
    return Put(registry_.ListConnections(listener, *request), response);
  };
  return AnswerPageOnLoop(loop_.context(), context, response, std::move(work));
}

ServerUnaryReactor* ConnectionService::GetConnection(
    CallbackServerContext* context, const v1::GetConnectionRequest* request,
    v1::Connection* response) {
  const auto caller = gate_.Admit(*context, "GetConnection");
  if (!caller.ok()) return Answer(context, caller.status());
  const auto number = ParseConnectionName(request->name(), "name");
  if (!number.ok()) return Answer(context, number.status());
  if (request->tcp_info()) {
    auto begin = [this, number = *number,
                  response](const SharedAnswer& answer) {
      auto then = [response,
                   answer](absl::StatusOr<v1::Connection> connection) {
        answer->GiveBy([&] { return Put(std::move(connection), response); });
      };
      registry_.GetConnectionAndTcpInfo(number, std::move(then));
    };
    return AnswerLater(loop_.context(), context, response, std::move(begin));
  }
  auto work = [this, number = *number, response] {
    return Put(registry_.GetConnection(number), response);
  };
  return AnswerOnLoop(loop_.context(), context, response, std::move(work));
}

ServerUnaryReactor* ConnectionService::CloseConnection(
    CallbackServerContext* context, const v1::CloseConnectionRequest* request,
    v1::Connection* response) {
  auto caller = gate_.Admit(*context, "CloseConnection");
  if (!caller.ok()) return Answer(context, caller.status());
  auto audit = [request, audit = gate_.Auditor(*std::move(caller))](
                   const absl::Status& status) {
    audit(request->name(), status);
    return status;
  };
  const auto number = ParseConnectionName(request->name(), "name");
  if (!number.ok()) return Answer(context, audit(number.status()));
  const auto how = FromProto(request->mode());
  if (!how.ok()) return Answer(context, audit(how.status()));
  auto begin = [this, number = *number, how = *how, audit] {
    auto closing = registry_.CloseConnection(number, how);
    (void)audit(closing.status());
    return closing;
  };
  // It is done, and asked again it would be of a connection that is gone.
  constexpr bool kStays = true;
  return AnswerWhen(loop_.context(), context, response, response,
                    std::move(begin), kStays);
}

ConnectionService::Stream* ConnectionService::Attach(
    CallbackServerContext* context) {
  return StartStream(*context, "Attach", &ServeAttach);
}

ConnectionService::Stream* ConnectionService::Dial(
    CallbackServerContext* context) {
  return StartStream(*context, "Dial", &ServeDial);
}

ConnectionService::Stream* ConnectionService::StartStream(
    CallbackServerContext& context, std::string_view method, Serve* serve) {
  // It is made beforehand, for it is said where there is no memory.
  static const auto* const given_up =
      new absl::Status(absl::InternalError("the call was given up"));
  auto caller = gate_.Admit(context, method);
  if (!caller.ok()) return new RefusedCall<Stream>(context, caller.status());
  AuditFunction audit = gate_.Auditor(*std::move(caller));
  auto on_done = [this](BidiCall* stream) { calls_.Remove(stream); };
  auto stream =
      std::make_shared<SocketCall>(loop_, context, std::move(on_done));
  loop_.Post([this, serve, stream, audit = std::move(audit)] {
    absl::Status not_begun;
    try {
      if (!calls_.Add(stream)) return;
      auto on_exit = [stream](std::exception_ptr error) {
        if (!error || IsCancelled(error)) return;
        Monitor::TopLevel().Send(error);
        // Unless it is finished.
        stream->Finish(*given_up);
      };
      if (tasks_.Spawn(serve(registry_, stream, audit), on_exit)) return;
      not_begun = Answers::Of(loop_.context()).Refusal();
    } catch (...) {
      not_begun = *given_up;
      Guarded([&] { not_begun = AnswerToException(); });
    }
    stream->Finish(not_begun);
  });
  return stream.get();
}

}  // namespace portreeve::server
