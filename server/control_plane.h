// ControlPlane: the gRPC server of the daemon.
#ifndef PORTREEVE_SERVER_CONTROL_PLANE_H_
#define PORTREEVE_SERVER_CONTROL_PLANE_H_

#include <grpcpp/server.h>

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/address.h"
#include "lib/time_source.h"
#include "server/control_address.h"

namespace portreeve::server {

// Serves on every control address from Start() on, with health and reflection.
// Threads: one, and never the loop's, which Stop() waits for.
class ControlPlane {
 public:
  // What a client may send in one message.
  static constexpr int kMaxRequestBytes = 1024 * 1024;

  // Binds all of `addresses`, or none.  Changes the umask for a moment: no
  // other thread may be creating files.  `services` outlive it.  Errors: those
  // of ControlEndpoint; UNAVAILABLE where gRPC does not say what is wrong.
  static absl::StatusOr<std::unique_ptr<ControlPlane>> Start(
      const std::vector<AnyAddress>& addresses,
      const std::vector<grpc::Service*>& services);

  ControlPlane(const ControlPlane&) = delete;
  ControlPlane& operator=(const ControlPlane&) = delete;
  ~ControlPlane();  // Stop() without patience.

  // As bound, in the order of the call of Start().
  std::vector<AnyAddress> addresses() const;

  // Health turns NOT_SERVING; calls go on.
  void AnnounceShutdown();

  // Takes no more calls; those that run have `patience` to end, then they are
  // cancelled.  Returns when there is none.  Idempotent.
  void Stop(Duration patience);

 private:
  explicit ControlPlane(std::vector<ControlEndpoint> endpoints)
      : endpoints_(std::move(endpoints)) {}

  absl::Status Serve(const std::vector<grpc::Service*>& services);

  std::vector<ControlEndpoint> endpoints_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CONTROL_PLANE_H_
