// Page tokens: where a list goes on.
#ifndef PORTREEVE_SERVER_API_PAGE_TOKEN_H_
#define PORTREEVE_SERVER_API_PAGE_TOKEN_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace portreeve::server {

// A page of a list may be this many bytes, however many entries were asked
// for, so that it stays below what gRPC clients take (4 MiB).
inline constexpr size_t kMaxPageBytes = 2 << 20;

// What a token stands for.  It names the last entry that was shown, so that it
// holds whatever comes and goes between the pages.
struct PageToken {
  std::string list;      // Which list it belongs to, filter included.
  std::string last;      // The name of the last entry shown.
  int64_t revision = 0;  // The first page's.
};

// Makes tokens and knows its own again: each has an authentication code (HMAC)
// under a key that nobody has but the daemon, and that ends with it.
// Threads: any, for the const methods.
class PageTokens {
 public:
  PageTokens();

  // Gives the key, for the daemon's next process alone.
  std::string key() const;
  // Has tokens be as those of the object that has this key(); those that were
  // made before are foreign then.  Gives false, and does nothing, where it is
  // no key.
  bool SetKey(absl::string_view key);

  std::string Encode(const PageToken& token) const;

  // Errors: INVALID_FIELD for `page_token`, where `text` is not what this
  // object has given, byte for byte, for the same list.
  absl::StatusOr<PageToken> Decode(absl::string_view text,
                                   absl::string_view list) const;

 private:
  std::string CodeOf(absl::string_view body) const;

  std::array<uint8_t, 32> key_;
};

// Gives the number of entries of a page: 100 for 0, at most 1000.
// Errors: INVALID_FIELD for `page_size`, where it is negative.
absl::StatusOr<int> PageSize(int32_t requested);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_API_PAGE_TOKEN_H_
