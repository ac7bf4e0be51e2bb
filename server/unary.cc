#include "server/unary.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <utility>

namespace portreeve::server {

LoopReactor::LoopReactor(asio::io_context& loop)
    : answers_(Answers::Of(loop)) {}

void LoopReactor::OnDone() {
  Answers& answers = answers_;
  delete this;
  answers.Give();
}

WaitReactor::WaitReactor(asio::io_context& loop)
    : loop_(loop), answers_(Answers::Of(loop)) {}

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
    self->answers_.Add(self.get(), grpc::Status::OK);
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

// Everything that the loop does with it, but for a cancellation that comes too
// late, is done before Finish().
void WaitReactor::OnDone() {
  Answers& answers = answers_;
  self_.reset();
  answers.Give();
}

}  // namespace portreeve::server
