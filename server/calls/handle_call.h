// HandleCall: one Handle call.
#ifndef PORTREEVE_SERVER_CALLS_HANDLE_CALL_H_
#define PORTREEVE_SERVER_CALLS_HANDLE_CALL_H_

#include <boost/asio/cancellation_signal.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "lib/base/time_source.h"
#include "portreeve/v1/handler.pb.h"
#include "server/access/audit_log.h"
#include "server/calls/bidi_call.h"
#include "server/calls/progress_timer.h"
#include "server/calls/unread_answers.h"
#include "server/registry/registry.h"
#include "server/remote/worker_pool.h"

namespace portreeve::server {

// A call becomes a worker of the listener that the client names, and leaves it
// when the call ends or breaks, or the client sends no more.
//
// What the client has not read yet waits here, and counts as unread answers of
// its connection (server/calls/unread_answers.h).  Where there is no room for
// it any more, the worker leaves, and the call ends with OVERLOADED.
class HandleCall final : public BidiCall, private Worker {
 public:
  // The arguments are those of BidiCall.  `registry` outlives it.  `audit` is
  // called with the listener's name when the client has joined it, or was
  // refused.
  HandleCall(Loop& loop, const grpc::CallbackServerContext& context,
             Registry& registry, AuditFunction audit, OnDoneFunction on_done);

  // Awaits the first message.
  void Start() { ReadNext(); }

  void CloseForShutdown() override;

 private:
  void OnMessage(grpc::ByteBuffer message) override;
  void OnClientEnd() override;
  void OnBroken() override;

  void Offer(const v1::Connection& connection) override;
  void AskForVerdict(const v1::HandleResponse::HandlerError& error) override;
  void Dismiss() override;

  // Errors: those of the call.
  absl::Status TakeFirst(const v1::HandleRequest& request);
  absl::Status Join(const v1::HandleRequest::Start& start);
  absl::Status TakeLater(const v1::HandleRequest& request);
  void Tell(const v1::HandleResponse& response);
  void TellProgress() noexcept;
  // Confirms to the client that it is a worker, and awaits the listener's end.
  void Begin();
  void Leave();
  void Fail(const absl::Status& status);

  Registry& registry_;
  UnreadAnswers& unread_;
  const std::string peer_;
  const AuditFunction audit_;
  std::shared_ptr<ListenerResource> listener_;  // While it is a worker.
  bool started_ = false;
  size_t unread_bytes_ = 0;  // Of what was told and is not sent yet.
  bool overloaded_ = false;
  std::optional<ProgressTimer> progress_;   // While it is a worker that asked.
  int64_t number_ = 0;                      // In the listener's pool.
  asio::cancellation_signal stop_waiting_;  // For the listener's end.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CALLS_HANDLE_CALL_H_
