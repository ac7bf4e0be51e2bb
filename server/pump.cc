#include "server/pump.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "lib/check.h"
#include "lib/socket.h"

namespace portreeve::server {
namespace {

// What recv(2) is asked for.  A source that fills it is one that sends much.
constexpr size_t kCopyBytes = Outbox::kMostBytes;

bool WouldBlock(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

}  // namespace

void Pump::NoteSource(uint32_t events) {
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    readable_ = true;
  }
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) hung_up_ = true;
}

Pump::State Pump::Run(Lane& lane, int source, int target,
                      Outbox::Sender& sender, int tag) {
  if (sending()) return State::kSending;
  if (failed_) return State::kTargetFailed;
  const int64_t begin = received_;
  while (true) {
    if (held() > 0) {
      if (const auto state = SendHeld(lane, target)) return *state;
    }
    if (met_eof_) return State::kEnded;
    if (!readable_) return State::kAwaitsSource;
    if (received_ - begin >= static_cast<int64_t>(kBytesPerStep)) {
      return State::kHasMore;
    }
    if (bulk_ && !pipe_) pipe_ = lane.pipes().Take();
    const auto state =
        pipe_ ? Splice(lane, source) : Copy(lane, source, target, sender, tag);
    if (state) return *state;
  }
}

Pump::State Pump::Flush(Lane& lane, int target) {
  PORTREEVE_DCHECK(!sending());
  if (failed_) return State::kTargetFailed;
  if (held() > 0) {
    if (const auto state = SendHeld(lane, target)) return *state;
  }
  return State::kEnded;
}

std::optional<Pump::State> Pump::SendHeld(Lane& lane, int target) {
  while (held() > 0) {
    PrepareToSend(target);
    const ssize_t size =
        pipe_ ? splice(pipe_->read.get(), nullptr, target, nullptr, held(),
                       SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
              : send(target, copy_.get() + begin_, held(),
                     MSG_DONTWAIT | MSG_NOSIGNAL);
    if (size < 0) {
      if (errno == EINTR) continue;
      if (!WouldBlock(errno)) return State::kTargetFailed;
      NoteHeld(lane);
      return State::kAwaitsTarget;
    }
    begin_ += static_cast<uint32_t>(size);
  }
  LetGo(lane);
  return std::nullopt;
}

std::optional<Pump::State> Pump::Copy(Lane& lane, int source, int target,
                                      Outbox::Sender& sender, int tag) {
  const std::span<char> outgoing = lane.outbox().Space();
  char* const space =
      outgoing.empty() ? lane.scratch().data() : outgoing.data();
  const ssize_t size = recv(source, space, kCopyBytes, MSG_DONTWAIT);
  if (size <= 0) return OnReceiveResult(size, kCopyBytes);
  OnReceiveResult(size, kCopyBytes);
  bulk_ = size == static_cast<ssize_t>(kCopyBytes);
  PrepareToSend(target);
  // Bulk would fill the outbox.
  if (!outgoing.empty() && !bulk_) {
    in_outbox_ = static_cast<uint32_t>(size);
    lane.outbox().Send(target, static_cast<size_t>(size), sender, tag);
    return State::kSending;
  }
  ssize_t sent;
  do {
    sent = send(target, space, static_cast<size_t>(size),
                MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent == size) return std::nullopt;
  if (sent < 0 && !WouldBlock(errno)) return State::kTargetFailed;
  const ssize_t taken = sent < 0 ? 0 : sent;
  Hold(lane, {space + taken, static_cast<size_t>(size - taken)});
  // What was taken in part is tried again: only EAGAIN makes epoll tell.
  return sent < 0 ? std::optional(State::kAwaitsTarget) : std::nullopt;
}

bool Pump::OnSent(Lane& lane, ssize_t result, std::string_view message) {
  PORTREEVE_DCHECK(message.size() == in_outbox_);
  in_outbox_ = 0;
  const int error = result < 0 ? static_cast<int>(-result) : 0;
  failed_ = error != 0 && error != EINTR && !WouldBlock(error);
  message.remove_prefix(result < 0 ? 0 : static_cast<size_t>(result));
  if (!message.empty()) Hold(lane, message);
  return !message.empty() || readable_;
}

std::optional<Pump::State> Pump::Splice(Lane& lane, int source) {
  const ssize_t size = splice(source, nullptr, pipe_->write.get(), nullptr,
                              kMostHeld, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (size <= 0) {
    const auto state = OnReceiveResult(size, kMostHeld);  // Looks at errno.
    // Nothing is in it: somebody else may use it.
    lane.pipes().GiveBack(std::move(pipe_));
    return state;
  }
  bulk_ = size >= static_cast<ssize_t>(kCopyBytes);
  received_ += size;
  begin_ = 0;
  end_ = static_cast<uint32_t>(size);
  return std::nullopt;
}

std::optional<Pump::State> Pump::OnReceiveResult(ssize_t size, size_t asked) {
  if (size > 0) {
    received_ += size;
    // All that was there; what comes later is told of, but for the end of file
    // that was told of already.
    if (size < static_cast<ssize_t>(asked) && !hung_up_) readable_ = false;
    return std::nullopt;
  }
  if (size == 0) {
    met_eof_ = true;
    return State::kEnded;
  }
  if (errno == EINTR) return std::nullopt;
  if (!WouldBlock(errno)) return State::kSourceFailed;
  readable_ = false;
  return State::kAwaitsSource;
}

void Pump::PrepareToSend(int target) {
  if (!std::exchange(has_sent_, true) || no_delay_) return;
  no_delay_ = true;
  SetNoDelay(target);
}

void Pump::Hold(Lane& lane, std::string_view data) {
  copy_ = std::make_unique_for_overwrite<char[]>(data.size());
  std::memcpy(copy_.get(), data.data(), data.size());
  begin_ = 0;
  end_ = static_cast<uint32_t>(data.size());
  NoteHeld(lane);
}

void Pump::NoteHeld(Lane& lane) {
  if (!held_since_) held_since_ = lane.time().Now();
}

void Pump::LetGo(Lane& lane) {
  begin_ = 0;
  end_ = 0;
  held_since_.reset();
  copy_.reset();
  if (pipe_ && !bulk_) lane.pipes().GiveBack(std::move(pipe_));
}

}  // namespace portreeve::server
