#include "server/calls/daemon_service.h"

#include <utility>

#include "server/calls/unary.h"

namespace portreeve::server {

DaemonService::DaemonService(Loop& loop, Gate& gate,
                             std::function<v1::Daemon()> describe)
    : UnaryService(loop.context(), gate),
      loop_(loop),
      gate_(gate),
      describe_(std::move(describe)) {
  ServeUnary("GetDaemon", &DaemonService::GetDaemon);
}

grpc::ServerUnaryReactor* DaemonService::GetDaemon(
    grpc::CallbackServerContext* context, const v1::GetDaemonRequest*,
    v1::Daemon* response) {
  const auto caller = gate_.Admit(*context, "GetDaemon");
  if (!caller.ok()) return Answer(context, caller.status());
  auto work = [this, response] {
    *response = describe_();
    return absl::OkStatus();
  };
  return AnswerOnLoop(loop_.context(), context, response, std::move(work));
}

}  // namespace portreeve::server
