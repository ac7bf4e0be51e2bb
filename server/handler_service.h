// HandlerService of portreeve.v1.
#ifndef PORTREEVE_SERVER_HANDLER_SERVICE_H_
#define PORTREEVE_SERVER_HANDLER_SERVICE_H_

#include "portreeve/v1/handler.grpc.pb.h"

namespace portreeve::server {

// UNIMPLEMENTED in this release.
class HandlerService final : public v1::HandlerService::CallbackService {
 public:
  using Stream = grpc::ServerBidiReactor<v1::HandleRequest, v1::HandleResponse>;

  Stream* Handle(grpc::CallbackServerContext* context) override;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HANDLER_SERVICE_H_
