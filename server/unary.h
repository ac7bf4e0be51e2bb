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
#include "server/grpc_status.h"

namespace portreeve::server {

// Answers at once with `status`.
inline grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context,
                                        const absl::Status& status) {
  auto* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

// Answers with `status` in a later step of the loop, and all who are to be
// answered by then together: each answer wakes a thread of gRPC, which would
// take the CPU from what the loop has to do for the next one.
// Threads: the loop's.
void AnswerSoon(asio::io_context& loop, grpc::ServerUnaryReactor* reactor,
                grpc::Status status);

// Runs `work`, an absl::Status(), on the loop, and answers with what it gives.
// `work` may use the request and the response.
template <typename Work>
grpc::ServerUnaryReactor* AnswerOnLoop(grpc::CallbackServerContext* context,
                                       asio::io_context& loop, Work work) {
  auto* reactor = context->DefaultReactor();
  asio::post(loop, [reactor, &loop, work = std::move(work)]() mutable {
    AnswerSoon(loop, reactor, ToGrpc(work()));
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

  explicit WaitReactor(asio::io_context& loop) : loop_(loop) {}

  void OnCancel() override;
  void OnDone() override;

 private:
  void Run(const Begin& begin);

  asio::io_context& loop_;
  asio::cancellation_signal cancel_;
  std::shared_ptr<WaitReactor> self_;  // gRPC's reference, until OnDone().
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_UNARY_H_
