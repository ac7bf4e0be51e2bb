#include "tests/model/stream_peer.h"

#include <algorithm>
#include <utility>

namespace portreeve::model {
namespace {

// How long a daemon that has not read a frame yet is asked for it.
constexpr Milliseconds kAskFor{300};

// So that one stream does not hold up the others.
constexpr int kMostAtOnce = 16;

}  // namespace

StreamPeer::StreamPeer(Control& control, const SidePlan& plan, Content sends,
                       Content receives)
    : control_(control),
      sends_(sends),
      receives_(receives),
      ends_by_end_of_stream_(plan.ends_by_end_of_stream),
      run_(plan.steps) {
  history_.kind = SideHistory::Kind::kStream;
}

void StreamPeer::Start(Method method, const v1::ClientFrame& first) {
  self_ = shared_from_this();
  control_.NoteCallBegins();
  if (method == Method::kAttach) {
    control_.connections().async()->Attach(&context_, this);
  } else {
    control_.connections().async()->Dial(&context_, this);
  }
  AddHold();  // Until nothing more is started.
  write_ = first;
  Write();
  StartCall();
}

template <typename F>
void StreamPeer::Post(F f) {
  control_.wake().Post(
      [self = shared_from_this(), f = std::move(f)] { f(*self); });
}

void StreamPeer::OnReadDone(bool ok) {
  Post([ok](StreamPeer& self) {
    self.reading_ = false;
    if (ok) return self.OnFrame();
    self.reads_over_ = true;
    self.run_.Abandon();
    self.RemoveHold();
  });
}

void StreamPeer::OnWriteDone(bool ok) {
  Post([ok](StreamPeer& self) {
    self.writing_ = false;
    if (!ok) self.run_.Abandon();
  });
}

void StreamPeer::OnWritesDoneDone(bool) {}

void StreamPeer::OnDone(const grpc::Status& status) {
  Post([status](StreamPeer& self) {
    self.history_.status = static_cast<int>(status.error_code());
    self.history_.status_text = status.error_message();
    self.control_.NoteCallEnds();
    self.self_.reset();
  });
}

void StreamPeer::Cancel() {
  if (finished()) return;
  history_.cancelled = true;
  context_.TryCancel();
}

void StreamPeer::Advance(TimePoint now) {
  if (finished() || reads_over_) return;
  Read(now);
  const bool ended = history_.saw_eof || history_.closed.has_value();
  for (int i = 0; i < kMostAtOnce; ++i) {
    const Step* const step = run_.Current(now, history_.received, ended);
    if (step == nullptr || (writing_ && WritesIn(*step))) break;
    if (!DoStep(*step, now)) break;
  }
  if (run_.is_done() && !writing_ && !is_through() && history_.saw_eof) {
    SendEnd(ends_by_end_of_stream_ ? Step::Kind::kEndOfStream
                                   : Step::Kind::kClose);
  }
}

bool StreamPeer::WritesIn(const Step& step) const {
  switch (step.kind) {
    case Step::Kind::kFill:
      return filling_ == Filling::kNoFrame || filling_ == Filling::kTaken;
    case Step::Kind::kCancel:
    case Step::Kind::kCancelIfHeld:
      return false;
    default:
      return true;
  }
}

void StreamPeer::Read(TimePoint now) {
  if (reading_) return;
  switch (run_.reading(now)) {
    case ScriptRun::Reading::kNothing:
      return;
    case ScriptRun::Reading::kSlow:
      if (now < next_slow_read_) return;
      // A frame has 64 KiB at most.
      next_slow_read_ = now + Milliseconds(65536 / run_.slow_unit());
      break;
    case ScriptRun::Reading::kAll:
      break;
  }
  reading_ = true;
  StartRead(&read_);
}

void StreamPeer::OnFrame() {
  const auto disorder = [this](const char* what) {
    if (history_.disorder.empty()) history_.disorder = what;
  };
  if (history_.closed) disorder("a frame after `closed`");
  if (history_.opened == read_.has_opened()) disorder("`opened` is not first");
  switch (read_.kind_case()) {
    case v1::ServerFrame::kOpened:
      history_.opened = true;
      connection_ = read_.opened().connection().name();
      break;
    case v1::ServerFrame::kData:
      if (history_.saw_eof) disorder("data after `eof`");
      OnData(read_.data());
      break;
    case v1::ServerFrame::kEof:
      if (history_.saw_eof) disorder("a second `eof`");
      history_.saw_eof = true;
      break;
    case v1::ServerFrame::kClosed:
      history_.closed = read_.closed().reason();
      break;
    case v1::ServerFrame::kMoved:
      disorder("`moved`, without `can_move`");
      break;
    case v1::ServerFrame::KIND_NOT_SET:
      disorder("a frame without a kind");
  }
}

void StreamPeer::OnData(const std::string& data) {
  if (!history_.first_wrong) {
    history_.first_wrong = receives_.FirstDifference(history_.received, data);
  }
  history_.received += static_cast<int64_t>(data.size());
}

void StreamPeer::Write() {
  writing_ = true;
  StartWrite(&write_);
}

bool StreamPeer::DoStep(const Step& step, TimePoint now) {
  switch (step.kind) {
    case Step::Kind::kSend:
      return SendSome(step, now);
    case Step::Kind::kFill:
      return Fill(step, now);
    case Step::Kind::kUrgent:
      break;  // Of sockets.
    case Step::Kind::kCancelIfHeld:
      if (last_is_held_) Cancel();
      break;
    case Step::Kind::kCancel:
      Cancel();
      break;
    default:
      if (!is_through()) SendEnd(step.kind);
      break;
  }
  run_.Next(now);
  return true;
}

bool StreamPeer::SendSome(const Step& step, TimePoint now) {
  const bool may_send = !history_.fin && !is_through();
  const int64_t left = may_send ? step.bytes - step_sent_ : 0;
  if (left <= 0) {
    step_sent_ = 0;
    run_.Next(now);
    return true;
  }
  const auto size = static_cast<size_t>(std::min(left, step.unit));
  write_.Clear();
  write_.set_data(std::string(sends_.At(history_.sent, size)));
  step_sent_ += static_cast<int64_t>(size);
  history_.sent += static_cast<int64_t>(size);
  Write();
  return false;
}

bool StreamPeer::Fill(const Step& step, TimePoint now) {
  if (!history_.opened || filling_ == Filling::kAsking) return false;
  if (filling_ == Filling::kUnknown &&
      (writing_ || now - asked_since_ < kAskFor)) {
    AskHowFull();
    return false;
  }
  if (filling_ != Filling::kWaits && step_sent_ < step.bytes) {
    filling_ = Filling::kUnknown;
    last_is_held_ = true;
    asked_since_ = now;
    return SendSome(step, now);
  }
  step_sent_ = 0;
  filling_ = Filling::kNoFrame;
  run_.Next(now);
  return true;
}

void StreamPeer::AskHowFull() {
  filling_ = Filling::kAsking;
  control_.GetConnection(
      connection_, [self = shared_from_this()](const grpc::Status& status,
                                               const v1::Connection& now) {
        const int64_t unsent = self->history_.sent - now.bytes_sent();
        const auto size = static_cast<int64_t>(self->write_.data().size());
        self->last_is_held_ = unsent >= size;
        if (!status.ok() || now.bytes_to_write() > 0) {
          self->filling_ = Filling::kWaits;
        } else {
          self->filling_ = unsent == 0 ? Filling::kTaken : Filling::kUnknown;
        }
      });
}

void StreamPeer::SendEnd(Step::Kind kind) {
  write_.Clear();
  switch (kind) {
    case Step::Kind::kFin:
      if (history_.fin) return;
      history_.fin = true;
      write_.mutable_eof();
      break;
    case Step::Kind::kClose:
      history_.done = true;
      write_.mutable_done();
      break;
    case Step::Kind::kReset:
      history_.reset = true;
      write_.mutable_reset();
      break;
    case Step::Kind::kRaised:
      history_.raised = true;
      write_.mutable_raised()->set_message("raised by the script");
      break;
    case Step::Kind::kEndOfStream:
      history_.ended_stream = true;
      StartWritesDone();
      return;
    default:
      return;
  }
  history_.through_before_eof |= kind != Step::Kind::kFin && !history_.saw_eof;
  Write();
}

}  // namespace portreeve::model
