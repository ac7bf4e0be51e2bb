#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include "lib/base/socket_calls.h"
#include "server/handlers/handlers.h"
#include "server/handlers/moving_connection.h"

namespace portreeve::server {
namespace {

class DiscardConnection final : public MovingConnection {
 public:
  explicit DiscardConnection(Accepted accepted)
      : MovingConnection(std::move(accepted)),
        reads_to_the_end_(std::holds_alternative<Unix::Address>(peer())) {}
  DiscardConnection(Accepted accepted, const FrozenDirect& direct,
                    const FrozenDiscard& frozen)
      : MovingConnection(std::move(accepted), direct),
        reads_to_the_end_(frozen.reads_to_the_end) {}

  std::optional<Moving> Freeze() const override {
    auto direct = FreezeDirect();
    if (!direct) return std::nullopt;
    return Moving{{*std::move(direct), FrozenDiscard{reads_to_the_end_}},
                  {fd()}};
  }

  bool is_at_rest() const override { return true; }

 private:
  // The reads are bounded so that one fast peer does not hold up the others.
  static constexpr int kReadsPerStep = 16;

  void OnReady(uint32_t events, int) override {
    // A read stops at urgent data, as it does at descriptors that come over a
    // unix socket; and after an end epoll reports nothing any more.
    if ((events & (EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
      reads_to_the_end_ = true;
    }
    for (int i = 0; i < kReadsPerStep; ++i) {
      if (finished() || !ReadOnce()) return;
    }
    if (CallAgain()) return;
    NoteReason(CloseReason::kForced);
    Finish(How::kReset);
  }

  // Gives false when there is nothing more now.
  bool ReadOnce() {
    const auto space = lane().scratch();
    const ssize_t size = recv(fd(), space.data(), space.size(), MSG_DONTWAIT);
    if (size > 0) {
      SetReceived(bytes_received() + size);
      return reads_to_the_end_ || static_cast<size_t>(size) == space.size();
    }
    if (size < 0 && errno == EINTR) return true;
    if (size < 0 && WouldBlock(errno)) return false;
    NoteReason(size == 0 ? CloseReason::kPeerClosed : CloseReason::kPeerReset);
    Finish(How::kAfterEnd);
    return false;
  }

  void CloseInOrder(CloseReason) override { Finish(How::kInOrder); }
  void CloseWithReset() override { Finish(How::kReset); }
  void OnRing(TimePoint) override {}

  bool reads_to_the_end_;  // A read that gives little is followed by another.
};

}  // namespace

std::shared_ptr<DirectConnection> RestoreDiscard(
    DirectConnection::Accepted accepted, const FrozenDirect& direct,
    const FrozenDiscard& frozen) {
  return std::make_shared<DiscardConnection>(std::move(accepted), direct,
                                             frozen);
}

AnyHandler DiscardHandler() {
  DirectHandler handler;
  handler.make = [](DirectConnection::Accepted accepted) {
    return std::make_shared<DiscardConnection>(std::move(accepted));
  };
  return handler;
}

}  // namespace portreeve::server
