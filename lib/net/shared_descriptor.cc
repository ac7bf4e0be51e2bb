#include "lib/net/shared_descriptor.h"

#include <cerrno>

#include "lib/base/socket_calls.h"

namespace portreeve {

ssize_t SharedDescriptor::Receive(std::span<char> space) {
  const MutexLock lock(receiving_);
  const ssize_t n = ReceiveNow(receive_fd_, space);
  if (n > 0) bytes_received_ += n;
  if (n < 0) NoteFailure(errno);
  if (n != 0) return n;
  // This is an end, unless a Send() has taken the error, or is about to note
  // it.
  const MutexLock noted(sending_);
  if (failure_ == 0) return 0;
  errno = failure_;
  return -1;
}

ssize_t SharedDescriptor::Send(std::span<const std::string_view> pieces) {
  const MutexLock lock(sending_);
  const ssize_t n = SendNow(send_fd_, pieces);
  if (n > 0) bytes_sent_ += n;
  if (n < 0) NoteFailure(errno);
  return n;
}

void SharedDescriptor::NoteFailure(int error) {
  if (WouldBlock(error) || error == EBADF) return;
  int none = 0;
  failure_.compare_exchange_strong(none, error);
}

int SharedDescriptor::failure() {
  const MutexLock received(receiving_);
  const MutexLock sent(sending_);
  return failure_;
}

bool SharedDescriptor::HasLittleUnsent() {
  const MutexLock lock(sending_);
  return send_fd_ < 0 || portreeve::HasLittleUnsent(send_fd_);
}

void SharedDescriptor::StopReceiving() {
  const MutexLock lock(receiving_);
  receive_fd_ = -1;
}

void SharedDescriptor::Close() {
  StopReceiving();
  const MutexLock lock(sending_);
  send_fd_ = -1;
}

}  // namespace portreeve
