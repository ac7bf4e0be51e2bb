#include "server/calls/handler_service.h"

#include <memory>
#include <utility>

#include "server/calls/handle_stream.h"
#include "server/calls/refused_stream.h"

namespace portreeve::server {

HandlerService::Stream* HandlerService::Handle(
    grpc::CallbackServerContext* context) {
  auto caller = gate_.Admit(*context, "Handle");
  if (!caller.ok()) return new RefusedStream<Stream>(*context, caller.status());
  auto on_done = [this](CallStream* stream) { streams_.Remove(stream); };
  auto stream = std::make_shared<HandleStream>(
      loop_, *context, registry_, gate_.Auditor(*std::move(caller)),
      std::move(on_done));
  loop_.Post([this, stream] {
    if (streams_.Add(stream)) stream->Start();
  });
  return stream.get();
}

}  // namespace portreeve::server
