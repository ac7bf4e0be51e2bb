#include "server/api/uuid.h"

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "lib/base/check.h"

namespace portreeve::server {

std::string NewUuid() {
  constexpr size_t kBytes = 16;
  // getrandom(2) gives up to 256 bytes at once, and all of them.
  thread_local std::array<uint8_t, 16 * kBytes> random;
  thread_local size_t used = random.size();
  if (used == random.size()) {
    // This is no std::random_device, which asks the CPU each time what it can
    // do: that takes 20 us where the machine is a virtual one.
    ssize_t size;
    do {
      size = getrandom(random.data(), random.size(), 0);
    } while (size < 0 && errno == EINTR);
    // The kernel of today has no other error for it; main() has tried it.
    PORTREEVE_CHECK(size == static_cast<ssize_t>(random.size()));
    used = 0;
  }
  uint8_t* const bytes = random.data() + used;
  used += kBytes;
  bytes[6] = (bytes[6] & 0x0f) | 0x40;  // Version 4: random.
  bytes[8] = (bytes[8] & 0x3f) | 0x80;  // The variant of RFC 4122.
  std::string text;
  text.reserve(36);
  for (size_t i = 0; i < kBytes; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text.push_back('-');
    constexpr char kDigits[] = "0123456789abcdef";
    text.push_back(kDigits[bytes[i] >> 4]);
    text.push_back(kDigits[bytes[i] & 0x0f]);
  }
  return text;
}

}  // namespace portreeve::server
