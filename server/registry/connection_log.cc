#include "server/registry/connection_log.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "lib/base/log.h"
#include "server/api/convert.h"
#include "server/api/names.h"

namespace portreeve::server {
namespace {

std::string ReasonOf(CloseReason reason) {
  const std::string& name = v1::CloseReason_Name(ToProto(reason));
  return std::string(absl::StripPrefix(name, "CLOSE_REASON_"));
}

std::string TextOf(const AnyConnection& connection,
                   const ConnectionFacts& facts) {
  std::string text = absl::StrCat(
      "ended: ", ReasonOf(connection.reason()), " after ",
      absl::FormatDuration(absl::Nanoseconds(
          facts.close_time - static_cast<int64_t>(facts.create_time))),
      "; peer ", ToString(connection.peer()), ", received ",
      connection.bytes_received(), ", sent ", connection.bytes_sent());
  if (facts.upstream != nullptr) {
    absl::StrAppend(&text, "; upstream ", ToString(*facts.upstream));
  }
  if (facts.failure != nullptr) {
    absl::StrAppend(&text, "; ", FailureReasonName(facts.failure->reason), ": ",
                    facts.failure->message);
  }
  return text;
}

}  // namespace

void LogEnd(const AnyConnection& connection, const ConnectionFacts& facts) {
  if (!IsLogged(LogLevel::kDebug)) return;
  const std::string text = TextOf(connection, facts);
  const std::string name = ConnectionName(connection.id());
  Log({LogLevel::kDebug, text, NameOf(facts), name});
}

}  // namespace portreeve::server
