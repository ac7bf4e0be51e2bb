#include "server/calls/handler_service.h"

#include <memory>
#include <string>
#include <utility>

#include "server/calls/handle_stream.h"
#include "server/calls/refused_stream.h"

namespace portreeve::server {

HandlerService::Stream* HandlerService::Handle(
    grpc::CallbackServerContext* context) {
  auto caller = gate_.Admit(*context, "Handle");
  if (!caller.ok()) return new RefusedStream(*context, caller.status());
  auto audit = [this, caller = *std::move(caller)](const std::string& name,
                                                   const absl::Status& status) {
    gate_.Audit(caller, name, status);
  };
  auto on_done = [this](CallStream* stream) { streams_.Remove(stream); };
  auto stream = std::make_shared<HandleStream>(
      loop_, *context, registry_, std::move(audit), std::move(on_done));
  loop_.Post([this, stream] {
    if (streams_.Add(stream)) stream->Start();
  });
  return stream.get();
}

}  // namespace portreeve::server
