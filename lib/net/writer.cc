#include "lib/net/writer.h"

#include <algorithm>
#include <cerrno>
#include <deque>
#include <new>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "lib/base/check.h"
#include "lib/base/socket_calls.h"
#include "lib/base/status.h"
#include "lib/net/write_buffer.h"

namespace portreeve {
namespace {

// The most that one step of the loop gives to the kernel, so that one fast peer
// does not hold up the others.
constexpr size_t kBytesPerStep = 1 << 20;

// The pause before it is tried again to wait for the socket, or for the next
// step, where there was no memory for that.
constexpr std::chrono::milliseconds kRetryPause{10};

}  // namespace

// All that a Writer has.  Its operations on the loop keep it alive.
class Writer::State : public std::enable_shared_from_this<State> {
 public:
  State(std::shared_ptr<SocketCore> socket, Monitor monitor,
        WriterOptions options)
      : socket_(std::move(socket)),
        monitor_(std::move(monitor)),
        options_(std::move(options)),
        time_(TimeSource::Of(socket_->executor())),
        consumer_left_(socket_->executor()),
        buffer_(options_.buffer_size),
        age_timer_(time_),
        force_timer_(time_),
        retry_timer_(time_) {}

  // This is apart from the constructor, since it takes a weak reference.
  void Watch() {
    socket_->OnClosed([weak = weak_from_this()] {
      if (auto self = weak.lock()) self->OnDescriptorClosed();
    });
  }

  void Write(std::string_view data) {
    if (!accepts_writes()) return Refuse({&data, 1});
    if (data.empty()) return;
    buffer_.Append(data);
    Stamp();
    ScheduleFlush();
  }

  void WriteNow(std::span<const std::string_view> pieces) {
    if (!accepts_writes()) return Refuse(pieces);
    size_t taken = 0;
    if (bytes_to_write() == 0 && !flush_scheduled_ && kernel_has_room()) {
      taken = Give(pieces);
      if (!socket_->is_open()) {
        has_dropped_ = true;
        return;
      }
    }
    const bool nothing_waits = bytes_to_write() == 0;
    buffer_.AppendRest(pieces, taken);
    if (bytes_to_write() == 0) return;
    Stamp();
    if (flush_scheduled_) return;
    if (nothing_waits) {
      WaitWritable();
    } else {
      ScheduleFlush();
    }
  }

  Deferred<FlushResult> Flushed(size_t all_but) {
    const Ivar<FlushResult> flushed(socket_->executor());
    if (bytes_to_write() <= all_but && !has_dropped_) {
      flushed.Fill(FlushResult::kFlushed);
    } else if (!socket_->is_open()) {
      flushed.Fill(FlushResult::kLost);
    } else {
      const int64_t end = buffer_.written() - static_cast<int64_t>(all_but);
      auto later = [](int64_t end, const FlushWaiter& waiter) {
        return end < waiter.end;
      };
      const auto at = std::upper_bound(flush_waiters_.begin(),
                                       flush_waiters_.end(), end, later);
      flush_waiters_.insert(at, {end, flushed});
    }
    return flushed.deferred();
  }

  void HoldBack() { holds_back_ = true; }

  size_t bytes_to_write() const { return buffer_.size(); }

  Deferred<> Close(Duration force_close_after) {
    closing_ = true;
    closed_by_owner_ = true;
    const TimePoint when = After(time_.Now(), force_close_after);
    if (bytes_to_write() == 0) {
      socket_->CloseInOrder(when);
    } else if (socket_->is_open()) {
      ForceCloseAt(when);
      StopHoldingBack();
    }
    return socket_->closed();
  }

  void Abort() {
    closing_ = true;
    closed_by_owner_ = true;
    socket_->Reset();
  }

  void HalfClose() {
    if (!accepts_writes()) return;
    half_closed_ = true;
    if (bytes_to_write() == 0) {
      socket_->ShutdownSend();
    } else {
      StopHoldingBack();
    }
  }
  bool has_sent_end() const { return half_closed_ && bytes_to_write() == 0; }

  bool is_half_closed() const { return half_closed_; }

