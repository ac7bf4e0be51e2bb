#include "server/calls/unary.h"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <exception>
#include <utility>

#include "lib/base/monitor.h"

namespace portreeve::server {

namespace {

// No answer to a change has more: it is one listener, or one connection.  So a
// refusal of what has more loses nothing.
constexpr size_t kMostOfAChange = size_t{64} << 10;

// Never throws.
void SetAnswer(Answers::Answer& answer, grpc::ServerUnaryReactor& reactor,
               const absl::Status& status) {
  answer.reactor = &reactor;
  answer.status = ToGrpcOrLess(status);
}

}  // namespace

absl::Status AnswerToException() {
  const std::exception_ptr error = std::current_exception();
  Monitor::TopLevel().Send(error);
  try {
    return absl::InternalError(DescribeException(error));
  } catch (...) {
    return absl::InternalError("");  // Which takes no memory.
  }
}

UnreadAnswer::~UnreadAnswer() {
  if (bytes_ > 0) unread_.Remove(peer_, bytes_);
}

absl::Status UnreadAnswer::Count() {
  const size_t bytes = response_.size();
  if (bytes <= UnreadAnswers::kSmallBytes) return absl::OkStatus();
  peer_ = context_.peer();
  if (bytes <= kMostOfAChange) {
    unread_.Add(peer_, bytes);
  } else if (!unread_.TryAdd(peer_, bytes)) {
    return TooMuchUnread();
  }
  bytes_ = bytes;
  return absl::OkStatus();
}

void UnreadAnswer::Note(const grpc::Status& status) const {
  NoteAnswer(context_, status.error_code());
}

LoopReactor::LoopReactor(asio::io_context& loop,
                         const grpc::CallbackServerContext& context,
                         AnyResponse response)
    : answers_(Answers::Of(loop)),
      unread_(answers_.unread(), context, response) {}

void LoopReactor::Answer(absl::Status status) {
  try {
    if (status.ok()) status = unread_.Count();
  } catch (...) {
    status = AnswerToException();
  }
  SetAnswer(answer_, *this, status);
  unread_.Note(answer_.status);
  answers_.Add(answer_);
}

void LoopReactor::OnDone() {
  Answers& answers = answers_;
  delete this;
  answers.Give();
}

PendingAnswer::~PendingAnswer() {
  GiveBy([] { return absl::InternalError("the call was not answered"); });
}

WaitReactor::WaitReactor(asio::io_context& loop,
                         const grpc::CallbackServerContext& context,
                         AnyResponse response)
    : loop_(loop),
      answers_(Answers::Of(loop)),
      unread_(answers_.unread(), context, response) {}

WaitReactor* WaitReactor::Start(asio::io_context& loop,
                                const grpc::CallbackServerContext* context,
                                AnyResponse response, Begin begin) {
  auto reactor = std::make_shared<WaitReactor>(loop, *context, response);
  reactor->self_ = reactor;
  // Before OnCancel() can post.
  asio::post(loop,
             [reactor, begin = std::move(begin)] { reactor->Run(begin); });
  return reactor.get();
}

void WaitReactor::Run(const Begin& begin) {
  if (answers_.moved()) return FinishWith(Moved());
  try {
    absl::StatusOr<Wait> wait = begin();
    if (!wait.ok()) return FinishWith(wait.status());
    Await(*std::move(wait));
  } catch (...) {
    FinishWith(AnswerToException());
  }
}

void WaitReactor::FinishWith(const absl::Status& status) {
  const grpc::Status answer = ToGrpcOrLess(status);
  unread_.Note(answer);
  Finish(answer);
}

void WaitReactor::EndWait() { cancel_.emit(asio::cancellation_type::terminal); }

void WaitReactor::Await(Wait wait) {
  auto done = [self = shared_from_this(), stays = wait.stays,
               respond = std::move(wait.respond)](error_code ec) {
    if (self->is_linked()) self->unlink();
    const bool moved = self->answers_.moved() && !stays;
    if (ec) {
      self->FinishWith(
          moved ? Moved() : absl::CancelledError("the caller stopped waiting"));
      return;
    }
    absl::Status status;
    try {
      status = moved ? Moved() : respond();
      if (status.ok()) status = self->unread_.Count();
    } catch (...) {
      status = AnswerToException();
    }
    SetAnswer(self->answer_, *self, status);
    self->unread_.Note(self->answer_.status);
    self->answers_.Add(self->answer_);
  };
  if (!wait.stays) answers_.AddWaiting(*this);
  wait.until.Wait(asio::bind_cancellation_slot(
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
