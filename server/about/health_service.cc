#include "server/about/health_service.h"

#include <memory>
#include <utility>

#include "server/api/errors.h"
#include "server/calls/unary.h"

namespace portreeve::server {
namespace {

using grpc::CallbackServerContext;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

}  // namespace

HealthService::HealthService(Loop& loop, std::set<std::string> services)
    : loop_(loop), services_(std::move(services)), calls_(loop.executor()) {}

HealthWatch::Status HealthService::StatusOf(const std::string& service) const {
  if (!service.empty() && services_.count(service) == 0) {
    return HealthCheckResponse::SERVICE_UNKNOWN;
  }
  return serving_ && not_serving_.count(service) == 0
             ? HealthCheckResponse::SERVING
             : HealthCheckResponse::NOT_SERVING;
}

grpc::ServerUnaryReactor* HealthService::Check(
    CallbackServerContext* context, const HealthCheckRequest* request,
    HealthCheckResponse* response) {
  auto work = [this, request, response]() -> absl::Status {
    const HealthWatch::Status status = StatusOf(request->service());
    if (status == HealthCheckResponse::SERVICE_UNKNOWN) {
      return NotFound(request->service());
    }
    response->set_status(status);
    return absl::OkStatus();
  };
  return AnswerOnLoop(loop_.context(), context, response, std::move(work));
}

grpc::ServerWriteReactor<HealthCheckResponse>* HealthService::Watch(
    CallbackServerContext* context, const HealthCheckRequest* request) {
  auto on_done = [this](HealthWatch* watch) {
    watches_.erase(watch);
    calls_.Remove(watch);
  };
  auto watch = std::make_shared<HealthWatch>(
      loop_, *context, request->service(), std::move(on_done));
  loop_.Post([this, watch] {
    if (!calls_.Add(watch)) return;
    try {
      watches_.insert(watch.get());
      watch->Tell(StatusOf(watch->service()));
    } catch (...) {
      watch->CloseForShutdown();
    }
  });
  return watch.get();
}

void HealthService::AnnounceShutdown() {
  serving_ = false;
  TellAll();
}

void HealthService::SetServing(const std::string& service, bool serving) {
  if (serving) {
    not_serving_.erase(service);
  } else {
    not_serving_.insert(service);
  }
  TellAll();
}

void HealthService::TellAll() {
  for (HealthWatch* const watch : watches_) {
    watch->Tell(StatusOf(watch->service()));
  }
}

}  // namespace portreeve::server
