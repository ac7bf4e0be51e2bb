#include "lib/shared_descriptor.h"

#include <cerrno>

#include "lib/socket_calls.h"

namespace portreeve {

ssize_t SharedDescriptor::Receive(std::span<char> space) {
  const std::lock_guard lock(receiving_);
  const ssize_t n = ReceiveNow(receive_fd_, space);
  if (n > 0) bytes_received_ += n;
  if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EBADF) {
    receive_error_ = errno;
  }
  return n;
}

ssize_t SharedDescriptor::Send(std::span<const std::string_view> pieces) {
  const std::lock_guard lock(sending_);
  const ssize_t n = SendNow(send_fd_, pieces);
  if (n > 0) bytes_sent_ += n;
  return n;
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
