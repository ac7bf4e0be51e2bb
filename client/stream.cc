#include "client/stream.h"

#include <grpcpp/channel.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/bidi_call.h"
#include "client/canceller.h"
#include "client/repeat.h"
#include "client/retry.h"
#include "client/stream_move.h"
#include "portreeve/v1/connection.grpc.pb.h"

namespace portreeve::client {
namespace {

// What one frame holds at most; the daemon takes more.
constexpr size_t kFrameSize = 64 * 1024;

// How long the next process may not be reached.
constexpr absl::Duration kMoveFor = absl::Seconds(10);

absl::Status AfterTheEnd() {
  return absl::FailedPreconditionError("the stream has ended");
}

}  // namespace

class Stream::Impl {
 public:
  // Starts the call that `first` is for.
  Impl(const std::shared_ptr<grpc::Channel>& channel,
       const CallOptions& options, const v1::ClientFrame& first)
      : stub_(v1::ConnectionService::NewStub(channel)),
        until_(absl::Now() + options.timeout),
        call_(NewCall(first)),
        entry_(options.canceller, [this] { Cancel(); }) {}

  // Waits for `opened`.
  absl::Status Open(const v1::ClientFrame& first) {
    auto connection = Open(call(), first);
    if (!connection.ok()) return connection.status();
    connection_ = *std::move(connection);
    return absl::OkStatus();
  }

  const v1::Connection& connection() const { return connection_; }

  absl::Status Send(absl::string_view bytes) {
    absl::MutexLock turn(&send_turn_);
    v1::ClientFrame frame;
    for (size_t at = 0; at < bytes.size(); at += kFrameSize) {
      const absl::string_view part = bytes.substr(at, kFrameSize);
      frame.set_data(part.data(), part.size());
      const absl::Status sent = Send(frame, StreamMove::Frame::kData);
      if (!sent.ok()) return sent;
    }
    return absl::OkStatus();
  }

  absl::Status SendEof() {
    absl::MutexLock turn(&send_turn_);
    return Send(NewEofFrame(), StreamMove::Frame::kEof);
  }

  // Sends `done`, `reset` or `raised`.
  absl::Status End(const v1::ClientFrame& frame) {
    absl::MutexLock turn(&send_turn_);
    return Send(frame, StreamMove::Frame::kEnd);
  }

  absl::StatusOr<v1::ServerFrame> Read() {
    if (closed_.has_closed()) return closed_;
    v1::ServerFrame frame;
    while (broken_.ok()) {
      Call& leg = call();
      if (!leg.Read(frame)) {
        broken_ = EndLeg(leg);
      } else if (frame.has_moved()) {
        absl::MutexLock lock(&mutex_);
        HalfCloseIf(move_.OnMoved(), leg);
      } else if (IsNews(frame)) {
        Take(frame, leg);
        return frame;
      }
    }
    return broken_;
  }

  void Cancel() {
    absl::MutexLock lock(&mutex_);
    is_cancelled_ = true;
    call_->Cancel();
  }

 private:
  using Call = BidiCall<v1::ClientFrame, v1::ServerFrame>;

  static v1::ClientFrame NewEofFrame() {
    v1::ClientFrame frame;
    frame.mutable_eof();
    return frame;
  }

  std::unique_ptr<Call> NewCall(const v1::ClientFrame& first) {
    const CallOptions options = {.timeout = Left()};
    return std::make_unique<Call>(
        options, [&](grpc::ClientContext* context, auto* reactor) {
          if (first.has_dial()) {
            stub_->async()->Dial(context, reactor);
          } else {
            stub_->async()->Attach(context, reactor);
          }
        });
  }

  // Of the reading thread.
  Call& call() {
    absl::MutexLock lock(&mutex_);
    return *call_;
  }

  // Sends `first` and waits for the `opened` of `leg`.
  static absl::StatusOr<v1::Connection> Open(Call& leg,
                                             const v1::ClientFrame& first) {
    // A call that ends at once takes nothing; the reason is its status.
    leg.Write(first);
    v1::ServerFrame frame;
    if (!leg.Read(frame)) return WithoutClosed(leg.Finish());
    if (!frame.has_opened()) {
      return absl::InternalError("the daemon did not open the stream");
    }
    return std::move(*frame.mutable_opened()->mutable_connection());
  }

  // Sends on this leg or, where the connection moves, on the next.
  absl::Status Send(const v1::ClientFrame& frame, StreamMove::Frame kind)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(send_turn_) {
    Call* leg = nullptr;
    {
      absl::MutexLock lock(&mutex_);
      StreamMove::Turn turn = move_.Begin(kind);
      while (turn == StreamMove::Turn::kLater) {
        changed_.Wait(&mutex_);
        turn = move_.Begin(kind);
      }
      if (turn == StreamMove::Turn::kOver) return AfterTheEnd();
      if (turn == StreamMove::Turn::kAfterEnd) {
        return absl::FailedPreconditionError(
            "nothing can be sent after the end that was said");
      }
      leg = call_.get();
    }
    return Write(frame, *leg) ? absl::OkStatus() : AfterTheEnd();
  }

  // Sends the frame that move_ has let begin.
  bool Write(const v1::ClientFrame& frame, Call& leg) {
    const bool written = leg.Write(frame);
    absl::MutexLock lock(&mutex_);
    HalfCloseIf(move_.OnSent(written), leg);
    return written;
  }

  void HalfCloseIf(bool shall, Call& leg)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (shall) {
      leg.HalfClose();
      move_.OnHalfClosed();
    }
    changed_.SignalAll();
  }

  // Whether it is for the user: an `eof` comes again on each leg.
  bool IsNews(const v1::ServerFrame& frame) const {
    if (frame.has_eof()) return frame.eof().reset() || !has_eof_;
    return frame.has_closed() || !frame.data().empty();
  }

