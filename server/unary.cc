#include "server/unary.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>

namespace portreeve::server {

WaitReactor* WaitReactor::Start(asio::io_context& loop, Begin begin) {
  auto reactor = std::make_shared<WaitReactor>(loop);
  reactor->self_ = reactor;
  // Before OnCancel() can post.
  asio::post(loop,
             [reactor, begin = std::move(begin)] { reactor->Run(begin); });
  return reactor.get();
}

void WaitReactor::Run(const Begin& begin) {
  absl::StatusOr<Wait> wait = begin();
  if (!wait.ok()) return Finish(ToGrpc(wait.status()));
  auto done = [self = shared_from_this(),
               respond = std::move(wait->respond)](error_code ec) {
    if (ec) {
      self->Finish(ToGrpc(absl::CancelledError("the caller stopped waiting")));
      return;
    }
    respond();
    self->Finish(grpc::Status::OK);
  };
  wait->until.Wait(asio::bind_cancellation_slot(
      cancel_.slot(),
      asio::bind_executor(loop_.get_executor(), std::move(done))));
}

void WaitReactor::OnCancel() {
  // Without effect once the wait has ended.
  asio::post(loop_, [self = shared_from_this()] {
    self->cancel_.emit(asio::cancellation_type::terminal);
  });
}

// The last reference is dropped on the loop, where the wait is.
void WaitReactor::OnDone() {
  asio::post(loop_, [self = std::move(self_)] {});
}

}  // namespace portreeve::server
