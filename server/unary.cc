#include "server/unary.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <utility>
#include <vector>

namespace portreeve::server {
namespace {

struct Answered {
  grpc::ServerUnaryReactor* reactor;
  grpc::Status status;
};

}  // namespace

void AnswerSoon(asio::io_context& loop, grpc::ServerUnaryReactor* reactor,
                grpc::Status status) {
  thread_local std::vector<Answered> answered;  // Since the last time.
  if (answered.empty()) {
    asio::post(loop, [] {
      for (const Answered& each : std::exchange(answered, {})) {
        each.reactor->Finish(each.status);
      }
    });
  }
  answered.push_back({reactor, std::move(status)});
}

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
    AnswerSoon(self->loop_, self.get(), grpc::Status::OK);
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
  const std::shared_ptr<WaitReactor> self = std::move(self_);
}

}  // namespace portreeve::server
