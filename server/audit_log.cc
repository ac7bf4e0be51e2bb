#include "server/audit_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "lib/log.h"
#include "lib/status.h"
#include "server/errors.h"
#include "server/utf8.h"
#include "server/visible_text.h"

namespace portreeve::server {
namespace {

// Clients choose some of the texts.
constexpr size_t kMaxTextBytes = 512;

// Stands for itself in JSON.
bool IsPlain(char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; }

// RFC 8259.  `text` need not be UTF-8.
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

// RFC 3339, in UTC, to the millisecond.
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

absl::Status WriteAll(int fd, absl::string_view data) {
  while (!data.empty()) {
    const ssize_t n = write(fd, data.data(), data.size());
    if (n >= 0) {
      data.remove_prefix(static_cast<size_t>(n));
    } else if (errno != EINTR) {
      return ErrnoError(errno, "write", "the audit log");
    }
  }
  return absl::OkStatus();
}

}  // namespace

AuditLog::AuditLog(Descriptor file) : file_(std::move(file)) {}

std::unique_ptr<AuditLog> AuditLog::ToStandardError() {
  return std::unique_ptr<AuditLog>(new AuditLog(Descriptor()));
}

absl::StatusOr<std::unique_ptr<AuditLog>> AuditLog::ToFile(
    const std::string& path) {
  Descriptor file(
      open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  if (!file.is_open()) return ErrnoError(errno, "open", path);
  return std::unique_ptr<AuditLog>(new AuditLog(std::move(file)));
}

void AuditLog::Write(const std::string& who, const std::string& method,
                     const std::string& name, const absl::Status& result) {
  const std::string line = absl::StrCat(
      "{\"time\":\"", Now(), "\",\"who\":", JsonString(who),
      ",\"method\":", JsonString(method), ",\"name\":", JsonString(name),
      ",\"result\":", JsonString(result.ok() ? "OK" : ReasonOf(result)), "}\n");
  const absl::Status written =
      WriteAll(file_.is_open() ? file_.get() : STDERR_FILENO, line);
  const bool failed_before = failing_.exchange(!written.ok());
  if (!written.ok() && !failed_before) {
    Log(std::string(written.message()));
  }
}

}  // namespace portreeve::server
