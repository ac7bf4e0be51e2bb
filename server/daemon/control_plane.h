// ControlPlane: the gRPC server of the daemon.
#ifndef PORTREEVE_SERVER_DAEMON_CONTROL_PLANE_H_
#define PORTREEVE_SERVER_DAEMON_CONTROL_PLANE_H_

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"
#include "lib/base/loop.h"
#include "lib/base/mutex.h"
#include "lib/base/time_source.h"
#include "lib/net/address.h"
#include "lib/serve/listening_socket.h"
#include "server/control/control_acceptor.h"
#include "server/control/control_calls.h"
#include "server/control/control_connection.h"
#include "server/control/control_memory.h"
#include "server/control/control_table.h"
#include "server/control/request_counts.h"
#include "server/daemon/tls_credentials.h"
#include "server/daemon/tls_source.h"

namespace portreeve::server {

// Serves on every control address from Start() on.  Connections are accepted on
// the loop and handed to gRPC, which listens on nothing by itself.
// Threads: one, and never the loop's, since all methods wait for that.
class ControlPlane {
 public:
  // The most that a client may send in one message.
  static constexpr int kMaxRequestBytes = 1024 * 1024;
  // How much a stream takes from its client ahead of being read; with what gRPC
  // adds, a stream that nobody reads holds up to twice as much.  It is more
  // than one of the daemon's own frames: with less, a client that echoes them
  // waits in the middle of each, and both sides wake twice for it.
  static constexpr int kStreamWindowBytes = 96 * 1024;
  // The most that gRPC reads of a connection at a time.
  static constexpr int kReadBytes = 8 * 1024;
  // The most of a message that clients send in one frame of HTTP/2.  With
  // HTTP/2's default of 16 KiB, more headers would cut bulk up.
  static constexpr int kMaxHttp2FrameBytes = 256 * 1024;
  // How long a connection may be silent before it is asked for a sign of life.
  static constexpr std::chrono::seconds kKeepaliveTime{30};
  // How long that may take to come before the connection is closed.
  static constexpr std::chrono::seconds kKeepaliveTimeout{10};

  struct Options {
    std::vector<ControlPlace> places;
    std::shared_ptr<TlsSource> tls;  // Null: without TLS.
    ControlAcceptor::Limits limits;
    // The bytes that the process may take beyond what `accounted` gives, which
    // is called on the loop.
    int64_t max_memory = 192 << 20;
    ControlMemory::Accounted accounted;
    // Counts what clients are answered, and has to outlive the plane; null:
    // nobody does.
    RequestCounts* requests = nullptr;
    // Called with the addresses before anybody can call the daemon; its error
    // ends the start.
    std::function<absl::Status(const std::vector<AnyAddress>&)> on_bound;
  };

  // Binds all of the addresses, or none.  Those of TCP speak TLS, if there is
  // `tls`; unix sockets never do.  `given` has sockets that listen already, by
  // their place in Options::places; the plane's end leaves
  // them to those who have copies.  `services` and the loop, which must run,
  // must outlive it.
  // Errors, each with the flag that is wrong: those of ListeningSocket::Open();
  // UNAVAILABLE where gRPC does not say what is wrong.
  static absl::StatusOr<std::unique_ptr<ControlPlane>> Start(
      Loop& loop, const std::vector<grpc::Service*>& services,
      const Options& options, std::map<size_t, Descriptor> given = {});

  // Makes the server, which listens nowhere until Listen(); `on_bound` is not
  // called.  Errors: UNAVAILABLE.
  static absl::StatusOr<std::unique_ptr<ControlPlane>> Prepare(
      Loop& loop, const std::vector<grpc::Service*>& services,
      const Options& options);

  // These are called while the loop stands still, as if on it.

  // Listens at all `places`, on those of the daemon's former process that are
  // `handed`, by their place, where nobody is accepted before Own().
  // Errors: those of Start().
  absl::Status ListenFrozen(const std::vector<ControlPlace>& places,
                            std::map<size_t, HandedSocket> handed);
  std::vector<AnyAddress> frozen_addresses() const;
  // As ControlAcceptor has it; on the loop, or while that stands still.
  void Expect(ControlConnection::Expected expected);
  // As ControlAcceptor has them.
  std::vector<FrozenListeningSocket> Freeze() const;
  void HandOverSockets();
  void Own();

  ControlPlane(const ControlPlane&) = delete;
  ControlPlane& operator=(const ControlPlane&) = delete;
  ~ControlPlane();  // Calls Stop() without patience.

  // Gives the addresses as bound, in the order of Options::places.
  std::vector<AnyAddress> addresses() const;  // Call it before Stop().

  // Takes no more calls; those that run have `patience` to end, and are then
  // cancelled.  It returns when there are none.  Idempotent.
  void Stop(Duration patience);
  // Has Stop() wait no longer, which may be under way on another thread:
  // cancels the calls that are left.
  // Threads: any.
  void CancelCalls();

 private:
  ControlPlane(Loop& loop, const Options& options);

  absl::Status Listen(const std::vector<ControlPlace>& places,
                      std::map<size_t, Descriptor> given);
  absl::Status Serve(const std::vector<grpc::Service*>& services,
                     const Options& options);
  absl::Status StartAccepting();
  // Does HandOver() on a thread of gRPC's, which may be busy with what the
  // client sends for as long as it sends.
  void HandOverSoon(int fd, bool is_unix);
  void HandOver(int fd, bool is_unix);
  void AwaitHandOvers();

  Loop& loop_;
  ControlTable table_;
  const std::shared_ptr<TlsCredentials> tls_;  // Null: without TLS.
  UnknownMethods unknown_methods_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> secure_;
  std::unique_ptr<grpc::Server> server_;
  Mutex mutex_;
  CondVar handed_over_;
  int num_to_hand_over_ PORTREEVE_GUARDED_BY(mutex_) = 0;
  // While Stop() waits; and whether that has to be short.
  grpc_server* stopping_ PORTREEVE_GUARDED_BY(mutex_) = nullptr;
  bool hurries_ PORTREEVE_GUARDED_BY(mutex_) = false;
  // These two: loop thread only; null once the plane is stopped.
  std::unique_ptr<ControlMemory> memory_;
  std::unique_ptr<ControlAcceptor> acceptor_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_CONTROL_PLANE_H_
