#include "server/watch/watch_call.h"

#include <new>
#include <utility>

#include "lib/base/check.h"
#include "server/api/errors.h"
#include "server/calls/answers.h"
#include "server/calls/grpc_status.h"
#include "server/calls/unary.h"
#include "server/control/control_calls.h"

namespace portreeve::server {

WatchCall::WatchCall(const Shared& shared,
                     const grpc::CallbackServerContext& context,
                     std::function<void(WatchCall*)> on_done)
    : shared_(shared),
      context_(context),
      peer_(context.peer()),
      connection_(ConnectionOf(context)),
      on_done_(std::move(on_done)) {}

void WatchCall::Start(Wish wish) {
  PORTREEVE_DCHECK(shared_.loop.OnLoop());
  PORTREEVE_CHECK(wish.first <= shared_.log.last_revision() + 1);
  if (wish.progress_interval) {
    progress_.emplace(TimeSource::Of(shared_.loop.context()),
                      *wish.progress_interval, [this] {
                        silent_ = true;
                        PumpLater();
                      });
    if (wish.snapshot == nullptr) catch_up_to_ = shared_.log.last_revision();
  }
  events_ = std::move(wish.events);
  next_ = wish.first;
  snapshot_ = std::move(wish.snapshot);
  if (snapshot_ != nullptr) return shared_.snapshots.Wait(*this);
  StartSendInitialMetadata();
  Continue();
}

bool WatchCall::TakeStep() {
  try {
    if (!snapshot_->Step()) return true;
    const size_t bytes = snapshot_->bytes();
    if (bytes > 0 && !shared_.unread.TryAdd(peer_, bytes)) {
      Close(ToGrpc(TooMuchUnread()));
      return false;
    }
    snapshot_bytes_ = bytes;
  } catch (...) {
    Close(ToGrpcOrLess(AnswerToException()));
    return false;
  }
  next_ = snapshot_->revision() + 1;
  StartSendInitialMetadata();
  Continue();
  return false;
}

void WatchCall::CloseForShutdown() {
  PORTREEVE_DCHECK(shared_.loop.OnLoop());
  const Answers& answers = Answers::Of(shared_.loop.context());
  if (events_ == nullptr) return Close(ToGrpc(answers.Refusal()));
  if (answers.moved()) end_ = ToGrpc(answers.Refusal());
  ending_ = true;
  PumpLater();
}

void WatchCall::Close(const grpc::Status& status) {
  PORTREEVE_DCHECK(shared_.loop.OnLoop());
  if (!status_) status_ = status;
  shared_.schedule.Forget(*this);
  shared_.snapshots.Forget(*this);
  progress_.reset();
  // One that is being taken, or had no room, is not counted.
  if (snapshot_bytes_ > 0) UncountSnapshot(SnapshotBytes());
  snapshot_.reset();
  FinishIfIdle();
}

void WatchCall::OnWriteDone(bool ok) {
  shared_.loop.Post([this, ok] {
    write_in_flight_ = false;
    message_.Clear();
    if (progress_) progress_->OnSent();
    UncountSnapshot(snapshot_bytes_ - SnapshotBytes());
    if (!ok) Close(grpc::Status::CANCELLED);
    if (status_) return FinishIfIdle();
    Continue();
  });
}

void WatchCall::OnCancel() {
  shared_.loop.Post([this] { Close(grpc::Status::CANCELLED); });
}

// gRPC's last call.
void WatchCall::OnDone() {
  shared_.loop.PostAfterAll([this] { on_done_(this); });
}

// Looks together with the others, unless there is much to send.
void WatchCall::Continue() {
  const int64_t behind = shared_.log.last_revision() - next_ + 1;
  const bool has_caught_up = catch_up_to_ && next_ > *catch_up_to_;
  if (ending_ || snapshot_ != nullptr || has_caught_up ||
      behind >= WatchSchedule::kManyEvents) {
    PumpLater();
  } else {
    try {
      shared_.schedule.Wait(*this);
    } catch (const std::bad_alloc&) {
      Close(ToGrpcOrLess(AnswerToException()));
    }
  }
}

// In a later step.  That comes before OnDone()'s, as Finish() does.
void WatchCall::PumpLater() {
  if (pump_posted_ || write_in_flight_ || status_ || IsTakingSnapshot()) return;
  shared_.schedule.Forget(*this);
  try {
    shared_.loop.Post([this] {
      pump_posted_ = false;
      Pump();
    });
    pump_posted_ = true;
  } catch (const std::bad_alloc&) {
    Close(ToGrpcOrLess(AnswerToException()));
  }
}

void WatchCall::Pump() {
  if (write_in_flight_ || status_) return;
  Message message;
  try {
    message = TakeMessage();
  } catch (const std::bad_alloc&) {
    // Nobody else would look again.
    return Close(ToGrpcOrLess(AnswerToException()));
  }
  if (!message.empty()) {
    Send(message);
  } else if (ending_ && AtEnd()) {
    Close(end_);
  } else {
    Continue();
  }
}

void WatchCall::Send(const Message& message) {
  message_ = grpc::ByteBuffer(message.data(), message.size());
  write_in_flight_ = true;
  if (progress_) progress_->OnSend();
  if (connection_ != nullptr) connection_->AddSent();
  StartWrite(&message_);
}

WatchCall::Message WatchCall::TakeMessage() {
  if (snapshot_ == nullptr) {
    Message message = TakeEvents();
    if (progress_) AddProgress(message);
    return message;
  }
  Message message = {grpc::Slice(snapshot_->TakeMessage())};
  if (snapshot_->empty()) snapshot_.reset();
  return message;
}

WatchCall::Message WatchCall::TakeEvents() {
  Message message;
  size_t size = 0;
  const int64_t first = next_;
  while (!AtEnd() && next_ - first < FilteredEvents::kMaxScan) {
    const FilteredEvents::Batch& batch = events_->From(next_);
    if (batch.bytes.size() > 0) {
      size += batch.bytes.size();
      if (!message.empty() && size > kMaxEventMessageBytes) break;
      message.push_back(batch.bytes);
      shared_.lost_total += batch.lost;
    }
    next_ = batch.end;
  }
  return message;
}

void WatchCall::AddProgress(Message& message) {
  const bool was_silent = std::exchange(silent_, false) && message.empty();
  const bool has_caught_up = catch_up_to_ && next_ > *catch_up_to_;
  if (!was_silent && !has_caught_up) return;
  if (has_caught_up) catch_up_to_.reset();
  message.push_back(grpc::Slice(shared_.log.MakeProgress(next_ - 1)));
}

void WatchCall::UncountSnapshot(size_t bytes) {
  if (bytes == 0) return;
  snapshot_bytes_ -= bytes;
  shared_.unread.Remove(peer_, bytes);
}

void WatchCall::FinishIfIdle() {
  if (!status_ || write_in_flight_ || finished_) return;
  finished_ = true;
  NoteAnswer(context_, status_->error_code());
  Finish(*status_);
}

}  // namespace portreeve::server
