#include "server/uuid.h"

#include <sys/random.h>

#include <array>
#include <cstdint>
#include <cstdio>

#include "lib/check.h"

namespace portreeve::server {

std::string NewUuid() {
  std::array<uint32_t, 4> words;
  // Not std::random_device, which asks the CPU what it can do each time: that
  // takes 20 us where the machine is a virtual one.
  PORTREEVE_CHECK(getrandom(words.data(), sizeof words, 0) == sizeof words);
  words[1] = (words[1] & 0xffff0fff) | 0x00004000;  // Version 4: random.
  words[2] = (words[2] & 0x3fffffff) | 0x80000000;  // The variant of RFC 4122.
  char text[37];
  std::snprintf(text, sizeof text, "%08x-%04x-%04x-%04x-%04x%08x", words[0],
                words[1] >> 16, words[1] & 0xffff, words[2] >> 16,
                words[2] & 0xffff, words[3]);
  return text;
}

}  // namespace portreeve::server
