#include "lib/lane/direct_connection.h"

#include <boost/asio/post.hpp>
#include <cerrno>
#include <new>
#include <optional>
#include <utility>
#include <variant>

#include "lib/base/check.h"
#include "lib/net/close_socket.h"

namespace portreeve {
namespace {

bool Lingers(CloseStep step) {
  return step == CloseStep::kLinger || step == CloseStep::kLingerAfterInput;
}

}  // namespace

// The descriptors that are not closed yet because they linger.
class DirectConnection::Lingering {
 public:
  // Takes the memory for those that linger.
  Lingering(DirectConnection& connection, bool own, bool other)
      : own_(connection, false), other_(connection, true) {
    if (own) own_.Make();
    if (other) other_.Make();
  }

  // Each of those that linger begins, by this.
  void Begin(bool is_other, Descriptor fd, bool is_watched, CloseStep step,
             TimePoint deadline) {
    (is_other ? other_ : own_).Begin(std::move(fd), is_watched, step, deadline);
  }

  // The descriptors that linger still.
  Descriptor Take(bool is_other) { return (is_other ? other_ : own_).Take(); }

  bool empty() const { return !own_.socket && !other_.socket; }

  // The connection's own descriptor; -1 where that does not linger any more.
  int fd() const { return own_.socket ? own_.socket->fd() : -1; }

 private:
  struct One final : LingeringSocket::Owner {
    One(DirectConnection& c, bool other) : connection(c), is_other(other) {}

    void Make() {
      Lane& lane = connection.lane();
      socket.emplace(lane.poller(), lane.time(), *this);
    }

    void Begin(Descriptor fd, bool is_watched, CloseStep step,
               TimePoint deadline) {
      LingeringSocket::Registered registered;
      if (is_watched) registered = {&connection, is_other ? 1 : 0};
      socket->Begin(std::move(fd), registered, step, deadline);
    }

    Descriptor Take() {
      if (!socket) return Descriptor();
      Descriptor fd = socket->Take();
      socket.reset();
      return fd;
    }

    void OnLingeringEnded(Descriptor fd, const LingerResult& result) override {
      socket.reset();
      connection.OnLingeringEnded(std::move(fd), result, is_other);
    }

    DirectConnection& connection;
    const bool is_other;
    std::optional<LingeringSocket> socket;
  };

  One own_;
  One other_;
};

// A question to another loop, and its answer on the way back, which takes no
// memory.  It is made and destroyed on the server's loop.
class DirectConnection::TcpInfoQuestion final : public Mailbox::Message {
 public:
  // The server may be gone before the answer: the connection, which it has
  // outlived, is kept for it.
  TcpInfoQuestion(std::shared_ptr<DirectConnection> connection,
                  TakeTcpInfo take)
      : connection_(std::move(connection)),
        home_(connection_->owner_.home().poller().mailbox()),
        take_(std::move(take)) {}

  // Threads: the lane's.
  static void Answer(std::unique_ptr<TcpInfoQuestion> question) {
    question->answer_ = question->connection_->TcpInfoOnLane();
    Mailbox& home = question->home_;
    home.Send([] {}, *question.release());
  }

 private:
  void OnArrival() override {
    const std::unique_ptr<TcpInfoQuestion> self(this);
    take_(answer_);
  }

