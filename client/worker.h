// A worker of a listener with a remote handler: what Client::Handle gives.
#ifndef PORTREEVE_CLIENT_WORKER_H_
#define PORTREEVE_CLIENT_WORKER_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/call_options.h"
#include "portreeve/v1/handler.pb.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace portreeve::client {

// Threads: one waits for what comes; any may give verdicts and cancel.
// Lifetime: it may outlive the Client; streams that were attached to take its
// offers do not need it.
class Worker {
 public:
  Worker(Worker&&) noexcept;
  Worker& operator=(Worker&&) noexcept;
  // Cancels.  No call may be under way.
  ~Worker();

  // Waits for the next `offer`, which is taken with Client::AttachOffered
  // before the listener's claim_timeout, or `handler_error`, which is answered
  // with Give. `progress` is not given.  Gives nullopt once the listener is
  // closed and no handler of it is left, and ever after.  The daemon closes its
  // listeners when it shuts down, too: GetListener then gives close_cause
  // SHUTDOWN, or nothing any more.
  //
  // Errors: CANCELLED after Cancel; DEADLINE_EXCEEDED after the timeout;
  // UNAVAILABLE where the connection broke, or with SHUTTING_DOWN; what a proxy
  // on the way makes of its limits; the same ever after.  A worker does not
  // come back by itself: IsLost (client/error.h) says whether to make a new
  // one, and Retry (client/retry.h) when, but at once where HasMoved does: an
  // upgrade of the daemon has ended it, and the next process is there.
  absl::StatusOr<std::optional<v1::HandleResponse>> Next();

  // Answers a `handler_error`, in time or not.
  //
  // Errors: FAILED_PRECONDITION once the stream has ended, and Next gives the
  // reason for that; an unknown id shows there, too.
  absl::Status Give(const std::string& handler_error_id,
                    v1::HandlerVerdict verdict);

  // Leaves: a Next that waits gives CANCELLED at once.  Idempotent.
  void Cancel();

 private:
  friend class Client;
  class Impl;

  static absl::StatusOr<Worker> Start(
      const std::shared_ptr<grpc::Channel>& channel,
      const v1::HandleRequest::Start& start, const CallOptions& options);

  explicit Worker(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;  // Null only after a move.
};

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_WORKER_H_
