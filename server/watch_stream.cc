#include "server/watch_stream.h"

#include <grpcpp/support/slice.h>

#include <utility>

#include "lib/check.h"

namespace portreeve::server {

bool WatchFilter::Passes(const EventLog::Entry& entry) const {
  return (kinds.none() || kinds.test(static_cast<size_t>(entry.kind))) &&
         (listeners.empty() || listeners.count(entry.listener_name) > 0);
}

WatchStream::WatchStream(Loop& loop, EventLog& log, WatchFilter filter,
                         std::function<void(WatchStream*)> on_done)
    : loop_(loop),
      log_(log),
      filter_(std::move(filter)),
      on_done_(std::move(on_done)) {}

void WatchStream::Start() {
  PORTREEVE_DCHECK(loop_.OnLoop());
  next_ = log_.last_revision() + 1;
  subscription_.emplace(log_, [this] { PumpLater(); });
  StartSendInitialMetadata();
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
  FinishIfIdle();
}

void WatchStream::OnWriteDone(bool ok) {
  loop_.Post([this, ok] {
    write_in_flight_ = false;
    message_.Clear();
    if (ok) {
      Pump();
    } else {
      Close(grpc::Status::CANCELLED);
    }
  });
}

void WatchStream::OnCancel() {
  loop_.Post([this] { Close(grpc::Status::CANCELLED); });
}

// gRPC's last call: what was posted before it runs before it.
void WatchStream::OnDone() {
  loop_.Post([this] { on_done_(this); });
}

// In a later step, so that what happens in one step travels together.  That
// step comes before OnDone()'s, as Finish() does.
void WatchStream::PumpLater() {
  if (pump_posted_ || write_in_flight_ || finished_) return;
  pump_posted_ = true;
  loop_.Post([this] {
    pump_posted_ = false;
    Pump();
  });
}

void WatchStream::Pump() {
  if (status_) return FinishIfIdle();
  if (write_in_flight_) return;
  const std::string message = TakeMessage();
  if (!message.empty()) {
    const grpc::Slice slice(message);
    message_ = grpc::ByteBuffer(&slice, 1);
    write_in_flight_ = true;
    StartWrite(&message_);
  } else if (!AtEnd()) {
    PumpLater();
  } else if (ending_) {
    Close(grpc::Status::OK);
  }
}

std::string WatchStream::TakeMessage() {
  std::string message;
  if (next_ < log_.first_revision()) {
    const int64_t last_missing = log_.first_revision() - 1;
    message = log_.MakeGap(next_, last_missing).encoded;
    next_ = last_missing + 1;
  }
  for (int i = 0; i < kMaxScan && !AtEnd(); ++i, ++next_) {
    const EventLog::Entry& entry = log_.at(next_);
    if (!filter_.Passes(entry)) continue;
    const size_t size = message.size() + entry.encoded.size();
    if (!message.empty() && size > kMaxMessageBytes) break;
    message += entry.encoded;
  }
  return message;
}

void WatchStream::FinishIfIdle() {
  if (!status_ || write_in_flight_ || finished_) return;
  finished_ = true;
  Finish(*status_);
}

}  // namespace portreeve::server
