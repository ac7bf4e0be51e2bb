#include "server/handlers/pump.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>
#include <span>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/socket_calls.h"
#include "lib/net/socket.h"

namespace portreeve::server {
namespace {

// How much recv(2) is asked for.  A source that fills this sends much.
constexpr size_t kCopyBytes = Outbox::kMostBytes;

std::atomic<int64_t> held_in_copies = 0;

// Whether this error of splice(2) is no failure of the socket: a seccomp filter
// refuses the call, or this kind of socket cannot do it.
bool CannotSplice(int error) {
  return error == ENOSYS || error == EPERM || error == EINVAL;
}

}  // namespace

void Pump::NoteSource(uint32_t events) {
  constexpr uint32_t kEnds = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
  if ((events & (EPOLLIN | EPOLLPRI | kEnds)) == 0) return;
  readable_ = true;
  if ((events & kEnds) != 0) hung_up_ = true;
  if ((events & EPOLLERR) != 0) source_failed_ = true;
  if ((events & EPOLLPRI) != 0) {
    splices_ = false;
    short_reads_are_all_ = false;
  }
}

Pump::State Pump::Run(Lane& lane, int source, int target,
                      Outbox::Sender& sender, int tag) {
  if (sending()) return State::kSending;
  if (target_failed_) return State::kTargetFailed;
  if (out_of_memory_) return State::kOutOfMemory;
  const int64_t begin = received_;
  while (true) {
    if (held() > 0) {
      if (const auto state = SendHeld(lane, target)) return *state;
    }
    if (met_eof_) return State::kEnded;
    if (!readable_) return State::kAwaitsSource;
    // Usually more has come by then, which is carried at less cost.
    if (looks_later_) {
      looks_later_ = false;
      return State::kHasMore;
    }
    if (received_ - begin >= static_cast<int64_t>(kBytesPerStep)) {
      return State::kHasMore;
    }
    if (bulk_ && splices_) {
      if (!pipe_) pipe_ = lane.pipes().Take();
    } else if (pipe_) {
      lane.pipes().GiveBack(std::move(pipe_));
    }
    const auto state =
        pipe_ ? Splice(lane, source) : Copy(lane, source, target, sender, tag);
    if (state) return *state;
  }
}

Pump::State Pump::Flush(Lane& lane, int target) {
  PORTREEVE_DCHECK(!sending());
  if (target_failed_) return State::kTargetFailed;
  if (out_of_memory_) return State::kOutOfMemory;
  if (held() > 0) {
    if (const auto state = SendHeld(lane, target)) return *state;
  }
  return State::kEnded;
}

std::optional<Pump::State> Pump::SendHeld(Lane& lane, int target) {
  while (held() > 0) {
    PrepareToSend(target);
    const ssize_t size =
        pipe_ ? splice(pipe_->read().get(), nullptr, target, nullptr, held(),
                       SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
              : send(target, copy_.get() + begin_, held(),
                     MSG_DONTWAIT | MSG_NOSIGNAL);
    if (size < 0) {
      if (errno == EINTR) continue;
      if (pipe_ && CannotSplice(errno) && TakeFromPipe(lane)) continue;
      if (!WouldBlock(errno)) return FailTarget();
      NoteHeld(lane);
      return State::kAwaitsTarget;
    }
    begin_ += static_cast<uint32_t>(size);
  }
  EndHold(lane);
  return std::nullopt;
}

std::optional<Pump::State> Pump::Copy(Lane& lane, int source, int target,
                                      Outbox::Sender& sender, int tag) {
  const std::span<char> outgoing = lane.outbox().Space();
  char* const space =
      outgoing.empty() ? lane.scratch().data() : outgoing.data();
  const ssize_t size = recv(source, space, kCopyBytes, MSG_DONTWAIT);
  if (size <= 0) return OnReceiveResult(size);
  received_ += size;
  bulk_ = size == static_cast<ssize_t>(kCopyBytes);
  // That was all.  Epoll reports what comes later, but not an end of file that
  // it has reported already.
  if (!bulk_ && short_reads_are_all_ && !hung_up_) readable_ = false;
  PrepareToSend(target);
  // Bulk does not go there, since it would fill the outbox.
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
  if (sent < 0 && !WouldBlock(errno)) return FailTarget();
  const ssize_t taken = sent < 0 ? 0 : sent;
  Hold(lane, {space + taken, static_cast<size_t>(size - taken)});
  if (out_of_memory_) return State::kOutOfMemory;
  // What was taken in part is tried again, since only after EAGAIN does epoll
  // report.
  return sent < 0 ? std::optional(State::kAwaitsTarget) : std::nullopt;
}

bool Pump::OnSent(Lane& lane, ssize_t result, std::string_view message) {
  PORTREEVE_DCHECK(message.size() == in_outbox_);
  in_outbox_ = 0;
  const int error = result < 0 ? static_cast<int>(-result) : 0;
  target_failed_ = error != 0 && error != EINTR && !WouldBlock(error);
  message.remove_prefix(result < 0 ? 0 : static_cast<size_t>(result));
  if (!message.empty()) Hold(lane, message);
  return !message.empty() || readable_;
}

// However little splice(2) gives, there may be more: a pipe is full when its
// slots are, and a segment of the network may take a whole slot.
std::optional<Pump::State> Pump::Splice(Lane& lane, int source) {
  const ssize_t size = splice(source, nullptr, pipe_->write().get(), nullptr,
                              kMostHeld, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (size <= 0) {
    // This is an end of file, or a socket that cannot be spliced.  recv(2) says
    // which, since splice(2) gives 0 before urgent data, too.
    const bool asks_again = size == 0 || CannotSplice(errno);
    if (asks_again) splices_ = false;
    const auto state = asks_again ? std::nullopt : OnReceiveResult(size);
    // The pipe is empty, so that somebody else may use it.
    lane.pipes().GiveBack(std::move(pipe_));
    return state;
  }
  bulk_ = size >= static_cast<ssize_t>(kCopyBytes);
  looks_later_ = size < static_cast<ssize_t>(kMostHeld) && !hung_up_;
  received_ += size;
  begin_ = 0;
  end_ = static_cast<uint32_t>(size);
  return std::nullopt;
}

// Holds as a copy what is in the pipe and cannot be spliced.  Gives false if it
// cannot be read.
bool Pump::TakeFromPipe(Lane& lane) {
  HeldCopy copy = MakeCopy(held());
  if (copy == nullptr) return false;
  const ssize_t size = read(pipe_->read().get(), copy.get(), held());
  if (size != static_cast<ssize_t>(held())) return false;
  lane.pipes().GiveBack(std::move(pipe_));
  copy_ = std::move(copy);
  splices_ = false;
  end_ -= begin_;
  begin_ = 0;
  return true;
}

std::optional<Pump::State> Pump::OnReceiveResult(ssize_t size) {
  if (size == 0) {
    if (source_failed_) return State::kSourceFailed;
    met_eof_ = true;
    return State::kEnded;
  }
  if (errno == EINTR) return std::nullopt;
  if (!WouldBlock(errno)) {
    source_failed_ = true;
    return State::kSourceFailed;
  }
  readable_ = false;
  return State::kAwaitsSource;
}

Pump::State Pump::FailTarget() {
  target_failed_ = true;
  return State::kTargetFailed;
}

void Pump::PrepareToSend(int target) {
  const bool is_first = !has_sent_;
  has_sent_ = true;
  if (is_first || no_delay_) return;
  no_delay_ = true;
  SetNoDelay(target);
}

int64_t Pump::held_in_memory() { return held_in_copies; }

Pump::HeldCopy Pump::MakeCopy(size_t size) {
  HeldCopy copy(new (std::nothrow) char[size]);
  held_in_copies += static_cast<int64_t>(malloc_usable_size(copy.get()));
  return copy;
}

void Pump::FreeCopy::operator()(char* memory) const {
  held_in_copies -= static_cast<int64_t>(malloc_usable_size(memory));
  delete[] memory;
}

void Pump::Hold(Lane& lane, std::string_view data) {
  copy_ = MakeCopy(data.size());
  out_of_memory_ = copy_ == nullptr;
  if (!out_of_memory_) std::memcpy(copy_.get(), data.data(), data.size());
  begin_ = 0;
  end_ = static_cast<uint32_t>(data.size());
  NoteHeld(lane);
}

void Pump::NoteHeld(Lane& lane) {
  if (!held_since_) held_since_ = lane.time().Now();
}

void Pump::EndHold(Lane& lane) {
  begin_ = 0;
  end_ = 0;
  held_since_.reset();
  copy_.reset();
  if (pipe_ && !bulk_) lane.pipes().GiveBack(std::move(pipe_));
}

FrozenPump Pump::Freeze() const {
  PORTREEVE_CHECK(!sending());
  FrozenPump frozen;
  frozen.received = received_;
  if (held_pipe() != nullptr) {
    frozen.in_pipe = static_cast<uint32_t>(held());
  } else if (copy_ != nullptr) {
    frozen.copy.assign(copy_.get() + begin_, held());
  }
  frozen.held_since = held_since_;
  frozen.readable = readable_;
  frozen.hung_up = hung_up_;
  frozen.source_failed = source_failed_;
  frozen.met_eof = met_eof_;
  frozen.target_failed = target_failed_;
  frozen.out_of_memory = out_of_memory_;
  frozen.has_sent = has_sent_;
  frozen.bulk = bulk_;
  frozen.looks_later = looks_later_;
  frozen.splices = splices_;
  frozen.short_reads_are_all = short_reads_are_all_;
  frozen.no_delay = no_delay_;
  return frozen;
}

const Pipe* Pump::held_pipe() const {
  return held() > 0 ? pipe_.get() : nullptr;
}

void Pump::Restore(const FrozenPump& frozen, Descriptor read,
                   Descriptor write) {
  received_ = frozen.received;
  if (frozen.in_pipe > 0) {
    pipe_ = Pipe::Adopt(std::move(read), std::move(write));
    end_ = frozen.in_pipe;
  } else if (!frozen.copy.empty()) {
    copy_ = MakeCopy(frozen.copy.size());
    if (copy_ == nullptr) throw std::bad_alloc();
    std::memcpy(copy_.get(), frozen.copy.data(), frozen.copy.size());
    end_ = static_cast<uint32_t>(frozen.copy.size());
  }
  held_since_ = frozen.held_since;
  readable_ = frozen.readable;
  hung_up_ = frozen.hung_up;
  source_failed_ = frozen.source_failed;
  met_eof_ = frozen.met_eof;
  target_failed_ = frozen.target_failed;
  out_of_memory_ = frozen.out_of_memory;
  has_sent_ = frozen.has_sent;
  bulk_ = frozen.bulk;
  looks_later_ = frozen.looks_later;
  splices_ = frozen.splices;
  short_reads_are_all_ = frozen.short_reads_are_all;
  no_delay_ = frozen.no_delay;
}

void Pump::LetGo() {
  begin_ = 0;
  end_ = 0;
  pipe_.reset();
  copy_.reset();
}

}  // namespace portreeve::server
