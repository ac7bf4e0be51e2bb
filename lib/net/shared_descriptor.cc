#include "lib/net/shared_descriptor.h"

#include <cerrno>

#include "lib/base/socket_calls.h"

namespace portreeve {

ssize_t SharedDescriptor::Receive(std::span<char> space) {
  const std::lock_guard lock(receiving_);
  const ssize_t n = ReceiveNow(receive_fd_, space);
  if (n > 0) bytes_received_ += n;
  if (n < 0) NoteFailure(errno);
  if (n != 0) return n;
  // An end, unless a Send() has taken the error, or is about to note it.
  const std::lock_guard noted(sending_);
  if (failure_ == 0) return 0;
  errno = failure_;
  return -1;
}

ssize_t SharedDescriptor::Send(std::span<const std::string_view> pieces) {
  const std::lock_guard lock(sending_);
  const ssize_t n = SendNow(send_fd_, pieces);
  if (n > 0) bytes_sent_ += n;
  if (n < 0) NoteFailure(errno);
  return n;
}

void SharedDescriptor::NoteFailure(int error) {
  if (error == EAGAIN || error == EWOULDBLOCK || error == EBADF) return;
  int none = 0;
  failure_.compare_exchange_strong(none, error);
}

int SharedDescriptor::failure() {
  const std::lock_guard received(receiving_);
  const std::lock_guard sent(sending_);
  return failure_;
}

bool SharedDescriptor::HasLittleUnsent() {
  const std::lock_guard lock(sending_);
  return send_fd_ < 0 || portreeve::HasLittleUnsent(send_fd_);
}

void SharedDescriptor::StopReceiving() {
  const std::lock_guard lock(receiving_);
  receive_fd_ = -1;
}

void SharedDescriptor::Close() {
  StopReceiving();
  const std::lock_guard lock(sending_);
  send_fd_ = -1;
}

}  // namespace portreeve
