#include "lib/direct_connection.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "lib/check.h"
#include "lib/close_socket.h"

namespace portreeve {
namespace {

// Edge-triggered: what is told once needs no system call to be told again.
constexpr uint32_t kReadable = EPOLLIN | EPOLLRDHUP | EPOLLET;

}  // namespace

DirectConnection::DirectConnection(Accepted accepted)
    : owner_(accepted.owner),
      lane_(accepted.lane),
      peer_(std::move(accepted.peer)),
      local_(std::move(accepted.local)),
      buffer_age_limit_(accepted.buffer_age_limit),
      descriptors_(accepted.descriptors),
      fd_(std::move(accepted.fd)) {}

DirectConnection::~DirectConnection() { PORTREEVE_CHECK(finished()); }

Deferred<> DirectConnection::closed() const {
  if (!closed_ivar_) {
    closed_ivar_ = std::make_unique<const Ivar<>>(
        Executor(owner_.home().loop().get_executor()));
    if (closed_) closed_ivar_->Fill();
  }
  return closed_ivar_->deferred();
}

void DirectConnection::Start() {
  if (at_home()) return BeginOnLane();
  asio::post(lane_.loop(),
             [self = shared_from_this()] { self->BeginOnLane(); });
}

void DirectConnection::BeginOnLane() {
  const int error = lane_.poller().Add(fd(), kReadable, *this);
  if (error != 0) {
    NoteReason(CloseReason::kForced);
    return CloseAndTell(How::kInOrder, error);
  }
  Begin();
}

void DirectConnection::Refuse(CloseReason reason) {
  NoteReason(reason);
  (void)ShutDownInOrder(fd());
  fd_ = Descriptor();
  closed_ = true;
}

Deferred<> DirectConnection::Close(ExistingConnections how,
                                   CloseReason reason) {
  if (how == ExistingConnections::kLeave || closed_) return closed();
  const auto self = shared_from_this();
  if (at_home()) {
    CloseOnLane(how, reason);
  } else {
    asio::post(lane_.loop(),
               [self, how, reason] { self->CloseOnLane(how, reason); });
  }
  return closed();
}

void DirectConnection::CloseOnLane(ExistingConnections how,
                                   CloseReason reason) {
  if (finished()) return;
  NoteReason(reason);
  if (how == ExistingConnections::kReset) {
    CloseWithReset();
  } else {
    CloseInOrder();
  }
}

void DirectConnection::Finish(How how) {
  if (finished()) return;
  lane_.poller().Remove(*this);
  timer_.reset();
  CloseAndTell(how, 0);
}

void DirectConnection::PrepareToClose(int fd, How how) {
  switch (how) {
    case How::kInOrder:
      (void)ShutDownInOrder(fd);
      return;
    case How::kAfterEnd:
      return;  // close(2) sends the FIN.
    case How::kReset:
      return MakeCloseReset(fd);
  }
}

// Elsewhere within Mailbox::Send(), and so at once.
void DirectConnection::CloseOther(Descriptor fd) {
  if (at_home()) lane_.outbox().Close(std::move(fd), nullptr);
}

// Whoever sees that it is closed, and does something then, finds that its
// server knows it: as if both had one loop.
void DirectConnection::CloseAndTell(How how, int error_number) {
  const std::shared_ptr<DirectConnection> self = shared_from_this();
  lane_.poller().KeepForThisStep(self);
  error_number_ = error_number;
  if (at_home()) {
    CloseOthers();
    PrepareToClose(fd(), how);
    lane_.outbox().Close(std::move(fd_),
                         std::shared_ptr<Outbox::Closer>(self, this));
    return;
  }
  const auto close_all = [&] {
    CloseOthers();
    PrepareToClose(fd(), how);
    fd_ = Descriptor();
  };
  owner_.home().poller().mailbox().Send(close_all,
                                        [self] { self->OnClosed(); });
}

void DirectConnection::OnClosed() {
  closed_ = true;
  if (closed_ivar_) closed_ivar_->Fill();
  owner_.OnDirectClosed(*this, error_number_);
}

void DirectConnection::NoteReason(CloseReason reason) {
  if (Load(reason_) == CloseReason::kNone) Store(reason_, reason);
}

void DirectConnection::WatchWritable() {
  // Not from the beginning, for almost every socket is writable almost always,
  // and each would be told of once for nothing.
  if (std::exchange(watches_writable_, true)) return;
  lane_.poller().Change(fd(), kReadable | EPOLLOUT, *this);
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
