// Descriptor: the owner of a file descriptor that Asio does not own (yet).
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_BASE_DESCRIPTOR_H_
#define PORTREEVE_LIB_BASE_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace portreeve {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }

  bool is_open() const { return fd_ >= 0; }
  int get() const { return fd_; }
  // Gives the descriptor away, open; the caller has to close it.
  int Release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_BASE_DESCRIPTOR_H_
