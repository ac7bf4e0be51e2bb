#include "server/state/crc32c.h"

#include <array>
#include <boost/crc.hpp>

namespace portreeve::server {

uint32_t Crc32c(std::initializer_list<std::string_view> pieces) {
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;
  for (const std::string_view piece : pieces) {
    // The least significant byte first, on every machine.
    std::array<unsigned char, 8> size;
    for (size_t i = 0; i < size.size(); ++i) {
      size[i] = static_cast<unsigned char>(uint64_t{piece.size()} >> (8 * i));
    }
    crc.process_bytes(size.data(), size.size());
    crc.process_bytes(piece.data(), piece.size());
  }
  return crc.checksum();
}

}  // namespace portreeve::server
