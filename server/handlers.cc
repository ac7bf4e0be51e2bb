#include "server/handlers.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "lib/direct_connection.h"
#include "lib/outbox.h"
#include "server/pump.h"

namespace portreeve::server {
namespace {

class EchoConnection final : public DirectConnection, private Outbox::Sender {
 public:
  explicit EchoConnection(Accepted accepted)
      : DirectConnection(std::move(accepted)) {}

 private:
  void OnReady(uint32_t events, int) override {
    if (finished()) return;
    pump_.NoteSource(events);
    Advance();
  }

  void OnSent(ssize_t result, std::string_view message, int) override {
    if (pump_.OnSent(lane(), result, message)) return Advance();
    Publish();
  }

  void Advance() {
    const Pump::State state = closing() ? pump_.Flush(lane(), fd())
                                        : pump_.Run(lane(), fd(), fd(), *this);
    Publish();
    switch (state) {
      case Pump::State::kAwaitsSource:
      case Pump::State::kSending:
        break;
      case Pump::State::kAwaitsTarget:
        OnBlocked();
        break;
      case Pump::State::kHasMore:
        lane().poller().CallAgain(*this);
        break;
      case Pump::State::kEnded:
        NoteReason(CloseReason::kPeerClosed);
        Finish(closing() ? How::kInOrder : How::kAfterEnd);
        break;
      case Pump::State::kSourceFailed:
      case Pump::State::kTargetFailed:
        NoteReason(CloseReason::kPeerReset);
        Finish(How::kAfterEnd);
        break;
    }
  }

  void Publish() {
    SetReceived(pump_.received());
    SetSent(pump_.sent());
    SetToWrite(pump_.held());
  }

  void OnBlocked() {
    WatchWritable();
    if (const auto limit = buffer_age_limit().at_most()) {
      RingAt(After(*pump_.held_since(), *limit));
    }
  }

  void OnRing(TimePoint now) override {
    if (closing() && now >= *force_close_at_) {
      OverruleReason(CloseReason::kForced);
      return Finish(How::kInOrder);
    }
    if (const auto limit = buffer_age_limit().at_most();
        limit && pump_.held_since()) {
      const TimePoint too_old = After(*pump_.held_since(), *limit);
      if (now >= too_old) {
        OverruleReason(CloseReason::kBufferAge);
        return Finish(How::kInOrder);
      }
      RingAt(too_old);
    }
    if (closing()) RingAt(*force_close_at_);
  }

  void CloseInOrder() override {
    if (closing()) return;
    Settle();
    if (finished()) return;
    force_close_at_ = After(lane().time().Now(), kForceCloseAfter);
    Advance();
    if (!finished()) RingAt(*force_close_at_);
  }

  void CloseWithReset() override {
    Settle();
    Finish(How::kReset);
  }

  // Nothing of it is in the outbox afterwards.
  void Settle() {
    if (pump_.sending()) lane().outbox().Settle(*this);
  }

  bool closing() const { return force_close_at_.has_value(); }

  Pump pump_;
  std::optional<TimePoint> force_close_at_;
};

class DiscardConnection final : public DirectConnection {
 public:
  explicit DiscardConnection(Accepted accepted)
      : DirectConnection(std::move(accepted)) {}

 private:
  // So that one fast peer does not hold up the others.
  static constexpr int kReadsPerStep = 16;

  void OnReady(uint32_t events, int) override {
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) hung_up_ = true;
    for (int i = 0; i < kReadsPerStep; ++i) {
      if (finished() || !ReadOnce()) return;
    }
    lane().poller().CallAgain(*this);
  }

  // False when there is nothing more now.
  bool ReadOnce() {
    const auto space = lane().scratch();
    const ssize_t size = recv(fd(), space.data(), space.size(), MSG_DONTWAIT);
    if (size > 0) {
      SetReceived(bytes_received() + size);
      return hung_up_ || static_cast<size_t>(size) == space.size();
    }
    if (size < 0 && errno == EINTR) return true;
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    NoteReason(size == 0 ? CloseReason::kPeerClosed : CloseReason::kPeerReset);
    Finish(How::kAfterEnd);
    return false;
  }

  void CloseInOrder() override { Finish(How::kInOrder); }
  void CloseWithReset() override { Finish(How::kReset); }
  void OnRing(TimePoint) override {}

  bool hung_up_ = false;  // The end of file is there, behind what is left.
};

template <typename T>
AnyHandler Direct() {
  AnyHandler handler;
  handler.make_direct = [](DirectConnection::Accepted accepted) {
    return std::make_shared<T>(std::move(accepted));
  };
  return handler;
}

}  // namespace

AnyHandler EchoHandler() { return Direct<EchoConnection>(); }

AnyHandler DiscardHandler() { return Direct<DiscardConnection>(); }

}  // namespace portreeve::server
