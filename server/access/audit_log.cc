#include "server/access/audit_log.h"

#include <cstdint>
#include <utility>

#include "absl/strings/string_view.h"
#include "server/api/errors.h"
#include "server/api/json_line.h"
#include "server/api/timestamp.h"
#include "server/api/utc_text.h"
#include "server/api/utf8.h"

namespace portreeve::server {
namespace {

// The texts are bounded, since clients choose some of them.
constexpr size_t kMaxTextBytes = 512;

// Gives `text` or what is left of it, which is in `kept` then.
absl::string_view Clipped(absl::string_view text, std::string& kept) {
  if (text.size() <= kMaxTextBytes) return text;
  kept = EscapeNonUtf8(text);
  return ClipUtf8(kept, kMaxTextBytes);
}

// Gives the present time; the text is valid until the thread's next call.
absl::string_view Now() {
  thread_local UtcText text;
  return text.Of(UnixNanosNow());
}

}  // namespace

AuditLog::AuditLog(std::function<void(std::string_view)> write)
    : write_(std::move(write)) {}

void AuditLog::Write(const std::string& who, const std::string& method,
                     const std::string& name, const absl::Status& result) {
  const absl::string_view time = Now();
  const std::string outcome = result.ok() ? "OK" : ReasonOf(result);
  std::string kept_who, kept_method, kept_name, kept_outcome;
  write_(JsonLine({{"time", time},
                   {"who", Clipped(who, kept_who)},
                   {"method", Clipped(method, kept_method)},
                   {"name", Clipped(name, kept_name)},
                   {"result", Clipped(outcome, kept_outcome)}}));
}

std::string AuditLog::LineOfDropped(int64_t lines) {
  const absl::string_view time = Now();
  return JsonLine({{"time", time}, {"dropped", lines}});
}

}  // namespace portreeve::server
