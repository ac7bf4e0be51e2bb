#include "server/page_token.h"

#include <algorithm>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "lib/status.h"

namespace portreeve::server {
namespace {

constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;
// Occurs in no part: names, revisions and UUIDs have none.
constexpr char kSeparator[] = "|";

}  // namespace

std::string EncodePageToken(const PageToken& token,
                            absl::string_view instance_id) {
  const std::string revision = std::to_string(token.revision);
  const std::vector<absl::string_view> parts = {instance_id, token.list,
                                                revision, token.last};
  return absl::WebSafeBase64Escape(absl::StrJoin(parts, kSeparator));
}

absl::StatusOr<PageToken> DecodePageToken(absl::string_view text,
                                          absl::string_view list,
                                          absl::string_view instance_id) {
  const absl::Status foreign = InvalidField(
      "page_token", "must be the next_page_token of the same list");
  std::string joined;
  if (!absl::WebSafeBase64Unescape(text, &joined)) return foreign;
  const std::vector<std::string> parts = absl::StrSplit(joined, kSeparator);
  PageToken token;
  if (parts.size() != 4 || parts[0] != instance_id || parts[1] != list ||
      !absl::SimpleAtoi(parts[2], &token.revision)) {
    return foreign;
  }
  token.list = parts[1];
  token.last = parts[3];
  return token;
}

absl::StatusOr<int> PageSize(int32_t requested) {
  if (requested < 0) {
    return InvalidField("page_size", "must not be negative");
  }
  return requested == 0 ? kDefaultPageSize : std::min(requested, kMaxPageSize);
}

}  // namespace portreeve::server
