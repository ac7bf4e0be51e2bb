#include "server/api/page_token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include <algorithm>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "lib/base/check.h"
#include "lib/base/status.h"

namespace portreeve::server {
namespace {

constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;
// It occurs in no part, since names and revisions have none.
constexpr char kSeparator[] = "|";
// The bytes that are kept of SHA-256's 32; with fewer a token could be guessed.
constexpr size_t kCodeBytes = 16;

bool AreEqual(absl::string_view a, absl::string_view b) {
  return a.size() == b.size() &&
         CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

PageTokens::PageTokens() {
  // getrandom(2) gives up to 256 bytes at once, and all of them.
  PORTREEVE_CHECK(getrandom(key_.data(), key_.size(), 0) ==
                  static_cast<ssize_t>(key_.size()));
}

std::string PageTokens::key() const { return {key_.begin(), key_.end()}; }

bool PageTokens::SetKey(absl::string_view key) {
  if (key.size() != key_.size()) return false;
  std::copy(key.begin(), key.end(), key_.begin());
  return true;
}

std::string PageTokens::CodeOf(absl::string_view body) const {
  std::array<uint8_t, EVP_MAX_MD_SIZE> code{};
  unsigned size = 0;
  // This fails only where there is no memory.
  PORTREEVE_CHECK(HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
                       reinterpret_cast<const uint8_t*>(body.data()),
                       body.size(), code.data(), &size) != nullptr);
  return std::string(code.begin(), code.begin() + kCodeBytes);
}

std::string PageTokens::Encode(const PageToken& token) const {
  const std::string revision = std::to_string(token.revision);
  const std::vector<absl::string_view> parts = {token.list, revision,
                                                token.last};
  const std::string body = absl::StrJoin(parts, kSeparator);
  return absl::WebSafeBase64Escape(absl::StrCat(CodeOf(body), body));
}

absl::StatusOr<PageToken> PageTokens::Decode(absl::string_view text,
                                             absl::string_view list) const {
  const absl::Status foreign = InvalidField(
      "page_token", "must be the next_page_token of the same list");
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(text, &bytes) || bytes.size() < kCodeBytes) {
    return foreign;
  }
  const absl::string_view body = absl::string_view(bytes).substr(kCodeBytes);
  // The text is compared as a whole, since many texts stand for the same bytes.
  const std::string own =
      absl::WebSafeBase64Escape(absl::StrCat(CodeOf(body), body));
  if (!AreEqual(own, text)) return foreign;
  const std::vector<std::string> parts = absl::StrSplit(body, kSeparator);
  PageToken token;
  if (parts.size() != 3 || parts[0] != list ||
      !absl::SimpleAtoi(parts[1], &token.revision)) {
    return foreign;
  }
  token.list = parts[0];
  token.last = parts[2];
  return token;
}

absl::StatusOr<int> PageSize(int32_t requested) {
  if (requested < 0) {
    return InvalidField("page_size", "must not be negative");
  }
  return requested == 0 ? kDefaultPageSize : std::min(requested, kMaxPageSize);
}

}  // namespace portreeve::server
