#include "server/calls/bidi_call.h"

#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/slice.h>

#include <iterator>
#include <utility>

#include "lib/base/check.h"
#include "server/api/errors.h"
#include "server/calls/answers.h"
#include "server/calls/grpc_status.h"
#include "server/calls/unary.h"
#include "server/control/control_calls.h"

namespace portreeve::server {

grpc::ByteBuffer BidiCall::Encode(
    const google::protobuf::MessageLite& message) {
  const grpc::Slice slice(message.ByteSizeLong());
  // Nobody else has it yet.
  message.SerializeWithCachedSizesToArray(const_cast<uint8_t*>(slice.begin()));
  return grpc::ByteBuffer(&slice, 1);
}

bool BidiCall::Parse(grpc::ByteBuffer raw,
                     google::protobuf::MessageLite& message) {
  grpc::ProtoBufferReader reader(&raw);
  return reader.status().ok() && message.ParseFromZeroCopyStream(&reader);
}

BidiCall::BidiCall(Loop& loop, const grpc::CallbackServerContext& context,
                   OnDoneFunction on_done)
    : loop_(loop),
      context_(context),
      on_done_(std::move(on_done)),
      connection_(ConnectionOf(context)) {}

void BidiCall::SetCarries(Carries carries) {
  const Carries before = std::exchange(carries_, carries);
  if (before == carries || connection_ == nullptr) return;
  // It counts at any moment: the new way before the old one ends.
  switch (carries) {
    case Carries::kNothing:
      break;
    case Carries::kUnjoined:
      connection_->BeginUnjoined();
      break;
    case Carries::kConnection:
      connection_->BeginCarrying();
      break;
    case Carries::kEnded:
      connection_->BeginEnded();
      break;
  }
  switch (before) {
    case Carries::kNothing:
      break;
    case Carries::kUnjoined:
      connection_->EndUnjoined();
      break;
    case Carries::kConnection:
      connection_->EndCarrying();
      break;
    case Carries::kEnded:
      connection_->EndEnded();
      break;
  }
}

void BidiCall::ReadNext() {
  PORTREEVE_DCHECK(loop_.OnLoop());
  if (read_in_flight_ || end_seen_ || broken_ || closed()) return;
  read_in_flight_ = true;
  StartRead(&incoming_);
}

bool BidiCall::TakeDirectly(const grpc::ByteBuffer&) { return false; }

bool BidiCall::ContinueSending(grpc::ByteBuffer*) { return false; }

void BidiCall::OnReadDone(bool ok) {
  if (ok && connection_ != nullptr) connection_->AddMessage(incoming_.Length());
  if (ok && TakeDirectly(incoming_)) {
    incoming_.Clear();
    return StartRead(&incoming_);
  }
  const bool cancelled = !ok && context_.IsCancelled();
  loop_.Post([this, ok, cancelled] { TakeRead(ok, cancelled); });
}

void BidiCall::TakeRead(bool ok, bool cancelled) {
  read_in_flight_ = false;
  grpc::ByteBuffer message;
  message.Swap(&incoming_);
  if (broken_ || closed()) return;
  if (cancelled) return Break();
  try {
    if (ok) {
      used_ = true;
      OnMessage(std::move(message));
    } else {
      end_seen_ = true;
      AwaitCancel();
    }
  } catch (...) {
    // Out of memory: what the client has said is lost, and must not pass for
    // something else.
    failure_ = AnswerToException();
    Break();
  }
}

// What ended may be the client's direction.  But where gRPC has refused a
// message, as too large, it says the same first, and then cancels the call.
void BidiCall::AwaitCancel() {
  end_delay_.emplace(TimeSource::Of(loop_.context()));
  end_delay_->StartAfter(kEndDelay, [this] {
    if (!broken_ && !closed()) OnClientEnd();
  });
}

void BidiCall::Send(grpc::ByteBuffer message,
                    std::function<void(bool)> on_sent) {
  Enqueue({std::move(message), std::move(on_sent), false});
}

void BidiCall::SendAndContinue(grpc::ByteBuffer message,
                               std::function<void(bool)> on_sent) {
  Enqueue({std::move(message), std::move(on_sent), true});
}

void BidiCall::Enqueue(Outgoing outgoing) {
  PORTREEVE_DCHECK(loop_.OnLoop());
  if (broken_ || closed()) return outgoing.on_sent(false);
  AwaitSent();
  outgoing_.push_back(std::move(outgoing));
  Pump();
}

void BidiCall::DropUnsent() {
  auto first = outgoing_.begin();
  if (write_in_flight_) ++first;
  std::list<Outgoing> dropped;
  dropped.splice(dropped.end(), outgoing_, first, outgoing_.end());
  for (const Outgoing& outgoing : dropped) outgoing.on_sent(false);
}

void BidiCall::Pump() {
  if (write_in_flight_) return;
  if (outgoing_.empty()) return FinishIfIdle();
  write_in_flight_ = true;
  continues_ = outgoing_.front().continues;
  write_end_ = continues_ ? End::kNotAwaited : End::kAwaited;
  writing_.Swap(&outgoing_.front().message);
  Write();
}

void BidiCall::Write() {
  if (connection_ != nullptr) connection_->AddSent();
  StartWrite(&writing_);
}

void BidiCall::OnWriteDone(bool ok) {
  writing_.Clear();
  if (ok && continues_ && ContinueSending(&writing_)) return Write();
  End expected = End::kNotAwaited;
  if (ok && continues_ &&
      write_end_.compare_exchange_strong(expected, End::kReached)) {
    return;
  }
  loop_.Post([this, ok] { TakeSent(ok); });
}

void BidiCall::AwaitSent() {
  PORTREEVE_DCHECK(loop_.OnLoop());
  if (!write_in_flight_ || !continues_) return;
  if (write_end_.exchange(End::kAwaited) == End::kReached) TakeSent(true);
}

void BidiCall::TakeSent(bool ok) {
  write_in_flight_ = false;
  const Outgoing sent = std::move(outgoing_.front());
  outgoing_.pop_front();
  sent.on_sent(ok);
  if (!ok) Break();
  Pump();
  AwaitSent();  // Who was queued may wait already.
}

void BidiCall::OnCancel() {
  loop_.Post([this] { Break(); });
}

void BidiCall::Break() {
  if (std::exchange(broken_, true)) return;
  if (end_delay_) end_delay_->Cancel();
  AwaitSent();
  DropUnsent();
  if (closed()) return FinishIfIdle();
  OnBroken();
}

void BidiCall::Close(const absl::Status& status) {
  PORTREEVE_DCHECK(loop_.OnLoop());
  if (!status_) status_ = failure_ ? failure_ : status;
  if (end_delay_) end_delay_->Cancel();
  AwaitSent();
  FinishIfIdle();
}

void BidiCall::CloseForShutdown() {
  if (!used_) Close(Answers::Of(loop_.context()).Refusal());
}

void BidiCall::FinishIfIdle() {
  if (!closed() || !outgoing_.empty() || finished_) return;
  grpc::Status status = ToGrpcOrLess(*status_);
  finished_ = true;
  NoteAnswer(context_, status.error_code());
  Finish(std::move(status));
}

// gRPC's last call.
void BidiCall::OnDone() {
  loop_.PostAfterAll([this] {
    SetCarries(Carries::kNothing);
    on_done_(this);
  });
}

}  // namespace portreeve::server
