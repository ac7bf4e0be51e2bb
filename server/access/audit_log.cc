#include "server/access/audit_log.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/api/errors.h"
#include "server/api/utf8.h"
#include "server/api/visible_text.h"

namespace portreeve::server {
namespace {

// The texts are bounded, since clients choose some of them.
constexpr size_t kMaxTextBytes = 512;

// Whether `c` stands for itself in JSON.
bool IsPlain(char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; }

// Gives `text`, which need not be UTF-8, as a string of JSON (RFC 8259).
std::string JsonString(const std::string& text) {
  if (text.size() <= kMaxTextBytes &&
      std::all_of(text.begin(), text.end(), IsPlain)) {
    return absl::StrCat("\"", text, "\"");
  }
  const std::string utf8 = EscapeNonUtf8(text);
  std::string quoted;
  for (const char c : ClipUtf8(utf8, kMaxTextBytes)) {
    if (c == '"' || c == '\\') quoted.push_back('\\');
    quoted.push_back(c);
  }
  return absl::StrCat("\"", EscapeInvisible(quoted), "\"");
}

// Gives the time by RFC 3339, in UTC, to the millisecond.
std::string Now() {
  const int64_t now = absl::ToUnixMillis(absl::Now());
  // The calendar is asked once a second.
  thread_local int64_t second = -1;
  thread_local std::string text;
  if (now / 1000 != second) {
    second = now / 1000;
    text = absl::FormatTime("%Y-%m-%d%ET%H:%M:%S",
                            absl::FromUnixSeconds(second), absl::UTCTimeZone());
  }
  return absl::StrCat(text, ".", absl::Dec(now % 1000, absl::kZeroPad3), "Z");
}

}  // namespace

AuditLog::AuditLog(std::function<void(std::string_view)> write)
    : write_(std::move(write)) {}

void AuditLog::Write(const std::string& who, const std::string& method,
                     const std::string& name, const absl::Status& result) {
  write_(absl::StrCat(
      "{\"time\":\"", Now(), "\",\"who\":", JsonString(who),
      ",\"method\":", JsonString(method), ",\"name\":", JsonString(name),
      ",\"result\":", JsonString(result.ok() ? "OK" : ReasonOf(result)), "}"));
}

std::string AuditLog::LineOfDropped(int64_t lines) {
  return absl::StrCat("{\"time\":\"", Now(), "\",\"dropped\":", lines, "}");
}

}  // namespace portreeve::server
