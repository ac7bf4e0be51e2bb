// RequestReader: from bytes to requests.  It has no sockets, no clock and no
// threads.
#ifndef PORTREEVE_SERVER_HTTP_REQUEST_READER_H_
#define PORTREEVE_SERVER_HTTP_REQUEST_READER_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "server/http/http_message.h"

namespace portreeve::server {

// Holds what a client has sent, and takes one request after the other from it.
class RequestReader {
 public:
  // The most that a request may have, from its first byte to the empty line
  // behind its header.
  static constexpr size_t kMaxHeaderBytes = 8 * 1024;

  // More has to come.
  struct NeedsMore {};
  // The client is to get this answer, and nothing after it: what it sends is no
  // request that this port takes.  400, 405 (without regard to the path), 413,
  // 431 or 505.
  struct Refused {
    HttpAnswer answer;
    int version = 11;
    bool is_head = false;
  };
  using Next = std::variant<NeedsMore, HttpRequest, Refused>;

  // Gives where the next bytes go, one at least after NeedsMore.
  std::span<char> Space();
  // So many were put there.
  void Add(size_t count);

  // Takes the next request.  It must not be called after Refused.
  Next Take();

  // Whether no byte of a request is there.
  bool empty() const { return used_ == 0; }

 private:
  void Skip(size_t count);

  // Has space behind what is used; none while nothing waits.
  std::string buffer_;
  size_t used_ = 0;
  size_t searched_ = 0;  // The end of a header does not begin before this.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HTTP_REQUEST_READER_H_
