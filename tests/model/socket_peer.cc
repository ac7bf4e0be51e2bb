#include "tests/model/socket_peer.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace portreeve::model {
namespace {

constexpr size_t kReadBytes = 64 * 1024;
// So that one fast peer does not hold up the others.
constexpr int kMostAtOnce = 16;

bool WouldBlock(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

SideHistory::Kind KindOf(int fd) {
  int domain = 0;
  socklen_t size = sizeof domain;
  getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
  return domain == AF_UNIX ? SideHistory::Kind::kUnix : SideHistory::Kind::kTcp;
}

}  // namespace

SocketPeer::SocketPeer(int fd, const SidePlan& plan, Content sends,
                       Content receives)
    : fd_(fd), sends_(sends), receives_(receives), run_(plan.steps) {
  history_.kind = KindOf(fd);
}

short SocketPeer::events(TimePoint now) const {
  if (finished()) return 0;
  short events = blocked_ ? POLLOUT : 0;
  const bool reads = run_.reading(now) == ScriptRun::Reading::kAll &&
                     history_.end == SideHistory::End::kNone;
  if (reads) events |= POLLIN;
  return events;
}

void SocketPeer::Advance(TimePoint now, short revents) {
  if (finished()) return;
  if ((revents & (POLLOUT | POLLERR | POLLHUP)) != 0) blocked_ = false;
  // Over, whatever it reads: what is left of the stall makes no difference.
  if ((revents & (POLLERR | POLLHUP)) != 0) run_.ReadAll();
  Read(now);
  const bool ended = history_.end != SideHistory::End::kNone;
  for (int i = 0; i < kMostAtOnce && !finished(); ++i) {
    const Step* const step = run_.Current(now, history_.received, ended);
    if (step == nullptr || !DoStep(*step, now)) break;
  }
  if (finished()) return;
  if (run_.is_done() && ended) Close();
}

bool SocketPeer::DoStep(const Step& step, TimePoint now) {
  switch (step.kind) {
    case Step::Kind::kSend:
      return SendSome(step, now);
    case Step::Kind::kUrgent:
      return SendUrgent(now);
    case Step::Kind::kFin:
      if (!history_.fin && shutdown(fd_, SHUT_WR) == 0) history_.fin = true;
      break;
    case Step::Kind::kReset:
      Leave(true);
      break;
    case Step::Kind::kClose:
      Leave(false);
      break;
    default:
      break;  // Of streams.
  }
  run_.Next(now);
  return true;
}

bool SocketPeer::SendSome(const Step& step, TimePoint now) {
  if (step_sent_ == 0 && last_sent_ < run_.step_began()) last_sent_ = now;
  const int64_t left = history_.fin ? 0 : step.bytes - step_sent_;
  if (left > 0) {
    const auto size = static_cast<size_t>(std::min(left, step.unit));
    const auto data = sends_.At(history_.sent, size);
    const ssize_t sent =
        blocked_ ? -1 : send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      step_sent_ += sent;
      history_.sent += sent;
      last_sent_ = now;
      return true;
    }
    if (!blocked_ && !WouldBlock(errno)) {
      OnSendFailure(errno);
      return false;
    }
    blocked_ = true;
    const bool gives_up = run_.reading(now) != ScriptRun::Reading::kAll &&
                          now - last_sent_ >= step.time;
    if (!gives_up) return false;
  }
  step_sent_ = 0;
  blocked_ = false;
  run_.Next(now);
  return true;
}

// Given up where the kernel does not take it.
bool SocketPeer::SendUrgent(TimePoint now) {
  if (!history_.fin) {
    history_.urgent = send(fd_, "!", 1, MSG_OOB | MSG_NOSIGNAL) == 1;
    if (!history_.urgent && !WouldBlock(errno)) {
      OnSendFailure(errno);
      return false;
    }
  }
  run_.Next(now);
  return true;
}

// Reading shows what came before, and the end.
void SocketPeer::OnSendFailure(int error) {
  // EPIPE: FIN had come before the reset, and is what reading shows.
  if (error != EPIPE) was_reset_ = true;
  blocked_ = false;
  run_.Abandon();
  run_.ReadAll();
}

void SocketPeer::Leave(bool with_reset) {
  int unread = 0;
  (void)ioctl(fd_, FIONREAD, &unread);
  const bool resets =
      (with_reset && history_.kind == SideHistory::Kind::kTcp) || unread > 0;
  // Both ends are there: only a reset can still destroy something, what the
  // kernel has not sent.
  const bool has_ended = history_.end == SideHistory::End::kFin && history_.fin;
  if (resets) {
    history_.left = SideHistory::Left::kReset;
  } else if (!has_ended) {
    history_.left = SideHistory::Left::kEither;
  }
  if (with_reset) {
    const linger at_once{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  Close();
}

// False if there is nothing more now.
bool SocketPeer::ReadSome(size_t most) {
  char space[kReadBytes];
  const ssize_t size = recv(fd_, space, std::min(most, kReadBytes), 0);
  if (size < 0) {
    if (!WouldBlock(errno)) OnEnd(SideHistory::End::kReset);
    return false;
  }
  if (size == 0) {
    OnEnd(was_reset_ ? SideHistory::End::kReset : SideHistory::End::kFin);
    return false;
  }
  if (!history_.first_wrong) {
    history_.first_wrong = receives_.FirstDifference(
        history_.received, {space, static_cast<size_t>(size)});
  }
  history_.received += size;
  return true;
}

void SocketPeer::Read(TimePoint now) {
  if (history_.end != SideHistory::End::kNone) return;
  switch (run_.reading(now)) {
    case ScriptRun::Reading::kNothing:
      return;
    case ScriptRun::Reading::kSlow:
      if (now < next_slow_read_) return;
      next_slow_read_ = now + Milliseconds(1);
      (void)ReadSome(static_cast<size_t>(run_.slow_unit()));
      return;
    case ScriptRun::Reading::kAll:
      for (int i = 0; i < kMostAtOnce && ReadSome(kReadBytes); ++i) {
      }
  }
}

void SocketPeer::OnEnd(SideHistory::End end) {
  history_.end = end;
  if (end != SideHistory::End::kReset) return;
  run_.Abandon();
  Close();
}

void SocketPeer::Close() {
  if (!finished()) close(std::exchange(fd_, -1));
}

}  // namespace portreeve::model