  FrozenWriter Freeze() const {
    FrozenWriter frozen;
    buffer_.Freeze(frozen);
    frozen.half_closed = half_closed_;
    return frozen;
  }

  void Restore(FrozenWriter frozen) {
    PORTREEVE_CHECK(buffer_.written() == 0 && !closing_ && !half_closed_);
    half_closed_ = frozen.half_closed;
    if (frozen.to_write.empty()) {
      // The peer was sent that end already, but the socket here has to know.
      if (half_closed_) socket_->ShutdownSend();
      return;
    }
    std::optional<TimePoint> now;
    if (options_.buffer_age_limit.at_most()) now = time_.Now();
    buffer_.Restore(std::move(frozen), now);
    if (now) ArmAgeTimer();
    WaitWritable();
  }

  void LetGo() {
    StopHoldingBack();
    closing_ = true;
    closed_by_owner_ = true;
  }

  bool is_closed() const { return closing_; }
  Deferred<> close_finished() const { return socket_->closed(); }
  Deferred<> consumer_left() const { return consumer_left_.deferred(); }

  // The Writer is destroyed: no error is reported any more but that of lost
  // bytes.
  void Abandon() {
    if (bytes_to_write() > 0 && socket_->is_open() && !closing_) {
      socket_->CloseNow();
    }
  }

 private:
  struct FlushWaiter {
    int64_t end;
    Ivar<FlushResult> flushed;
  };

  // That the consumer has left is no fault of whoever writes.
  void Refuse(std::span<const std::string_view> pieces) {
    if (!consumer_is_gone_ || closed_by_owner_ || half_closed_) {
      throw StatusError(
          absl::FailedPreconditionError("attempt to use closed writer"));
    }
    for (const std::string_view piece : pieces) {
      if (!piece.empty()) has_dropped_ = true;
    }
  }

  bool accepts_writes() const {
    // It accepts them also while close is flushing (g4).
    const bool flushing = closing_ && bytes_to_write() > 0;
    return socket_->is_open() && !half_closed_ && (!closing_ || flushing);
  }

  void ScheduleFlush() {
    if (flush_scheduled_) return;
    flush_scheduled_ = true;
    try {
      asio::post(socket_->executor(), [self = shared_from_this()] {
        self->flush_scheduled_ = false;
        self->Flush();
      });
    } catch (const std::bad_alloc&) {
      FlushLater();
    }
  }

  // There is no memory to be called by the loop: what was written is flushed a
  // moment later.
  void FlushLater() {
    kept_ = shared_from_this();  // As by what the loop would call.
    retry_timer_.StartAfter(kRetryPause, [this] {
      const auto self = std::move(kept_);
      flush_scheduled_ = false;
      SetHeldBack(false);
      Flush();
    });
  }

  void Flush() {
    const size_t step_begin = bytes_to_write();
    while (socket_->is_open() && bytes_to_write() > 0) {
      if (step_begin - bytes_to_write() >= kBytesPerStep) {
        OnProgress();
        ScheduleFlush();
        return;
      }
      const ssize_t n = socket_->Send(
          buffer_.bytes().data(), std::min(bytes_to_write(), kBytesPerStep));
      if (n < 0) {
        const int error = errno;
        OnProgress();
        if (WouldBlock(error)) {
          WaitWritable();
        } else {
          OnSendError(error);
        }
        return;
      }
      buffer_.Take(static_cast<size_t>(n));
    }
    OnProgress();
    if (bytes_to_write() == 0) OnFlushed();
  }

  // Sends `pieces` until the kernel takes no more, or fails.  Gives how many
  // bytes it took.
  size_t Give(std::span<const std::string_view> pieces) {
    size_t given = 0;
    while (!pieces.empty()) {
      const auto batch = pieces.first(std::min(pieces.size(), kMostPieces));
      size_t size = 0;
      for (const std::string_view piece : batch) size += piece.size();
      const ssize_t n = size == 0 ? 0 : socket_->Send(batch);
      if (n < 0) {
        if (!WouldBlock(errno)) OnSendError(errno);
        break;
      }
      given += static_cast<size_t>(n);
      if (static_cast<size_t>(n) < size) break;
      pieces = pieces.subspan(batch.size());
    }
    return given;
  }