  const std::shared_ptr<DirectConnection> connection_;
  Mailbox& home_;
  const TakeTcpInfo take_;
  std::optional<TcpInfo> answer_;
};

DirectConnection::DirectConnection(Accepted accepted)
    : owner_(accepted.owner),
      lane_(accepted.lane),
      peer_(std::move(accepted.peer)),
      local_(std::move(accepted.local)),
      buffer_age_limit_(accepted.buffer_age_limit),
      descriptors_(accepted.descriptors),
      sets_no_delay_(accepted.sets_no_delay),
      fd_(std::move(accepted.fd)) {}

DirectConnection::DirectConnection(Accepted accepted,
                                   const FrozenDirect& frozen)
    : AnyConnection(frozen.id),
      owner_(accepted.owner),
      lane_(accepted.lane),
      peer_(std::move(accepted.peer)),
      local_(std::move(accepted.local)),
      buffer_age_limit_(accepted.buffer_age_limit),
      descriptors_(accepted.descriptors),
      sets_no_delay_(accepted.sets_no_delay),
      bytes_received_(frozen.bytes_received),
      bytes_sent_(frozen.bytes_sent),
      bytes_to_write_(frozen.bytes_to_write),
      reason_(frozen.reason),
      fd_(std::move(accepted.fd)),
      watches_writable_(frozen.watches_writable),
      closing_(frozen.force_close_at.has_value()),
      force_close_at_(frozen.force_close_at.value_or(TimePoint())) {}

DirectConnection::~DirectConnection() { PORTREEVE_CHECK(finished()); }

Deferred<> DirectConnection::closed() const {
  if (!closed_ivar_) {
    closed_ivar_ = std::make_unique<const Ivar<>>(
        Executor(owner_.home().loop().get_executor()));
    if (closed_) closed_ivar_->Fill();
  }
  return closed_ivar_->deferred();
}

int DirectConnection::Watch() { return at_home() ? WatchOnLane() : 0; }

int DirectConnection::WatchOnLane() {
  int error = ENOMEM;
  try {
    error = lane_.poller().Add(fd(), kReadable, *this);
  } catch (const std::bad_alloc&) {
    // It is handled as a connection that could not be watched.
  }
  watched_ = error == 0;
  return error;
}

void DirectConnection::Start() {
  if (at_home()) return BeginOnLane();
  try {
    asio::post(lane_.loop(),
               [self = shared_from_this()] { self->BeginOnLane(); });
  } catch (const std::bad_alloc&) {
    // The lane never learns of the connection, so that it is closed here.
    if (finished_) return;  // For the reason that BeginOnLane() has.
    NoteReason(CloseReason::kDropped);
    finished_ = true;
    PrepareToClose(fd_, How::kAtOnce);
    fd_ = Descriptor();
    error_number_ = ENOMEM;
    OnClosed();
  }
}

void DirectConnection::BeginOnLane() {
  if (finished_) return;  // Whoever learned that it was accepted has closed it.
  const int error = watched_ ? 0 : WatchOnLane();
  if (error != 0) {
    NoteReason(CloseReason::kDropped);
    finished_ = true;
    PrepareToClose(fd_, How::kAtOnce);
    return CloseAndTell(Descriptor(), std::move(fd_), error);
  }
  try {
    Begin();
  } catch (...) {
    // There is no memory.  Half begun, the connection would wait for ever.
    Monitor::TopLevel().Send(std::current_exception());
    NoteReason(CloseReason::kForced);
    if (!finished_) CloseWithReset();
  }
}

std::optional<FrozenDirect> DirectConnection::FreezeDirect() const {
  if (finished_ || !watched_ || num_closes_sent_ > 0) return std::nullopt;
  FrozenDirect frozen;
  frozen.id = id();
  frozen.peer = peer_;
  frozen.local = local_;
  frozen.buffer_age_limit = buffer_age_limit_;
  frozen.sets_no_delay = sets_no_delay_;
  frozen.bytes_received = bytes_received();
  frozen.bytes_sent = bytes_sent();
  frozen.bytes_to_write = bytes_to_write();
  frozen.reason = reason();
  frozen.watches_writable = watches_writable_;
  if (closing_) frozen.force_close_at = force_close_at_;
  return frozen;
}

int DirectConnection::Resume() {
  const uint32_t events = kReadable | (watches_writable_ ? EPOLLOUT : 0u);
  const int error = lane_.poller().Add(fd(), events, *this);
  if (error != 0) return error;
  watched_ = true;
  if (const int other = OnResume(); other != 0) return other;
  // For what it knew already, which epoll may not report.
  lane_.poller().CallAgain(*this);
  return 0;
}

void DirectConnection::LetGo() {
  PORTREEVE_CHECK(!finished_);
  finished_ = true;
  closed_ = true;
  timer_.reset();
  OnLetGo();
  if (std::exchange(watched_, false)) lane_.poller().RemoveNow(fd(), *this);
  fd_ = Descriptor();
  if (closed_ivar_) closed_ivar_->Fill();
}

void DirectConnection::PrepareToClose(const Descriptor& fd, How how) {
  if (fd.is_open()) (void)BeginToClose(fd, how, true, 0);
}

CloseStep DirectConnection::BeginToClose(const Descriptor& fd, How how,
                                         bool is_unix, int64_t bytes_received) {
  if (!fd.is_open()) return CloseStep::kClose;
  switch (how) {
    case How::kInOrder:
      if (!is_unix) return BeginCloseOfTcp(fd.get(), bytes_received);
      return BeginCloseOfUnix(fd.get());
    case How::kAtOnce:
      (void)ShutDownInOrder(fd.get());
      break;
    case How::kAfterEnd:
      break;  // close(2) sends the FIN.
    case How::kReset:
      MakeCloseReset(fd.get());
      break;
  }
  return CloseStep::kClose;
}

void DirectConnection::Refuse(CloseReason reason) {
  NoteReason(reason);
  PrepareToClose(fd_, How::kAtOnce);
  fd_ = Descriptor();
  finished_ = true;
  closed_ = true;
}

Deferred<> DirectConnection::Close(ExistingConnections how,
                                   CloseReason reason) {
  if (how == ExistingConnections::kLeave || closed_) return closed();
  const auto self = shared_from_this();
  if (at_home()) {
    CloseOnLane(how, reason);
  } else {
    // Before the lane can know of it.
    ++num_closes_sent_;
    try {
      asio::post(lane_.loop(), [self, how, reason] {
        --self->num_closes_sent_;
        self->CloseOnLane(how, reason);
      });
    } catch (...) {
      --num_closes_sent_;
      throw;
    }
  }
  return closed();
}

void DirectConnection::CloseOnLane(ExistingConnections how,
                                   CloseReason reason) {
  const bool resets = how == ExistingConnections::kReset;
  if (lingering_) {
    if (!resets) return;
    Descriptor own = lingering_->Take(false);
    Descriptor other = lingering_->Take(true);
    PrepareToClose(own, How::kReset);
    PrepareToClose(other, How::kReset);
    lingering_.reset();
    return CloseAndTell(std::move(other), std::move(own), 0);
  }
  if (finished_) return;
  NoteReason(reason);
  if (resets) return CloseWithReset();
  if (std::exchange(closing_, true)) return;
  force_close_at_ = After(lane_.time().Now(), kForceCloseAfter);
  CloseInOrder(reason);
}

void DirectConnection::AskTcpInfo(const TakeTcpInfo& take) {
  if (closed_) return take(std::nullopt);
  if (at_home()) return take(TcpInfoOnLane());
  auto question = std::make_unique<TcpInfoQuestion>(shared_from_this(), take);
  asio::post(lane_.loop(), [question = std::move(question)]() mutable {
    TcpInfoQuestion::Answer(std::move(question));
  });
}

std::optional<TcpInfo> DirectConnection::TcpInfoOnLane() const {
  return TcpInfoOf(lingering_ ? lingering_->fd() : fd());
}

void DirectConnection::Finish(How how, Other other) {
  if (finished_) return;
  finished_ = true;
  timer_.reset();
  const bool is_unix = std::holds_alternative<Unix::Address>(peer_);
  CloseStep step = BeginToClose(fd_, how, is_unix, bytes_received());
  CloseStep other_step =
      BeginToClose(other.fd, other.how, other.is_unix, other.bytes_received);
  if (Lingers(step) || Lingers(other_step)) {
    try {
      lingering_ = std::make_unique<Lingering>(*this, Lingers(step),
                                               Lingers(other_step));
    } catch (const std::bad_alloc&) {
      if (Lingers(step)) {
        NoteEnd(LingeringSocket::EndAtOnce(fd(), step), false);
      }
      if (Lingers(other_step)) {
        NoteEnd(LingeringSocket::EndAtOnce(other.fd.get(), other_step), true);
      }
      step = other_step = CloseStep::kClose;
    }
  }
  if (!Lingers(step) && std::exchange(watched_, false)) {
    lane_.poller().Remove(*this);
  }
  if (other.is_watched && !Lingers(other_step)) lane_.poller().Remove(*this, 1);
  if (!Lingers(step) && !Lingers(other_step)) {
    return CloseAndTell(std::move(other.fd), std::move(fd_), 0);
  }
  const TimePoint deadline =
      closing_ ? force_close_at_ : After(lane_.time().Now(), kForceCloseAfter);
  if (Lingers(step)) {
    lingering_->Begin(false, std::move(fd_), std::exchange(watched_, false),
                      step, deadline);
  }
  if (Lingers(other_step)) {
    lingering_->Begin(true, std::move(other.fd), other.is_watched, other_step,
                      deadline);
  }
  // A descriptor that does not linger is closed here, though the server learns
  // of it later.
  fd_ = Descriptor();
}

void DirectConnection::OnLingeringEnded(Descriptor fd,
                                        const LingerResult& result,
                                        bool is_other) {
  NoteEnd(result, is_other);
  if (!lingering_->empty()) return;  // The other one lingers on.
  lane_.poller().KeepForThisStep(shared_from_this());
  lingering_.reset();
  CloseAndTell(Descriptor(), std::move(fd), 0);
}

void DirectConnection::NoteEnd(const LingerResult& result, bool is_other) {
  const bool is_forced = result.end == LingerPolicy::End::kForced;
  const bool has_lost =
      is_forced || result.end == LingerPolicy::End::kPeerReset;
  if (is_forced) OverruleReason(CloseReason::kForced);
  if (has_lost && !is_other) SetSent(bytes_sent() - result.unsent);
}

// The server knows that `last` is closed before whatever a peer does that sees
// it closed, as if both had one loop.
void DirectConnection::CloseAndTell(Descriptor first, Descriptor last,
                                    int error_number) {
  const std::shared_ptr<DirectConnection> self = shared_from_this();
  lane_.poller().KeepForThisStep(self);
  error_number_ = error_number;
  if (!last.is_open()) std::swap(first, last);
  if (at_home()) {
    if (first.is_open()) lane_.outbox().Close(std::move(first), nullptr);
    lane_.outbox().Close(std::move(last),
                         std::shared_ptr<Outbox::Closer>(self, this));
    return;
  }
  const auto close_all = [&] {
    first = Descriptor();
    last = Descriptor();
  };
  // The server has this among its connections until it arrives.
  Message& closed = *this;
  owner_.home().poller().mailbox().Send(close_all, closed);
}

void DirectConnection::OnClosed() {
  // The server forgets it, and nobody else need have it.
  const std::shared_ptr<DirectConnection> self = shared_from_this();
  closed_ = true;
  if (closed_ivar_) closed_ivar_->Fill();
  owner_.OnDirectClosed(*this, error_number_);
}

void DirectConnection::NoteReason(CloseReason reason) {
  if (Load(reason_) == CloseReason::kNone) Store(reason_, reason);
}

bool DirectConnection::CallAgain(int tag) {
  try {
    lane_.poller().CallAgain(*this, tag);
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

bool DirectConnection::WatchWritable() {
  // This is not done from the beginning: almost every socket is writable almost
  // always, and epoll would report each once for nothing.
  if (std::exchange(watches_writable_, true)) return true;
  return lane_.poller().Change(fd(), kReadable | EPOLLOUT, *this) == 0;
}

void DirectConnection::RingAt(TimePoint when) {
  if (!timer_) timer_ = std::make_unique<Timer>(lane_.time());
  if (timer_->armed() && ring_at_ <= when) return;
  ring_at_ = when;
  timer_->StartAt(when, [this] {
    const auto self = shared_from_this();
    OnRing(lane_.time().Now());
    if (timer_ && !timer_->armed()) timer_.reset();
  });
}

}  // namespace portreeve
