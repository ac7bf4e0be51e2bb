#include "server/remote/client_stream.h"

#include <algorithm>

namespace portreeve::server {

size_t ReceivedData::size() const {
  size_t size = 0;
  for (const std::string_view piece : pieces) size += piece.size();
  return size;
}

void ReceivedData::RemovePrefix(size_t size) {
  removed += size;
  for (std::string_view& piece : pieces) {
    const size_t of_piece = std::min(size, piece.size());
    piece.remove_prefix(of_piece);
    size -= of_piece;
  }
}

}  // namespace portreeve::server
