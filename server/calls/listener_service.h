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

  grpc::ServerUnaryReactor* CreateListener(
      grpc::CallbackServerContext* context,
      const v1::CreateListenerRequest* request,
      v1::Listener* response) override;
  grpc::ServerUnaryReactor* GetListener(grpc::CallbackServerContext* context,
                                        const v1::GetListenerRequest* request,
                                        v1::Listener* response) override;
  grpc::ServerUnaryReactor* ListListeners(
      grpc::CallbackServerContext* context,
      const v1::ListListenersRequest* request,
      v1::ListListenersResponse* response) override;
  grpc::ServerUnaryReactor* UpdateListener(
      grpc::CallbackServerContext* context,
      const v1::UpdateListenerRequest* request,
      v1::Listener* response) override;
  grpc::ServerUnaryReactor* CloseListener(
      grpc::CallbackServerContext* context,
      const v1::CloseListenerRequest* request, v1::Listener* response) override;
  grpc::ServerUnaryReactor* IsClosed(grpc::CallbackServerContext* context,
                                     const v1::IsClosedRequest* request,
                                     v1::IsClosedResponse* response) override;
  grpc::ServerUnaryReactor* CloseFinished(
      grpc::CallbackServerContext* context,
      const v1::CloseFinishedRequest* request,
      v1::CloseFinishedResponse* response) override;
  grpc::ServerUnaryReactor* DeleteListener(
      grpc::CallbackServerContext* context,
      const v1::DeleteListenerRequest* request,
      google::protobuf::Empty* response) override;

 private:
  // Audits `status`, a refusal to change `name`, and answers with it.
  grpc::ServerUnaryReactor* Refuse(grpc::CallbackServerContext* context,
                                   const Caller& caller,
                                   const std::string& name,
                                   const absl::Status& status);

  Loop& loop_;
  Registry& registry_;
  Gate& gate_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_LISTENER_SERVICE_H_
