// Unary RPCs: from gRPC's threads to the loop and back.
#ifndef PORTREEVE_SERVER_UNARY_H_
#define PORTREEVE_SERVER_UNARY_H_

#include <grpcpp/grpcpp.h>

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "lib/deferred.h"
#include "server/answers.h"
#include "server/grpc_status.h"

namespace portreeve::server {

// Answers at once with `status`.
inline grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context,
                                        const absl::Status& status) {
  auto* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

// An RPC that a step of the loop answers.
class LoopReactor final : public grpc::ServerUnaryReactor {
 public:
  explicit LoopReactor(asio::io_context& loop);

  // Threads: the loop's.
  void Answer(grpc::Status status) { answers_.Add(this, std::move(status)); }

  void OnDone() override;

 private:
  Answers& answers_;
};

// Runs `work`, an absl::Status(), on the loop, and answers with what it gives.
// `work` may use the request and the response.
template <typename Work>
grpc::ServerUnaryReactor* AnswerOnLoop(asio::io_context& loop, Work work) {
  auto* reactor = new LoopReactor(loop);  // Until OnDone().
  asio::post(loop, [reactor, work = std::move(work)]() mutable {
    reactor->Answer(ToGrpc(work()));
  });
  return reactor;
}

// An RPC that waits for something on the loop.  A caller that stops waiting
// ends the wait and nothing else.
//
// Threads: Start() on gRPC's; every field is touched on the loop only, but for
// self_, which nothing but Start() and OnDone() uses.
class WaitReactor final : public grpc::ServerUnaryReactor,
                          public std::enable_shared_from_this<WaitReactor> {
 public:
  struct Wait {
    Deferred<> until;
    std::function<void()> respond;  // Fills the response.
  };
  // Called once, on the loop, also for a call that was cancelled.  An error is
  // the answer.
  using Begin = std::function<absl::StatusOr<Wait>()>;

  // `loop` outlives the call.
  static WaitReactor* Start(asio::io_context& loop, Begin begin);

  explicit WaitReactor(asio::io_context& loop);

  void OnCancel() override;
  void OnDone() override;

 private:
  void Run(const Begin& begin);

  asio::io_context& loop_;
  Answers& answers_;
  asio::cancellation_signal cancel_;
  std::shared_ptr<WaitReactor> self_;  // gRPC's reference, until OnDone().
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_UNARY_H_
