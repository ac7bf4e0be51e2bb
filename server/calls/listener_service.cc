#include "server/calls/listener_service.h"

#include <string>
#include <utility>

#include "server/api/convert.h"
#include "server/api/listener_draft.h"
#include "server/api/names.h"
#include "server/api/spec.h"
#include "server/calls/page_response.h"
#include "server/calls/unary.h"

namespace grpc {

template <>
class SerializationTraits<portreeve::server::EncodedListener> {
 public:
  static Status Serialize(const portreeve::server::EncodedListener& listener,
                          ByteBuffer* buffer, bool* own_buffer) {
    const Slice bytes(listener.bytes);
    *buffer = ByteBuffer(&bytes, 1);
    *own_buffer = true;
    return Status::OK;
  }
};

}  // namespace grpc

namespace portreeve::server {
namespace {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

// Empty where the daemon is to choose.
std::string NameAskedFor(const v1::CreateListenerRequest& request) {
  return request.listener_id().empty() ? ""
                                       : ListenerName(request.listener_id());
}

}  // namespace

ListenerService::ListenerService(Loop& loop, Registry& registry, Gate& gate)
    : UnaryService(loop.context(), gate),
      loop_(loop),
      registry_(registry),
      gate_(gate) {
  ServeUnary("CreateListener", &ListenerService::Create);
  ServeUnary("GetListener", &ListenerService::Get);
  ServeUnary("ListListeners", &ListenerService::List);
  ServeUnary("UpdateListener", &ListenerService::Update);
  ServeUnary("CloseListener", &ListenerService::Close);
  ServeUnary("IsClosed", &ListenerService::AskIsClosed);
  ServeUnary("CloseFinished", &ListenerService::AwaitCloseFinished);
  ServeUnary("DeleteListener", &ListenerService::Delete);
}

ServerUnaryReactor* ListenerService::Refuse(CallbackServerContext* context,
                                            const Caller& caller,
                                            const std::string& name,
                                            const absl::Status& status) {
  gate_.Audit(caller, name, status);
  return Answer(context, status);
}

ServerUnaryReactor* ListenerService::Create(
    CallbackServerContext* context, const v1::CreateListenerRequest* request,
    EncodedListener* response) {
  const auto caller = gate_.Admit(*context, "CreateListener");
  if (!caller.ok()) return Answer(context, caller.status());
  auto draft = CheckCreate(*request);
  if (!draft.ok()) {
    if (request->validate_only()) return Answer(context, draft.status());
    return Refuse(context, *caller, NameAskedFor(*request), draft.status());
  }
  draft->caller = caller->identity;
  auto begin = [this, caller = *caller, draft = *std::move(draft), request,
                response](const SharedAnswer& answer) mutable {
    auto then = [this, caller, request, response,
                 answer](absl::StatusOr<EncodedListener> listener) {
      answer->GiveBy([&] {
        const absl::Status status = Put(std::move(listener), response);
        if (!request->validate_only()) {
          gate_.Audit(caller,
                      status.ok() ? response->name : NameAskedFor(*request),
                      status);
        }
        return status;
      });
    };
    registry_.Create(std::move(draft), std::move(then));
  };
  return AnswerLater(loop_.context(), context, response, std::move(begin));
}

ServerUnaryReactor* ListenerService::Get(CallbackServerContext* context,
                                         const v1::GetListenerRequest* request,
                                         EncodedListener* response) {
  const auto caller = gate_.Admit(*context, "GetListener");
  if (!caller.ok()) return Answer(context, caller.status());
  auto id = ParseListenerName(request->name(), "name");
  if (!id.ok()) return Answer(context, id.status());
  auto work = [this, id = *std::move(id), response] {
    return Put(registry_.Get(id), response);
  };
  return AnswerOnLoop(loop_.context(), context, response, std::move(work));
}

ServerUnaryReactor* ListenerService::List(
    CallbackServerContext* context, const v1::ListListenersRequest* request,
    EncodedPage<v1::ListListenersResponse>* response) {
  const auto caller = gate_.Admit(*context, "ListListeners");
  if (!caller.ok()) return Answer(context, caller.status());
  auto work = [this, request, response] {
    return Put(registry_.List(*request), response);
  };
  return AnswerPageOnLoop(loop_.context(), context, response, std::move(work));
}

ServerUnaryReactor* ListenerService::Update(
    CallbackServerContext* context, const v1::UpdateListenerRequest* request,
    EncodedListener* response) {
  const auto caller = gate_.Admit(*context, "UpdateListener");
  if (!caller.ok()) return Answer(context, caller.status());
  const std::string& name = request->listener().name();
  auto refuse = [&](const absl::Status& status) {
    return request->validate_only() ? Answer(context, status)
                                    : Refuse(context, *caller, name, status);
  };
  auto id = ParseListenerName(name, "listener.name");
  if (!id.ok()) return refuse(id.status());
  if (auto s = CheckUpdateMask(request->update_mask()); !s.ok()) {
    return refuse(s);
  }
  auto begin = [this, caller = *caller, id = *std::move(id), request,
                response](const SharedAnswer& answer) {
    auto then = [this, caller, request, response,
                 answer](absl::StatusOr<EncodedListener> listener) {
      answer->GiveBy([&] {
        const absl::Status status = Put(std::move(listener), response);
        if (!request->validate_only()) {
          gate_.Audit(caller, request->listener().name(), status);
        }
        return status;
      });
    };
    registry_.Update(id, *request, std::move(then));
  };
  return AnswerLater(loop_.context(), context, response, std::move(begin));
}

ServerUnaryReactor* ListenerService::Close(
    CallbackServerContext* context, const v1::CloseListenerRequest* request,
    EncodedListener* response) {
  const auto caller = gate_.Admit(*context, "CloseListener");
  if (!caller.ok()) return Answer(context, caller.status());
  const std::string& name = request->name();
  auto id = ParseListenerName(name, "name");
  if (!id.ok()) return Refuse(context, *caller, name, id.status());
  const auto existing = FromProto(request->existing_connections());
  if (!existing.ok()) return Refuse(context, *caller, name, existing.status());
  const auto wait_for = CheckWaitFor(request->wait_for());
  if (!wait_for.ok()) return Refuse(context, *caller, name, wait_for.status());
  auto begin = [this, caller = *caller, id = *std::move(id),
                existing = *existing, wait_for = *wait_for] {
    auto closing = registry_.Close(id, existing, wait_for);
    // Before the wait, which may be long and need not end.
    gate_.Audit(caller, ListenerName(id), closing.status());
    return closing;
  };
  return AnswerWhen(loop_.context(), context, response, response,
                    std::move(begin));
}

ServerUnaryReactor* ListenerService::AskIsClosed(
    CallbackServerContext* context, const v1::IsClosedRequest* request,
    v1::IsClosedResponse* response) {
  const auto caller = gate_.Admit(*context, "IsClosed");
  if (!caller.ok()) return Answer(context, caller.status());
  auto id = ParseListenerName(request->name(), "name");
  if (!id.ok()) return Answer(context, id.status());
  auto work = [this, id = *std::move(id), response] {
    const auto is_closed = registry_.IsClosed(id);
    if (is_closed.ok()) response->set_is_closed(*is_closed);
    return is_closed.status();
  };
  return AnswerOnLoop(loop_.context(), context, response, std::move(work));
}

ServerUnaryReactor* ListenerService::AwaitCloseFinished(
    CallbackServerContext* context, const v1::CloseFinishedRequest* request,
    v1::CloseFinishedResponse* response) {
  const auto caller = gate_.Admit(*context, "CloseFinished");
  if (!caller.ok()) return Answer(context, caller.status());
  auto id = ParseListenerName(request->name(), "name");
  if (!id.ok()) return Answer(context, id.status());
  const auto wait_for = CheckWaitFor(request->wait_for());
  if (!wait_for.ok()) return Answer(context, wait_for.status());
  auto begin = [this, id = *std::move(id), wait_for = *wait_for] {
    return registry_.CloseFinished(id, wait_for);
  };
  return AnswerWhen(loop_.context(), context, response,
                    response->mutable_listener(), std::move(begin));
}

ServerUnaryReactor* ListenerService::Delete(
    CallbackServerContext* context, const v1::DeleteListenerRequest* request,
    google::protobuf::Empty* response) {
  const auto caller = gate_.Admit(*context, "DeleteListener");
  if (!caller.ok()) return Answer(context, caller.status());
  auto id = ParseListenerName(request->name(), "name");
  if (!id.ok()) return Refuse(context, *caller, request->name(), id.status());
  auto begin = [this, caller = *caller,
                id = *std::move(id)](const SharedAnswer& answer) {
    auto then = [this, caller, id,
                 answer](const absl::StatusOr<google::protobuf::Empty>& done) {
      answer->GiveBy([&] {
        gate_.Audit(caller, ListenerName(id), done.status());
        return done.status();
      });
    };
    registry_.Delete(id, std::move(then));
  };
  return AnswerLater(loop_.context(), context, response, std::move(begin));
}

}  // namespace portreeve::server
