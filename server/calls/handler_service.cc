#include "server/calls/handler_service.h"

#include <memory>
#include <utility>

#include "server/calls/handle_call.h"
#include "server/calls/refused_call.h"
#include "server/calls/unary.h"

namespace portreeve::server {

HandlerService::Stream* HandlerService::Handle(
    grpc::CallbackServerContext* context) {
  auto caller = gate_.Admit(*context, "Handle");
  if (!caller.ok()) return new RefusedCall<Stream>(*context, caller.status());
  auto on_done = [this](BidiCall* stream) { calls_.Remove(stream); };
  auto stream = std::make_shared<HandleCall>(loop_, *context, registry_,
                                             gate_.Auditor(*std::move(caller)),
                                             std::move(on_done));
  loop_.Post([this, stream] {
    try {
      if (calls_.Add(stream)) stream->Start();
    } catch (...) {
      stream->Close(AnswerToException());
    }
  });
  return stream.get();
}

}  // namespace portreeve::server