  bool kernel_has_room() {
    return !holds_back_ || !socket_->is_open() ||
           HasLittleUnsent(socket_->socket().native_handle());
  }

  // HoldBack() has an effect on the wait only: sending must not be cut into
  // pieces.
  void WaitWritable() {
    flush_scheduled_ = true;
    SetHeldBack(holds_back_);
    try {
      socket_->socket().async_wait(asio::socket_base::wait_write,
                                   [self = shared_from_this()](error_code) {
                                     self->flush_scheduled_ = false;
                                     self->SetHeldBack(false);
                                     self->Flush();
                                   });
    } catch (const std::bad_alloc&) {
      FlushLater();
    }
  }

  // Ends the wait if the kernel takes more, since it reports that then.
  void StopHoldingBack() {
    holds_back_ = false;
    SetHeldBack(false);
  }

  void SetHeldBack(bool held_back) {
    if (held_back_ == held_back) return;
    held_back_ = held_back;
    if (!socket_->is_open()) return;
    SetWritableWithLittleUnsent(socket_->socket().native_handle(), held_back);
  }

  // Drops what the kernel has taken, and wakes those who waited for it.
  void OnProgress() {
    const int64_t flushed = buffer_.taken();
    while (!flush_waiters_.empty() && flush_waiters_.front().end <= flushed) {
      flush_waiters_.front().flushed.Fill(FlushResult::kFlushed);
      flush_waiters_.pop_front();
    }
    buffer_.DropTaken();
    if (!buffer_.oldest()) age_timer_.Cancel();
  }

  void OnFlushed() {
    force_timer_.Cancel();
    if (closing_) {
      socket_->CloseInOrder(force_at_);
    } else if (half_closed_) {
      socket_->ShutdownSend();
    }
  }

  void Stamp() {
    if (!options_.buffer_age_limit.at_most()) return;
    buffer_.Stamp(time_.Now());
    if (!age_timer_.armed()) ArmAgeTimer();
  }

  void ArmAgeTimer() {
    const Duration age = time_.Now() - *buffer_.oldest();
    const Duration limit = *options_.buffer_age_limit.at_most();
    // It is later by the granularity, since what shares the time of the oldest
    // may be that much younger.
    constexpr Duration kLater = WriteBuffer::kGranularity;
    age_timer_.StartAfter(limit - age > Duration::max() - kLater
                              ? Duration::max()
                              : limit - age + kLater,
                          [this] { OnAgeTimer(); });
  }

  void OnAgeTimer() {
    // What was the oldest when the timer was set may have been flushed.
    const Duration limit = *options_.buffer_age_limit.at_most();
    const auto oldest = buffer_.oldest();
    if (!oldest) return;
    if (time_.Now() - *oldest < limit + WriteBuffer::kGranularity) {
      ArmAgeTimer();
      return;
    }
    const auto self = shared_from_this();  // The monitor's handler may let go.
    socket_->OverruleReason(CloseReason::kBufferAge);
    closing_ = true;
    LoseTheRest();
    Report(absl::DeadlineExceededError(
        absl::StrCat("writer buffer has data older than ",
                     absl::FormatDuration(absl::FromChrono(limit)))));
  }

  void ForceCloseAt(TimePoint when) {
    if (force_timer_.armed() && force_at_ <= when) return;
    force_at_ = when;
    force_timer_.StartAt(when, [this] {
      socket_->OverruleReason(CloseReason::kForced);
      LoseTheRest();
    });
  }

  void LoseTheRest() {
    if (options_.on_loss == OnLoss::kReset) {
      socket_->ResetWithLoss();
    } else {
      socket_->CloseNow();
    }
  }

  void OnSendError(int error) {
    if (!socket_->is_open()) return;  // OnDescriptorClosed() has dealt with it.
    socket_->NoteReason(CloseReason::kPeerReset);
    if (!options_.raise_when_consumer_leaves) {
      OnConsumerGone();
      socket_->CloseNow();
      return;
    }
    const auto self = shared_from_this();  // The monitor's handler may let go.
    consumer_left_.FillIfEmpty();
    closing_ = true;
    socket_->CloseNow();
    Report(ErrnoError(error, "write", ToString(socket_->peer())));
  }

