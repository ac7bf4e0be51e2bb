// CRC-32C (Castagnoli), by which bytes show that no bit of them has changed.
#ifndef PORTREEVE_SERVER_API_CRC32C_H_
#define PORTREEVE_SERVER_API_CRC32C_H_

#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace portreeve::server {

// Gives the checksum of the pieces, each with its length before it, so that no
// byte can go from one to the next.
uint32_t Crc32c(std::initializer_list<std::string_view> pieces);

// Gives the checksum of some bytes with `more` behind them; `crc` is that of
// the former, and 0 that of none.  Where the CPU has an instruction for it,
// this is as fast as the memory.
uint32_t ExtendCrc32c(uint32_t crc, std::string_view more);

// Gives the same without that instruction.
uint32_t ExtendCrc32cByTable(uint32_t crc, std::string_view more);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_API_CRC32C_H_
