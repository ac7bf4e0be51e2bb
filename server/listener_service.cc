#include "server/listener_service.h"

#include <utility>

#include "server/convert.h"
#include "server/listener_draft.h"
#include "server/names.h"
#include "server/spec.h"
#include "server/unary.h"

namespace portreeve::server {
namespace {

using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

// Moves a result into its place.
template <typename T>
absl::Status Put(absl::StatusOr<T> result, T* place) {
  if (result.ok()) *place = *std::move(result);
  return result.status();
}

// A wait whose end puts the answer into `place`.
absl::StatusOr<WaitReactor::Wait> ToWait(
    absl::StatusOr<Awaited<v1::Listener>> awaited, v1::Listener* place) {
  if (!awaited.ok()) return awaited.status();
  auto respond = [place, describe = std::move(awaited->describe)] {
    *place = describe();
  };
  return WaitReactor::Wait{std::move(awaited->until), std::move(respond)};
}

}  // namespace

ServerUnaryReactor* ListenerService::CreateListener(
    CallbackServerContext* context, const v1::CreateListenerRequest* request,
    v1::Listener* response) {
  auto draft = CheckCreate(*request);
  if (!draft.ok()) return Answer(context, draft.status());
  auto work = [this, draft = *std::move(draft), response] {
    return Put(registry_.Create(draft), response);
  };
  return AnswerOnLoop(context, loop_, std::move(work));
}

ServerUnaryReactor* ListenerService::GetListener(
    CallbackServerContext* context, const v1::GetListenerRequest* request,
    v1::Listener* response) {
  auto id = ParseListenerName(request->name(), "name");
  if (!id.ok()) return Answer(context, id.status());
  auto work = [this, id = *std::move(id), response] {
    return Put(registry_.Get(id), response);
  };
  return AnswerOnLoop(context, loop_, std::move(work));
}

ServerUnaryReactor* ListenerService::ListListeners(
    CallbackServerContext* context, const v1::ListListenersRequest* request,
    v1::ListListenersResponse* response) {
  auto work = [this, request, response] {
    return Put(registry_.List(*request), response);
  };
  return AnswerOnLoop(context, loop_, std::move(work));
}

ServerUnaryReactor* ListenerService::UpdateListener(
    CallbackServerContext* context, const v1::UpdateListenerRequest* request,
    v1::Listener* response) {
  auto id = ParseListenerName(request->listener().name(), "listener.name");
  if (!id.ok()) return Answer(context, id.status());
  if (auto s = CheckUpdateMask(request->update_mask()); !s.ok()) {
    return Answer(context, s);
  }
  auto work = [this, id = *std::move(id), request, response] {
    return Put(registry_.Update(id, *request), response);
  };
  return AnswerOnLoop(context, loop_, std::move(work));
}

ServerUnaryReactor* ListenerService::CloseListener(
    CallbackServerContext* context, const v1::CloseListenerRequest* request,
    v1::Listener* response) {
  auto id = ParseListenerName(request->name(), "name");
  if (!id.ok()) return Answer(context, id.status());
  const auto existing = FromProto(request->existing_connections());
  if (!existing.ok()) return Answer(context, existing.status());
  const auto wait_for = CheckWaitFor(request->wait_for());
  if (!wait_for.ok()) return Answer(context, wait_for.status());
  auto begin = [this, id = *std::move(id), existing = *existing,
                wait_for = *wait_for, response] {
    return ToWait(registry_.Close(id, existing, wait_for), response);
  };
  return WaitReactor::Start(loop_, std::move(begin));
}

ServerUnaryReactor* ListenerService::IsClosed(
    CallbackServerContext* context, const v1::IsClosedRequest* request,
    v1::IsClosedResponse* response) {
  auto id = ParseListenerName(request->name(), "name");
  if (!id.ok()) return Answer(context, id.status());
  auto work = [this, id = *std::move(id), response] {
    const auto is_closed = registry_.IsClosed(id);
    if (is_closed.ok()) response->set_is_closed(*is_closed);
    return is_closed.status();
  };
  return AnswerOnLoop(context, loop_, std::move(work));
}

ServerUnaryReactor* ListenerService::CloseFinished(
    CallbackServerContext* context, const v1::CloseFinishedRequest* request,
    v1::CloseFinishedResponse* response) {
  auto id = ParseListenerName(request->name(), "name");
  if (!id.ok()) return Answer(context, id.status());
  const auto wait_for = CheckWaitFor(request->wait_for());
  if (!wait_for.ok()) return Answer(context, wait_for.status());
  auto begin = [this, id = *std::move(id), wait_for = *wait_for, response] {
    return ToWait(registry_.CloseFinished(id, wait_for),
                  response->mutable_listener());
  };
  return WaitReactor::Start(loop_, std::move(begin));
}

ServerUnaryReactor* ListenerService::DeleteListener(
    CallbackServerContext* context, const v1::DeleteListenerRequest* request,
    google::protobuf::Empty*) {
  auto id = ParseListenerName(request->name(), "name");
  if (!id.ok()) return Answer(context, id.status());
  auto work = [this, id = *std::move(id)] { return registry_.Delete(id); };
  return AnswerOnLoop(context, loop_, std::move(work));
}

}  // namespace portreeve::server