  void Take(const v1::ServerFrame& frame, Call& leg) {
    {
      absl::MutexLock lock(&mutex_);
      if (frame.has_closed()) {
        move_.OnClosed();
      } else {
        move_.OnData();
      }
      changed_.SignalAll();
    }
    if (frame.has_eof()) has_eof_ = true;
    if (!frame.has_closed()) return;
    closed_ = frame;
    // Lets the call end by itself: cancelled, it would look broken.
    v1::ServerFrame nothing;
    if (!leg.Read(nothing)) leg.Finish().IgnoreError();
  }

  // Why a call that has ended without `closed` is an error.
  static absl::Status WithoutClosed(const absl::Status& status) {
    if (!status.ok()) return status;
    return absl::InternalError("the daemon ended the stream without `closed`");
  }

  // The leg has ended without `closed`.  Gives OK once the next one is open.
  absl::Status EndLeg(Call& leg) {
    const absl::Status status = leg.Finish();
    {
      absl::MutexLock lock(&mutex_);
      while (move_.is_sending()) changed_.Wait(&mutex_);
      const bool goes_on = move_.OnEnd(status.ok() && leg.has_half_closed());
      changed_.SignalAll();
      if (!goes_on) return WithoutClosed(status);
    }
    const absl::Status opened = OpenNextLeg();
    if (opened.ok()) return opened;
    absl::MutexLock lock(&mutex_);
    move_.OnLost();
    changed_.SignalAll();
    return is_cancelled_ ? absl::CancelledError() : opened;
  }

  absl::Status OpenNextLeg() {
    Retry retry(kMoveFor);
    std::minstd_rand random{std::random_device()()};
    while (true) {
      const absl::Status opened = TryNextLeg();
      if (!MayAttachAgain(opened)) return opened;
      const double chance = std::uniform_real_distribution<double>()(random);
      const auto wait = retry.OnEnd(absl::Now(), chance);
      absl::MutexLock lock(&mutex_);
      if (!wait || mutex_.AwaitWithTimeout(absl::Condition(&is_cancelled_),
                                           std::min(*wait, Left()))) {
        return opened;
      }
    }
  }

  absl::Status TryNextLeg() {
    v1::ClientFrame first;
    first.mutable_attach()->set_connection(connection_.name());
    first.mutable_attach()->set_can_move(true);
    std::unique_ptr<Call> next = NewCall(first);
    Call& leg = *next;
    {
      absl::MutexLock lock(&mutex_);
      if (is_cancelled_) leg.Cancel();
      call_.swap(next);
    }
    next.reset();
    const absl::Status opened = Open(leg, first).status();
    if (!opened.ok()) return opened;
    bool has_sent_eof = false;
    {
      absl::MutexLock lock(&mutex_);
      has_sent_eof = move_.OnOpened();
      changed_.SignalAll();
    }
    if (has_sent_eof) Write(NewEofFrame(), leg);
    return absl::OkStatus();
  }

  absl::Duration Left() const { return until_ - absl::Now(); }

  const std::unique_ptr<v1::ConnectionService::Stub> stub_;
  const absl::Time until_;

  absl::Mutex send_turn_ ABSL_ACQUIRED_BEFORE(mutex_);

  absl::Mutex mutex_;
  absl::CondVar changed_;
  StreamMove move_ ABSL_GUARDED_BY(mutex_);
  bool is_cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  // Another one only while nothing is being sent, by the reading thread.
  std::unique_ptr<Call> call_ ABSL_GUARDED_BY(mutex_);

  // Of the reading thread.
  v1::Connection connection_;
  v1::ServerFrame closed_;
  absl::Status broken_;
  bool has_eof_ = false;

  const CancellerEntry entry_;
};

absl::StatusOr<Stream> Stream::Open(
    const std::shared_ptr<grpc::Channel>& channel, const v1::ClientFrame& first,
    const CallOptions& options) {
  auto impl = std::make_unique<Impl>(channel, options, first);
  const absl::Status opened = impl->Open(first);
  if (!opened.ok()) return opened;
  return Stream(std::move(impl));
}

absl::StatusOr<Stream> Stream::Attach(
    const std::shared_ptr<grpc::Channel>& channel,
    const std::string& connection, const CallOptions& options) {
  v1::ClientFrame first;
  first.mutable_attach()->set_connection(connection);
  first.mutable_attach()->set_can_move(true);
  return Open(channel, first, options);
}

absl::StatusOr<Stream> Stream::Dial(
    const std::shared_ptr<grpc::Channel>& channel,
    const v1::ClientFrame::Dial& dial, const CallOptions& options) {
  v1::ClientFrame first;
  *first.mutable_dial() = dial;
  first.mutable_dial()->set_can_move(true);
  return Open(channel, first, options);
}

Stream::Stream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&&) noexcept = default;
Stream::~Stream() = default;

const v1::Connection& Stream::connection() const { return impl_->connection(); }

absl::Status Stream::Send(absl::string_view bytes) {
  return impl_->Send(bytes);
}

absl::Status Stream::SendEof() { return impl_->SendEof(); }

absl::Status Stream::Done() {
  v1::ClientFrame frame;
  frame.mutable_done();
  return impl_->End(frame);
}

absl::Status Stream::Reset() {
  v1::ClientFrame frame;
  frame.mutable_reset();
  return impl_->End(frame);
}

absl::Status Stream::Raise(const std::string& message) {
  v1::ClientFrame frame;
  frame.mutable_raised()->set_message(message);
  return impl_->End(frame);
}

absl::StatusOr<v1::ServerFrame> Stream::Read() { return impl_->Read(); }

void Stream::Cancel() { impl_->Cancel(); }

}  // namespace portreeve::client
