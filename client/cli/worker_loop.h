// WorkerLoop: a worker that comes back when the daemon was lost.
#ifndef PORTREEVE_CLIENT_CLI_WORKER_LOOP_H_
#define PORTREEVE_CLIENT_CLI_WORKER_LOOP_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "client/canceller.h"
#include "client/cli/notes.h"
#include "client/cli/resume.h"
#include "client/cli/session.h"
#include "client/worker.h"
#include "portreeve/v1/connection.pb.h"
#include "portreeve/v1/handler.pb.h"

namespace portreeve::cli {

// Threads: Run(): one, once; Stop(): any.
class WorkerLoop {
 public:
  // Takes a connection that is offered; gives false to end the loop.
  using Serve = std::function<bool(const v1::Connection&)>;

  // What it is made of must outlive it.
  WorkerLoop(const v1::HandleRequest::Start& start, const Session& session,
             Resume& resume, Notes& notes)
      : start_(start), session_(session), resume_(resume), notes_(notes) {
    session_.canceller = &canceller_;
  }
  WorkerLoop(const WorkerLoop&) = delete;
  WorkerLoop& operator=(const WorkerLoop&) = delete;

  // Takes offers until `serve` gives false, or the listener is closed: OK.
  //
  // Errors: the daemon's refusal, but a listener that is not there once it has
  // been there is waited for like a daemon that is lost; what Resume gives up
  // with; CANCELLED after Stop().
  absl::Status Run(const Serve& serve);

  void Stop();

 private:
  // Serves with one worker; sets `done` where there is nothing more to do.
  absl::Status RunOnce(const Serve& serve, bool& done);
  absl::Status TakeOffers(client::Worker& worker, const Serve& serve,
                          bool& done);
  // Of a stream that ended with OK: the listener is closed, or the daemon's
  // end has closed it.
  bool IsClosedForGood() const;

  const v1::HandleRequest::Start start_;
  Session session_;  // With a Canceller of its own.
  Resume& resume_;
  Notes& notes_;
  client::Canceller canceller_;
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_WORKER_LOOP_H_
