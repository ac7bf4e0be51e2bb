#include "server/api/crc32c.h"

#include <array>
#include <boost/crc.hpp>
#include <cstddef>
#include <cstring>

#ifdef __x86_64__
#include <nmmintrin.h>
#endif

namespace portreeve::server {
namespace {

// Boost begins with a remainder whose first bit is the highest; that of a
// checksum is the lowest.
uint32_t Reversed(uint32_t bits) {
  uint32_t reversed = 0;
  for (int i = 0; i < 32; ++i, bits >>= 1) {
    reversed = reversed << 1 | (bits & 1);
  }
  return reversed;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) uint32_t ExtendByInstruction(
    uint32_t crc, std::string_view more) {
  uint64_t rest = ~crc;
  while (more.size() >= sizeof(uint64_t)) {
    uint64_t eight;
    std::memcpy(&eight, more.data(), sizeof(eight));
    rest = _mm_crc32_u64(rest, eight);
    more.remove_prefix(sizeof(eight));
  }
  auto last = static_cast<uint32_t>(rest);
  for (const char byte : more) {
    last = _mm_crc32_u8(last, static_cast<unsigned char>(byte));
  }
  return ~last;
}
#endif

}  // namespace

uint32_t ExtendCrc32cByTable(uint32_t crc, std::string_view more) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> sum(
      Reversed(~crc));
  sum.process_bytes(more.data(), more.size());
  return sum.checksum();
}

uint32_t ExtendCrc32c(uint32_t crc, std::string_view more) {
#ifdef __x86_64__
  static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
  if (has_instruction) return ExtendByInstruction(crc, more);
#endif
  return ExtendCrc32cByTable(crc, more);
}

uint32_t Crc32c(std::initializer_list<std::string_view> pieces) {
  uint32_t crc = 0;
  for (const std::string_view piece : pieces) {
    // The least significant byte first, on every machine.
    std::array<char, 8> size;
    for (size_t i = 0; i < size.size(); ++i) {
      size[i] = static_cast<char>(uint64_t{piece.size()} >> (8 * i));
    }
    crc = ExtendCrc32c(crc, {size.data(), size.size()});
    crc = ExtendCrc32c(crc, piece);
  }
  return crc;
}

}  // namespace portreeve::server
