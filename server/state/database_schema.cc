#include "server/state/database_schema.h"

#include <string>

#include "server/api/crc32c.h"

namespace portreeve::server {

uint32_t MetaCrc(std::string_view key, std::string_view value) {
  return Crc32c({"meta", key, value});
}

uint32_t ListenerCrc(int64_t seq, std::string_view id,
                     std::string_view record) {
  return Crc32c({"listeners", std::to_string(seq), id, record});
}

uint32_t RequestCrc(int64_t seq, std::string_view request_id,
                    std::string_view record) {
  return Crc32c({"requests", std::to_string(seq), request_id, record});
}

}  // namespace portreeve::server
