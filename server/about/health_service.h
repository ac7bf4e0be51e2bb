// HealthService: grpc.health.v1.Health, for the daemon and for each of its
// services.
#ifndef PORTREEVE_SERVER_ABOUT_HEALTH_SERVICE_H_
#define PORTREEVE_SERVER_ABOUT_HEALTH_SERVICE_H_

#include <set>
#include <string>

#include "grpc/health/v1/health.grpc.pb.h"
#include "lib/base/deferred.h"
#include "lib/base/loop.h"
#include "server/about/health_watch.h"
#include "server/calls/open_calls.h"

namespace portreeve::server {

// Knows the names of services and "", the daemon, which are all SERVING until
// AnnounceShutdown(), and NOT_SERVING from then on, or while SetServing() says
// so.  Check() of another name is
// NOT_FOUND, Watch() tells SERVICE_UNKNOWN and goes on.  A loop that hangs does
// not answer, which is as it should be.
//
// Threads: the methods are gRPC's; the others: loop thread.
// Lifetime: `loop` outlives it.  Destroy it when the gRPC server is shut down
// and the loop has run dry.
class HealthService final : public grpc::health::v1::Health::CallbackService {
 public:
  HealthService(Loop& loop, std::set<std::string> services);

  grpc::ServerUnaryReactor* Check(
      grpc::CallbackServerContext* context,
      const grpc::health::v1::HealthCheckRequest* request,
      grpc::health::v1::HealthCheckResponse* response) override;
  grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext* context,
      const grpc::health::v1::HealthCheckRequest* request) override;

  void AnnounceShutdown();

  // Makes a service, one of those that are known, NOT_SERVING by itself, or not
  // any more.
  void SetServing(const std::string& service, bool serving);

  // Ends the watches with OK and refuses later ones.  Determined when none is
  // left.  Idempotent.
  Deferred<> EndStreams() { return calls_.End(); }

 private:
  HealthWatch::Status StatusOf(const std::string& service) const;
  void TellAll();

  Loop& loop_;
  const std::set<std::string> services_;
  bool serving_ = true;
  std::set<std::string> not_serving_;
  std::set<HealthWatch*> watches_;
  OpenCalls calls_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_ABOUT_HEALTH_SERVICE_H_
