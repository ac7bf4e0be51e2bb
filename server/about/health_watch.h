// HealthWatch: one Watch call of grpc.health.v1.Health.
#ifndef PORTREEVE_SERVER_ABOUT_HEALTH_WATCH_H_
#define PORTREEVE_SERVER_ABOUT_HEALTH_WATCH_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <functional>
#include <optional>
#include <string>

#include "grpc/health/v1/health.pb.h"
#include "lib/base/loop.h"
#include "server/calls/open_calls.h"

namespace portreeve::server {

// Tells the client a status, and each that differs from the one before; what a
// client that does not read has missed it is not told.
//
// Threads: loop thread only, but for gRPC's reactions, which post there.
// Lifetime: the owner keeps it until `on_done`, which is called on the loop
// once gRPC has let go of it.
class HealthWatch final
    : public grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>,
      public OpenCall {
 public:
  using Status = grpc::health::v1::HealthCheckResponse::ServingStatus;

  HealthWatch(Loop& loop, const grpc::CallbackServerContext& context,
              std::string service, std::function<void(HealthWatch*)> on_done);

  // The service that is asked about.
  const std::string& service() const { return service_; }

  void Tell(Status status);

  // Ends it with OK, after what was told.
  void CloseForShutdown() override;

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void Pump();

  Loop& loop_;
  const grpc::CallbackServerContext& context_;  // Until OnDone().
  const std::string service_;
  const std::function<void(HealthWatch*)> on_done_;
  grpc::health::v1::HealthCheckResponse response_;  // gRPC reads it meanwhile.
  bool writing_ = false;
  bool ending_ = false;
  bool finished_ = false;
  std::optional<Status> to_tell_;
  std::optional<Status> told_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_ABOUT_HEALTH_WATCH_H_
