#include "server/registry/upstream_log.h"

#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "server/api/utf8.h"
#include "server/api/visible_text.h"

namespace portreeve::server {
namespace {

template <typename Where>
std::string TextOf(const Where& where) {
  return std::visit([](const auto& kind) { return ToString(kind); }, where);
}

}  // namespace

UpstreamLog::UpstreamLog(const TimeSource& time, SharedName listener)
    : time_(time), listener_(std::move(listener)) {}

void UpstreamLog::OnUnreached(const AnyWhereToConnect& upstream,
                              const ConnectionFailure& failure) {
  Tell(TextOf(upstream), FailureReasonName(failure.reason), failure.message);
}

void UpstreamLog::OnResetAtOnce(const AnyAddress& upstream) {
  Tell(TextOf(upstream), "UPSTREAM_RESET",
       "the upstream has reset a connection before it sent anything");
}

void UpstreamLog::Tell(absl::string_view upstream, absl::string_view reason,
                       absl::string_view message) {
  const int64_t count = reports_.OnFailure(reason, time_.Now());
  if (count == 0) return;
  const std::string what = absl::StrCat(upstream, ": ", reason, ": ", message);
  Log(absl::StrCat(*listener_, ": upstream ",
                   EscapeInvisible(EscapeNonUtf8(what)),
                   count == 1 ? "" : absl::StrCat(" (", count, " times)")));
}

}  // namespace portreeve::server