  void OnConsumerGone() {
    consumer_left_.FillIfEmpty();
    consumer_is_gone_ = true;
    closing_ = true;
  }

  void Report(const absl::Status& error) {
    monitor_.Send(std::make_exception_ptr(StatusError(error)));
  }

  void OnDescriptorClosed() {
    const auto self = shared_from_this();
    if (!closing_ && !options_.raise_when_consumer_leaves &&
        socket_->HasFailed()) {
      // Somebody else has closed it, after a reset.
      socket_->NoteReason(CloseReason::kPeerReset);
      OnConsumerGone();
    }
    const bool unexpected = !closing_ && bytes_to_write() > 0;
    closing_ = true;
    age_timer_.Cancel();
    force_timer_.Cancel();
    retry_timer_.Cancel();
    kept_.reset();
    // An empty deque takes memory, and there may be none.
    while (!flush_waiters_.empty()) {
      const Ivar<FlushResult> flushed = flush_waiters_.front().flushed;
      flush_waiters_.pop_front();
      flushed.Fill(FlushResult::kLost);
    }
    if (unexpected) {
      monitor_.Send(std::make_exception_ptr(StatusError(absl::DataLossError(
          absl::StrCat("writer fd unexpectedly closed with ", bytes_to_write(),
                       " bytes unflushed: ", ToString(socket_->peer()))))));
    }
  }

  const std::shared_ptr<SocketCore> socket_;
  const Monitor monitor_;
  const WriterOptions options_;
  TimeSource& time_;
  const Ivar<> consumer_left_;

  WriteBuffer buffer_;
  std::deque<FlushWaiter> flush_waiters_;
  bool flush_scheduled_ = false;  // Posted, or waiting for the socket.
  bool holds_back_ = false;       // HoldBack() was called.
  bool held_back_ = false;        // The socket waits as HoldBack() says.
  bool half_closed_ = false;
  bool closing_ = false;
  bool closed_by_owner_ = false;   // By Close() or Abort().
  bool consumer_is_gone_ = false;  // It left, and that is no error.
  bool has_dropped_ = false;       // Bytes that were not even buffered.
  Timer age_timer_;
  Timer force_timer_;
  Timer retry_timer_;            // Of FlushLater().
  std::shared_ptr<State> kept_;  // While that is set.
  TimePoint force_at_;
};

Writer::Writer(std::shared_ptr<SocketCore> socket, Monitor monitor,
               WriterOptions options)
    : state_(std::make_shared<State>(std::move(socket), std::move(monitor),
                                     std::move(options))) {
  state_->Watch();
}

Writer::~Writer() { state_->Abandon(); }

void Writer::Write(std::string_view data) { state_->Write(data); }

void Writer::WriteNow(std::span<const std::string_view> pieces) {
  state_->WriteNow(pieces);
}

void Writer::HoldBack() { state_->HoldBack(); }

Deferred<FlushResult> Writer::Flushed(size_t all_but) {
  return state_->Flushed(all_but);
}

size_t Writer::bytes_to_write() const { return state_->bytes_to_write(); }

Deferred<> Writer::Close(Duration force_close_after) {
  return state_->Close(force_close_after);
}

void Writer::Abort() { state_->Abort(); }

bool Writer::is_closed() const { return state_->is_closed(); }

Deferred<> Writer::close_finished() const { return state_->close_finished(); }

void Writer::HalfClose() { state_->HalfClose(); }

bool Writer::has_sent_end() const { return state_->has_sent_end(); }

bool Writer::is_half_closed() const { return state_->is_half_closed(); }

Deferred<> Writer::consumer_left() const { return state_->consumer_left(); }

FrozenWriter Writer::Freeze() const { return state_->Freeze(); }

void Writer::Restore(FrozenWriter frozen) {
  state_->Restore(std::move(frozen));
}

void Writer::LetGo() { state_->LetGo(); }

}  // namespace portreeve
