// ListenerService of portreeve.v1.
#ifndef PORTREEVE_SERVER_CALLS_LISTENER_SERVICE_H_
#define PORTREEVE_SERVER_CALLS_LISTENER_SERVICE_H_

#include <string>

#include "lib/base/loop.h"
#include "portreeve/v1/listener.grpc.pb.h"
#include "server/access/gate.h"
#include "server/calls/unary_service.h"
#include "server/registry/registry.h"

namespace portreeve::server {

// Checks requests on gRPC's threads and does the work on the loop.
// Lifetime: `loop`, `registry` and `gate` outlive every call.
class ListenerService final
    : public UnaryService<v1::ListenerService::CallbackService> {
 public:
  ListenerService(Loop& loop, Registry& registry, Gate& gate);

 private:
  using Context = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;

  // The methods of the service, whose names the generated code has for others.
  Reactor* Create(Context* context, const v1::CreateListenerRequest* request,
                  EncodedListener* response);
  Reactor* Get(Context* context, const v1::GetListenerRequest* request,
               EncodedListener* response);
  Reactor* List(Context* context, const v1::ListListenersRequest* request,
                EncodedPage<v1::ListListenersResponse>* response);
  Reactor* Update(Context* context, const v1::UpdateListenerRequest* request,
                  EncodedListener* response);
  Reactor* Close(Context* context, const v1::CloseListenerRequest* request,
                 EncodedListener* response);
  Reactor* AskIsClosed(Context* context, const v1::IsClosedRequest* request,
                       v1::IsClosedResponse* response);
  Reactor* AwaitCloseFinished(Context* context,
                              const v1::CloseFinishedRequest* request,
                              v1::CloseFinishedResponse* response);
  Reactor* Delete(Context* context, const v1::DeleteListenerRequest* request,
                  google::protobuf::Empty* response);

  // Audits `status`, a refusal to change `name`, and answers with it.
  Reactor* Refuse(Context* context, const Caller& caller,
                  const std::string& name, const absl::Status& status);

  Loop& loop_;
  Registry& registry_;
  Gate& gate_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_LISTENER_SERVICE_H_
