#include "server/calls/daemon_service.h"

#include <utility>

#include "server/api/convert.h"
#include "server/calls/unary.h"

namespace portreeve::server {

DaemonService::DaemonService(Loop& loop, Gate& gate,
                             std::function<v1::Daemon()> describe,
                             std::function<void(UpgradeCall)> upgrade)
    : UnaryService(loop.context(), gate),
      loop_(loop),
      gate_(gate),
      describe_(std::move(describe)),
      upgrade_(std::move(upgrade)) {
  ServeUnary("GetDaemon", &DaemonService::GetDaemon);
  ServeUnary("UpgradeDaemon", &DaemonService::UpgradeDaemon);
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

grpc::ServerUnaryReactor* DaemonService::UpgradeDaemon(
    grpc::CallbackServerContext* context,
    const v1::UpgradeDaemonRequest* request, v1::Daemon* response) {
  auto caller = gate_.Admit(*context, "UpgradeDaemon");
  if (!caller.ok()) return Answer(context, caller.status());
  UpgradeCall call;
  call.validate_only = request->validate_only();
  if (request->has_drain_timeout()) {
    const auto drain = FromProto(request->drain_timeout(), "drain_timeout",
                                 DurationRange::kNotNegative);
    if (!drain.ok()) {
      if (!call.validate_only) gate_.Audit(*caller, "", drain.status());
      return Answer(context, drain.status());
    }
    call.drain_timeout = *drain;
  }
  auto audit = gate_.Auditor(*std::move(caller));
  auto begin = [this, response, call = std::move(call),
                audit = std::move(audit)](const SharedAnswer& answer) mutable {
    answer->Stay();
    call.answer = [answer, response, audit, validates = call.validate_only](
                      absl::StatusOr<v1::Daemon> daemon) {
      if (!validates) audit("", daemon.status());
      answer->GiveBy([&] { return Put(std::move(daemon), response); });
    };
    upgrade_(std::move(call));
  };
  return AnswerLater(loop_.context(), context, response, std::move(begin));
}

}  // namespace portreeve::server
