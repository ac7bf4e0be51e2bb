#include "server/handler_service.h"

#include "server/errors.h"
#include "server/refused_stream.h"

namespace portreeve::server {

HandlerService::Stream* HandlerService::Handle(grpc::CallbackServerContext*) {
  return new RefusedStream<v1::HandleRequest, v1::HandleResponse>(
      NotImplemented("Handle"));
}

}  // namespace portreeve::server
