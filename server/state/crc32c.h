// CRC-32C (Castagnoli), by which a row shows that no bit of it has changed.
#ifndef PORTREEVE_SERVER_STATE_CRC32C_H_
#define PORTREEVE_SERVER_STATE_CRC32C_H_

#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace portreeve::server {

// Gives the checksum of the pieces, each with its length before it, so that no
// byte can go from one to the next.
uint32_t Crc32c(std::initializer_list<std::string_view> pieces);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATE_CRC32C_H_
