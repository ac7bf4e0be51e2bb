// ControlPlane: the gRPC server of the daemon.
#ifndef PORTREEVE_SERVER_CONTROL_PLANE_H_
#define PORTREEVE_SERVER_CONTROL_PLANE_H_

#include <grpcpp/server.h>

#include <chrono>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/address.h"
#include "lib/time_source.h"
#include "server/control_address.h"
#include "server/tls_credentials.h"
#include "server/tls_files.h"

namespace portreeve::server {

// Serves on every control address from Start() on, with health and reflection.
// Threads: one, and never the loop's, which Stop() waits for.
class ControlPlane {
 public:
  // What a client may send in one message.
  static constexpr int kMaxRequestBytes = 1024 * 1024;
  // What a stream takes from its client ahead of being read; with what gRPC
  // adds, a stream that is not read holds up to twice as much.  More than one
  // of the daemon's own frames: with less, a client that echoes them waits in
  // the middle of each, and both sides wake twice for it.
  static constexpr int kStreamWindowBytes = 96 * 1024;
  // The most of a message that clients send in one frame of HTTP/2; not the
  // 16 KiB of its default, each with a header that bulk is cut up by.
  static constexpr int kMaxHttp2FrameBytes = 256 * 1024;
  // How long TLS and HTTP/2 may take to begin.
  static constexpr std::chrono::seconds kHandshakeTimeout{20};
  // A connection that is silent for this long is asked for a sign of life...
  static constexpr std::chrono::seconds kKeepaliveTime{30};
  // ... and closed when there is none.
  static constexpr std::chrono::seconds kKeepaliveTimeout{10};

  // Binds all of `addresses`, or none.  Those of TCP speak TLS, if there is
  // `tls`; unix sockets never do.  Changes the umask for a moment: no other
  // thread may be creating files.  `services` outlive it.  Errors, each with
  // the flag that is wrong: those of ControlEndpoint and TlsCredentials;
  // UNAVAILABLE where gRPC does not say what is wrong.
  static absl::StatusOr<std::unique_ptr<ControlPlane>> Start(
      const std::vector<AnyAddress>& addresses,
      const std::vector<grpc::Service*>& services,
      const std::optional<TlsFiles>& tls);

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
  ControlPlane(std::vector<ControlEndpoint> endpoints,
               std::shared_ptr<TlsCredentials> tls)
      : endpoints_(std::move(endpoints)), tls_(std::move(tls)) {}

  absl::Status Serve(const std::vector<grpc::Service*>& services);

  std::vector<ControlEndpoint> endpoints_;
  const std::shared_ptr<TlsCredentials> tls_;  // Null: without.
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CONTROL_PLANE_H_
