#include "server/stats/stats_call.h"

#include <grpcpp/support/slice.h>

#include <new>
#include <utility>

#include "lib/base/check.h"
#include "server/api/errors.h"
#include "server/calls/answers.h"
#include "server/calls/grpc_status.h"
#include "server/calls/unary.h"
#include "server/control/control_calls.h"

namespace portreeve::server {

StatsCall::StatsCall(Loop& loop, StatsBoard& board, UnreadAnswers& unread,
                     const grpc::CallbackServerContext& context, Wish wish,
                     std::function<void(StatsCall*)> on_done)
    : loop_(loop),
      board_(board),
      unread_(unread),
      context_(context),
      peer_(context.peer()),
      connection_(ConnectionOf(context)),
      wish_(std::move(wish)),
      on_done_(std::move(on_done)) {}

void StatsCall::Start() {
  PORTREEVE_DCHECK(loop_.OnLoop());
  if (status_) return;
  started_ = true;
  board_.Join(*this);
  StartSendInitialMetadata();
  board_.WakeAt(*this, TimeSource::Of(loop_.context()).Now());
}

void StatsCall::CloseForShutdown() {
  const Answers& answers = Answers::Of(loop_.context());
  Close(started_ && !answers.moved() ? grpc::Status::OK
                                     : ToGrpc(answers.Refusal()));
}

void StatsCall::Close(const grpc::Status& status) {
  PORTREEVE_DCHECK(loop_.OnLoop());
  if (!status_) status_ = status;
  board_.Leave(*this);
  Uncount(bytes_ - in_flight_);
  messages_.clear();
  FinishIfIdle();
}

void StatsCall::OnLook() {
  try {
    messages_ =
        board_.MessagesSince(told_, wish_.names, wish_.max_message_bytes);
  } catch (const std::bad_alloc&) {
    return Close(ToGrpcOrLess(AnswerToException()));
  }
  told_ = board_.last();
  size_t bytes = 0;
  for (const std::string& message : messages_) bytes += message.size();
  try {
    if (!unread_.TryAdd(peer_, bytes)) {
      messages_.clear();
      return Close(ToGrpc(TooMuchUnread()));
    }
  } catch (const std::bad_alloc&) {
    messages_.clear();
    return Close(ToGrpcOrLess(AnswerToException()));
  }
  bytes_ = bytes;
  SendNext();
}

void StatsCall::SendNext() {
  try {
    const grpc::Slice slice(messages_.front());
    message_ = grpc::ByteBuffer(&slice, 1);
  } catch (const std::bad_alloc&) {
    return Close(ToGrpcOrLess(AnswerToException()));
  }
  in_flight_ = messages_.front().size();
  messages_.pop_front();
  if (connection_ != nullptr) connection_->AddSent();
  StartWrite(&message_);
}

void StatsCall::OnWriteDone(bool ok) {
  loop_.Post([this, ok] {
    message_.Clear();
    Uncount(std::exchange(in_flight_, 0));
    if (!ok) Close(grpc::Status::CANCELLED);
    if (status_) return FinishIfIdle();
    if (!messages_.empty()) return SendNext();
    WaitForNext();
  });
}

void StatsCall::WaitForNext() {
  const TimePoint now = TimeSource::Of(loop_.context()).Now();
  const Duration since = now.time_since_epoch() % wish_.interval;
  board_.WakeAt(*this, now + (wish_.interval - since));
}

void StatsCall::OnCancel() {
  loop_.Post([this] { Close(grpc::Status::CANCELLED); });
}

// gRPC's last call.
void StatsCall::OnDone() {
  loop_.PostAfterAll([this] { on_done_(this); });
}

void StatsCall::Uncount(size_t bytes) {
  if (bytes == 0) return;
  bytes_ -= bytes;
  unread_.Remove(peer_, bytes);
}

void StatsCall::FinishIfIdle() {
  if (!status_ || in_flight_ > 0 || finished_) return;
  finished_ = true;
  NoteAnswer(context_, status_->error_code());
  Finish(*status_);
}

}  // namespace portreeve::server
