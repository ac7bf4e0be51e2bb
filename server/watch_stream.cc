#include "server/watch_stream.h"

#include <grpcpp/support/slice.h>

#include <utility>

#include "lib/check.h"

namespace portreeve::server {

WatchStream::WatchStream(Loop& loop, EventLog& log, WatchFilter filter,
                         std::function<void(WatchStream*)> on_done)
    : loop_(loop),
      log_(log),
      filter_(std::move(filter)),
      on_done_(std::move(on_done)) {}

void WatchStream::Start(int64_t first, EventMessages snapshot) {
  PORTREEVE_DCHECK(loop_.OnLoop());
  PORTREEVE_CHECK(first <= log_.last_revision() + 1);
  next_ = first;
  snapshot_ = std::move(snapshot);
  pause_.emplace(TimeSource::Of(loop_.context()));
  StartSendInitialMetadata();
  Subscribe();
}

void WatchStream::End() {
  PORTREEVE_DCHECK(loop_.OnLoop());
  ending_ = true;
  PumpLater();
}

void WatchStream::Close(const grpc::Status& status) {
  PORTREEVE_DCHECK(loop_.OnLoop());
  if (!status_) status_ = status;
  subscription_.reset();
  if (pause_) pause_->Cancel();
  snapshot_.clear();
  FinishIfIdle();
}

void WatchStream::OnWriteDone(bool ok) {
  loop_.Post([this, ok] {
    write_in_flight_ = false;
    message_.Clear();
    if (!ok) Close(grpc::Status::CANCELLED);
    if (status_) return FinishIfIdle();
    Subscribe();
  });
}

void WatchStream::OnCancel() {
  loop_.Post([this] { Close(grpc::Status::CANCELLED); });
}

// gRPC's last call: what was posted before it runs before it.
void WatchStream::OnDone() {
  loop_.Post([this] { on_done_(this); });
}

void WatchStream::Subscribe() {
  subscription_.emplace(log_, [this] { PumpLater(); });
  if (!AtEnd() || ending_) PumpLater();
}

// In a later step, so that what happens in one step travels together.  That
// step comes before OnDone()'s, as Finish() does.
void WatchStream::PumpLater() {
  if (pump_posted_ || write_in_flight_ || status_) return;
  if (MayPause()) {
    if (pause_->armed()) return;
    if (TimeSource::Of(loop_.context()).Now() < next_look_) {
      return pause_->StartAt(next_look_, [this] { Pump(); });
    }
  }
  pump_posted_ = true;
  loop_.Post([this] {
    pump_posted_ = false;
    Pump();
  });
}

bool WatchStream::MayPause() const {
  return !ending_ && snapshot_.empty() &&
         log_.last_revision() - next_ < kManyEvents;
}

void WatchStream::Pump() {
  if (write_in_flight_ || status_) return;
  pause_->Cancel();
  next_look_ = TimeSource::Of(loop_.context()).Now() + kPause;
  const std::string message = TakeMessage();
  if (!message.empty()) {
    Send(message);
  } else if (!AtEnd()) {
    PumpLater();
  } else if (ending_) {
    Close(grpc::Status::OK);
  }
}

void WatchStream::Send(const std::string& message) {
  const grpc::Slice slice(message);
  message_ = grpc::ByteBuffer(&slice, 1);
  write_in_flight_ = true;
  subscription_.reset();
  StartWrite(&message_);
}

std::string WatchStream::TakeMessage() {
  if (snapshot_.empty()) return TakeEvents();
  std::string message = std::move(snapshot_.front());
  snapshot_.pop_front();
  return message;
}

std::string WatchStream::TakeEvents() {
  std::string message;
  if (next_ < log_.first_revision()) {
    const int64_t last_missing = log_.first_revision() - 1;
    message = log_.MakeGap(next_, last_missing);
    next_ = last_missing + 1;
  }
  for (int i = 0; i < kMaxScan && !AtEnd(); ++i, ++next_) {
    const EventRing::Entry entry = log_.at(next_);
    if (!filter_.Passes(entry.kind, entry.listener_name)) continue;
    const size_t before = message.size();
    log_.AppendTo(message, next_);
    if (before > 0 && message.size() > kMaxEventMessageBytes) {
      message.resize(before);
      break;
    }
  }
  return message;
}

void WatchStream::FinishIfIdle() {
  if (!status_ || write_in_flight_ || finished_) return;
  finished_ = true;
  Finish(*status_);
}

}  // namespace portreeve::server
