#include "lib/net/lingering_socket.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <optional>
#include <utility>

#include "lib/base/socket_calls.h"
#include "lib/net/close_socket.h"
#include "lib/net/tcp_facts.h"

namespace portreeve {
namespace {

using End = LingerPolicy::End;
using Input = LingerPolicy::Input;

// TCP throws away what MSG_TRUNC receives without copying it.
constexpr size_t kDiscardBytes = 1 << 20;
constexpr int kDiscardsPerStep = 16;

struct Discarded {
  int64_t bytes = 0;
  Input input = Input::kMore;
};

// Receives what there is, up to a bound.
Discarded Discard(int fd) {
  Discarded discarded;
  for (int i = 0; i < kDiscardsPerStep; ++i) {
    const ssize_t n =
        recv(fd, nullptr, kDiscardBytes, MSG_TRUNC | MSG_DONTWAIT);
    if (n > 0) {
      discarded.bytes += n;
    } else if (n == 0) {
      discarded.input = Input::kEnd;
      break;
    } else if (errno != EINTR) {
      discarded.input = WouldBlock(errno) ? Input::kNothing : Input::kFailure;
      break;
    }
  }
  return discarded;
}

}  // namespace

CloseStep BeginCloseOfTcp(int fd, int64_t bytes_received) {
  (void)shutdown(fd, SHUT_WR);
  const TcpFacts facts = TcpFactsOf(fd);
  const bool all_was_read =
      facts.bytes_received == bytes_received + (facts.peer_has_ended ? 1 : 0);
  Discarded discarded{0, facts.peer_has_ended ? Input::kEnd : Input::kNothing};
  if (!all_was_read || facts.is_over) discarded = Discard(fd);
  switch (discarded.input) {
    case Input::kFailure:
      return CloseStep::kFailed;
    case Input::kEnd:
      return CloseStep::kClose;
    case Input::kMore:
    case Input::kNothing:
      break;
  }
  if (discarded.bytes > 0) return CloseStep::kLingerAfterInput;
  return facts.bytes_unsent > 0 ? CloseStep::kLinger : CloseStep::kClose;
}

CloseStep BeginCloseOfUnix(int fd) {
  return ShutDownInOrder(fd) ? CloseStep::kClose : CloseStep::kFailed;
}

// It is apart from its handle, since the poller may call it until the end of
// the step.
class LingeringSocket::State final
    : public Poller::Watch,
      public std::enable_shared_from_this<LingeringSocket::State> {
 public:
  State(Poller& poller, TimeSource& time, Owner& owner)
      : poller_(poller), time_(time), owner_(owner), timer_(time) {}

  void Begin(Descriptor fd, Registered registered, CloseStep begun,
             TimePoint deadline) {
    fd_ = std::move(fd);
    policy_.emplace(time_.Now(), deadline,
                    begun == CloseStep::kLingerAfterInput);
    try {
      BeginToWatch(registered);
    } catch (const std::bad_alloc&) {
      // The timer has to do.
      if (registered.watch != nullptr) {
        poller_.Remove(*registered.watch, registered.tag);
      }
    }
    SetTimer();
  }

  void EndBy(TimePoint deadline) {
    policy_->EndBy(deadline);
    if (fd_.is_open()) SetTimer();
  }

  void Abandon() {
    Take();
    poller_.KeepForThisStep(shared_from_this());
  }

  int fd() const { return fd_.get(); }

  Descriptor Take() {
    if (std::exchange(watched_, false)) poller_.Remove(*this);
    timer_.Cancel();
    return std::move(fd_);
  }

 private:
  void BeginToWatch(Registered registered) {
    // Epoll reports an acknowledged FIN as EPOLLOUT.
    constexpr uint32_t kEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    // Where the socket cannot be watched, the timer has to do.
    if (registered.watch == nullptr) {
      watched_ = poller_.Add(fd_.get(), kEvents, *this) == 0;
    } else if (poller_.Move(fd_.get(), kEvents, *registered.watch,
                            registered.tag, *this) == 0) {
      watched_ = true;
    } else {
      poller_.Remove(*registered.watch, registered.tag);
    }
  }

  void OnReady(uint32_t events, int) override {
    if (events == 0) called_again_ = false;
    if (fd_.is_open()) Look();
  }

  void SetTimer() {
    timer_.StartAt(policy_->next_look(), [this] { Look(); });
  }

  void Look() {
    const Discarded discarded = Discard(fd_.get());
    const End end =
        policy_->OnLook(time_.Now(), discarded.bytes, discarded.input,
                        UnacknowledgedBytes(fd_.get()));
    if (end == End::kNone) {
      SetTimer();  // This comes first, since the rest may find no memory.
      if (discarded.input == Input::kMore && watched_ && !called_again_) {
        poller_.CallAgain(*this);
        called_again_ = true;
      }
      return;
    }
    if (end == End::kForced) MakeCloseReset(fd_.get());
    // The FIN, behind the unsent bytes, counts as one.
    const int64_t unsent = std::max<int64_t>(0, UnsentBytes(fd_.get()) - 1);
    owner_.OnLingeringEnded(Take(), {end, unsent});
  }

  Poller& poller_;
  TimeSource& time_;
  Owner& owner_;
  Descriptor fd_;
  std::optional<LingerPolicy> policy_;  // From Begin() on.
  bool watched_ = false;
  bool called_again_ = false;  // The poller calls this in the next step.
  Timer timer_;
};

LingeringSocket::LingeringSocket(Poller& poller, TimeSource& time, Owner& owner,
                                 Descriptor fd, Registered registered,
                                 CloseStep begun, TimePoint deadline)
    : LingeringSocket(poller, time, owner) {
  Begin(std::move(fd), registered, begun, deadline);
}

LingeringSocket::LingeringSocket(Poller& poller, TimeSource& time, Owner& owner)
    : state_(std::make_shared<State>(poller, time, owner)) {}

void LingeringSocket::Begin(Descriptor fd, Registered registered,
                            CloseStep begun, TimePoint deadline) {
  state_->Begin(std::move(fd), registered, begun, deadline);
}

LingerResult LingeringSocket::EndAtOnce(int fd, CloseStep begun) {
  const bool peer_sends = begun == CloseStep::kLingerAfterInput;
  if (peer_sends) MakeCloseReset(fd);
  return {peer_sends ? End::kForced : End::kLeftToKernel,
          std::max<int64_t>(0, UnsentBytes(fd) - 1)};
}

LingeringSocket::~LingeringSocket() { state_->Abandon(); }

void LingeringSocket::EndBy(TimePoint deadline) { state_->EndBy(deadline); }

int LingeringSocket::fd() const { return state_->fd(); }

Descriptor LingeringSocket::Take() { return state_->Take(); }

}  // namespace portreeve
