#include "server/registry/listener_log.h"

#include <string>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/monitor.h"
#include "lib/base/status.h"
#include "server/api/names.h"

namespace portreeve::server {
namespace {

template <typename Where>
std::string TextOf(const Where& where) {
  return std::visit([](const auto& kind) { return ToString(kind); }, where);
}

}  // namespace

ListenerLog::ListenerLog(const TimeSource& time, SharedName listener)
    : time_(time), listener_(std::move(listener)) {}

void ListenerLog::OnUnreached(int64_t connection,
                              const AnyWhereToConnect& upstream,
                              const ConnectionFailure& failure) {
  const absl::string_view reason = FailureReasonName(failure.reason);
  Tell(reason, connection,
       absl::StrCat("upstream ", TextOf(upstream), ": ", reason, ": ",
                    failure.message));
}

void ListenerLog::OnResetAtOnce(int64_t connection,
                                const AnyAddress& upstream) {
  Tell("UPSTREAM_RESET", connection,
       absl::StrCat("upstream ", TextOf(upstream),
                    ": UPSTREAM_RESET: the upstream has reset a connection "
                    "before it sent anything"));
}

void ListenerLog::OnHandlerError(int64_t connection, std::exception_ptr error) {
  Tell("HANDLER_ERROR", connection,
       absl::StrCat("HANDLER_ERROR: ", DescribeException(error)));
}

void ListenerLog::OnRaised(int64_t connection, std::exception_ptr error) {
  const std::string message = absl::StrCat(
      "HANDLER_ERROR: ", DescribeException(error), "; the listener closes");
  Log({LogLevel::kError, message, *listener_, ConnectionName(connection)});
  raised_ = error;
}

void ListenerLog::OnLimitReached(int limit) {
  const std::string message =
      absl::StrCat("at the limit: max_connections ", limit,
                   "; new connections wait until one is closed");
  Log({LogLevel::kWarning, message, *listener_});
}

void ListenerLog::OnAcceptFailed(const AnyAddress& listening_on,
                                 int error_number, int64_t count) {
  const absl::Status error =
      ErrnoError(error_number, "accept", TextOf(listening_on));
  const std::string message =
      absl::StrCat(error.message(), " (", count,
                   " times); accepting pauses and is tried again");
  Log({LogLevel::kWarning, message, *listener_});
}

void ListenerLog::OnError(std::exception_ptr error) {
  if (error == std::exchange(raised_, nullptr)) return;
  Log({LogLevel::kError, DescribeException(error), *listener_});
}

void ListenerLog::Tell(absl::string_view reason, int64_t connection,
                       absl::string_view message) {
  const int64_t count = reports_.OnFailure(reason, time_.Now());
  if (count == 0) return;
  const std::string times =
      count == 1 ? "" : absl::StrCat(" (", count, " times)");
  const std::string text = absl::StrCat(message, times);
  Log({LogLevel::kWarning, text, *listener_, ConnectionName(connection)});
}

}  // namespace portreeve::server
