#include "server/api/names.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "lib/base/status.h"

namespace portreeve::server {
namespace {

constexpr char kListeners[] = "listeners/";
constexpr char kConnections[] = "connections/";
constexpr size_t kMaxIdBytes = 63;
constexpr size_t kMaxRequestIdBytes = 64;

bool IsIdCharacter(char c) {
  return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
}

// Whether it is the id of a resource: `[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?`.
bool IsId(absl::string_view id) {
  return !id.empty() && id.size() <= kMaxIdBytes && id.front() != '-' &&
         id.back() != '-' && std::all_of(id.begin(), id.end(), IsIdCharacter);
}

}  // namespace

std::string ListenerName(absl::string_view id) {
  return absl::StrCat(kListeners, id);
}

std::string ConnectionName(int64_t id) {
  const std::string digits = absl::StrCat(id);
  const char length = static_cast<char>('a' + digits.size() - 1);
  return absl::StrCat(kConnections, std::string(1, length), digits);
}

bool IsListenerId(absl::string_view id) {
  return IsId(id) && absl::ascii_islower(id.front());
}

absl::StatusOr<std::string> ParseListenerName(absl::string_view name,
                                              absl::string_view field) {
  absl::string_view id = name;
  if (!absl::ConsumePrefix(&id, kListeners) || !IsListenerId(id)) {
    return InvalidField(field, "must be the name of a listener, listeners/ID");
  }
  return std::string(id);
}

absl::StatusOr<int64_t> ParseConnectionName(absl::string_view name,
                                            absl::string_view field) {
  absl::string_view id = name;
  if (!absl::ConsumePrefix(&id, kConnections) || !IsId(id)) {
    return InvalidField(field,
                        "must be the name of a connection, connections/ID");
  }
  int64_t number = 0;
  const bool is_number = absl::SimpleAtoi(id.substr(1), &number);
  // A number has only one name.
  if (!is_number || number < 1 || ConnectionName(number) != name) return 0;
  return number;
}

absl::Status CheckRequestId(absl::string_view request_id) {
  if (request_id.size() <= kMaxRequestIdBytes && !request_id.empty() &&
      std::all_of(request_id.begin(), request_id.end(), [](char c) {
        return absl::ascii_isprint(static_cast<unsigned char>(c));
      })) {
    return absl::OkStatus();
  }
  return InvalidField("request_id",
                      "must be 1-64 printable ASCII characters, or empty");
}

}  // namespace portreeve::server
