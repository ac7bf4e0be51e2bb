// A client of a portreeved: each method is one RPC of the API in
// proto/portreeve/v1, which says what the method does, and its errors.
//
//   absl::StatusOr<Client> client = Client::ForAddress("tcp:127.0.0.1:50051");
//   if (!client.ok()) ...
//   absl::StatusOr<v1::Listener> listener = client->GetListener(
//       "listeners/web", {.timeout = absl::Seconds(30)});
//
// Every error is the daemon's code and text; DetailsOf (client/error.h) gives
// its reason.  UNAVAILABLE without a reason means that the daemon was not
// reached; see IsUnreachable.
//
// A call that an upgrade of the daemon has crossed, so that nothing was done
// (MOVED), is made once more, but for UpgradeDaemon and AttachOffered.  So is
// one that gRPC has ended with CANCELLED, as it may then, where it does no harm
// when it is done twice: all that read, wait or close, Handle and Attach, and
// CreateListener with a request_id.
#ifndef PORTREEVE_CLIENT_CLIENT_H_
#define PORTREEVE_CLIENT_CLIENT_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/call_options.h"
#include "client/stats_watch.h"
#include "client/stream.h"
#include "client/tls_options.h"
#include "client/watch.h"
#include "client/worker.h"
#include "portreeve/v1/connection.pb.h"
#include "portreeve/v1/daemon.pb.h"
#include "portreeve/v1/event.pb.h"
#include "portreeve/v1/handler.pb.h"
#include "portreeve/v1/listener.pb.h"
#include "portreeve/v1/stats.pb.h"

namespace portreeve::client {

// Threads: any, at the same time.  Every call blocks its thread until it is
// answered; one that waits for a close does so as long as the options let it.
class Client {
 public:
  // Gives a client that connects to nothing yet: its first call does, and fails
  // at once where nobody listens, after 10 s where nothing answers.  `address`
  // is `tcp:HOST:PORT`, `HOST:PORT` or `unix:/path`; a relative path counts
  // from the working directory.  Without `tls` the connection has no TLS; it
  // never goes through an HTTP proxy.
  //
  // Errors: INVALID_ARGUMENT for a malformed address, TlsOptions that do not go
  // together, or a file that is not what it should be; others for a file that
  // cannot be read.  They name the file.
  static absl::StatusOr<Client> ForAddress(
      const std::string& address,
      const std::optional<TlsOptions>& tls = std::nullopt);

  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  // No call may be under way; a Watch, a Stream or a Worker may.
  ~Client();

  absl::StatusOr<v1::Listener> CreateListener(
      const v1::CreateListenerRequest& request,
      const CallOptions& options = {});

  absl::StatusOr<v1::Listener> GetListener(const std::string& name,
                                           const CallOptions& options = {});

  // One page.
  absl::StatusOr<v1::ListListenersResponse> ListListeners(
      const v1::ListListenersRequest& request, const CallOptions& options = {});

  // Gives every page in one answer, with the revision of the first page and no
  // token.  The options hold for each page.  The error is INTERNAL without a
  // reason where the daemon's pages have no end.
  absl::StatusOr<v1::ListListenersResponse> ListAllListeners(
      const CallOptions& options = {});

  absl::StatusOr<v1::Listener> UpdateListener(
      const v1::UpdateListenerRequest& request,
      const CallOptions& options = {});

  // Waits as `request.wait_for` says; giving up undoes nothing.
  absl::StatusOr<v1::Listener> CloseListener(
      const v1::CloseListenerRequest& request, const CallOptions& options = {});

  // Gives whether the listener's close has begun.
  absl::StatusOr<bool> IsClosed(const std::string& name,
                                const CallOptions& options = {});

  // Waits until someone else closes the listener.
  absl::StatusOr<v1::Listener> CloseFinished(
      const v1::CloseFinishedRequest& request, const CallOptions& options = {});

  absl::StatusOr<v1::Daemon> GetDaemon(const CallOptions& options = {});

  absl::StatusOr<v1::Daemon> UpgradeDaemon(
      const v1::UpgradeDaemonRequest& request, const CallOptions& options = {});

  absl::Status DeleteListener(const std::string& name,
                              const CallOptions& options = {});

  // One page.
  absl::StatusOr<v1::ListConnectionsResponse> ListConnections(
      const v1::ListConnectionsRequest& request,
      const CallOptions& options = {});

  // Gives every page in one answer, without a token.  `listener` is a name, or
  // empty for all connections.  Options and errors are those of
  // ListAllListeners.
  absl::StatusOr<v1::ListConnectionsResponse> ListAllConnections(
      const std::string& listener, const CallOptions& options = {});

  absl::StatusOr<v1::Connection> GetConnection(const std::string& name,
                                               const CallOptions& options = {});

  // Does the same with all that may be asked for, like `tcp_info`.
  absl::StatusOr<v1::Connection> GetConnection(
      const v1::GetConnectionRequest& request, const CallOptions& options = {});

  // Waits until the connection's descriptor is closed; giving up undoes
  // nothing.
  absl::StatusOr<v1::Connection> CloseConnection(
      const v1::CloseConnectionRequest& request,
      const CallOptions& options = {});

  // Returns once the watch counts: nothing that happens afterwards is missed.
  // The options hold for the whole watch.
  absl::StatusOr<Watch> WatchEvents(const v1::WatchEventsRequest& request,
                                    const CallOptions& options = {});

  // Returns once the watch counts.  The options hold for the whole watch.
  absl::StatusOr<StatsWatch> WatchStats(const v1::WatchStatsRequest& request,
                                        const CallOptions& options = {});

  // Takes one accepted connection, by its name, to serve it.  Returns once this
  // client has it.  The options hold for the whole stream, here and below.
  absl::StatusOr<Stream> Attach(const std::string& name,
                                const CallOptions& options = {});

  // Takes one that Worker::Next has offered.  That is not asked once more where
  // an upgrade of the daemon has crossed it: the next process offers anew what
  // nobody has, and who asks there by himself could get what another worker
  // serves.
  absl::StatusOr<Stream> AttachOffered(const std::string& name,
                                       const CallOptions& options = {});

  // Connects out from the daemon's machine.  Returns once connected.
  absl::StatusOr<Stream> Dial(const v1::ClientFrame::Dial& dial,
                              const CallOptions& options = {});

  // Makes this client a worker of a listener, by its name.  Returns once the
  // worker counts.
  absl::StatusOr<Worker> Handle(const std::string& listener,
                                const CallOptions& options = {});

  // Does the same with all that a worker may ask for, like a progress_interval.
  absl::StatusOr<Worker> Handle(const v1::HandleRequest::Start& start,
                                const CallOptions& options = {});

 private:
  struct Impl;

  explicit Client(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;  // Null only after a move.
};

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_CLIENT_H_
