// Descriptor: owns a file descriptor, and closes it in the end.
#ifndef PORTREEVE_CLIENT_CLI_DESCRIPTOR_H_
#define PORTREEVE_CLIENT_CLI_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace portreeve::cli {

class Descriptor {
 public:
  Descriptor() = default;
  // Takes over an open descriptor; -1 is none.
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept
      : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() {
    if (number_ >= 0) close(number_);
  }

  int get() const { return number_; }

 private:
  int number_ = -1;
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_DESCRIPTOR_H_
