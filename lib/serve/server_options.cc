#include "lib/serve/server_options.h"

#include <sys/resource.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"
#include "lib/base/status.h"

namespace portreeve {
namespace {

absl::Status AtLeast(const char* field, int value, int lowest) {
  if (value >= lowest) return absl::OkStatus();
  return InvalidField(
      field, absl::StrCat("must be at least ", lowest, ", but is ", value));
}

}  // namespace

void ServerObserver::OnLimitReached(const AnyAddress& listening_on, int limit) {
  Log(LogLevel::kWarning,
      absl::StrCat("at limit of ", ToString(listening_on), ": max_connections ",
                   limit, "; new connections wait until one is closed"));
}

void ServerObserver::OnAcceptFailed(const AnyAddress& listening_on,
                                    int error_number, int64_t count) {
  Log(LogLevel::kWarning,
      absl::StrCat(
          ErrnoError(error_number, "accept", ToString(listening_on)).message(),
          " (", count, " times); accepting pauses and is tried again"));
}

absl::Status Validate(const ServerOptions& options) {
  if (options.max_connections) {
    auto s = AtLeast("max_connections", *options.max_connections, 1);
    if (!s.ok()) return s;
  }
  if (auto s = AtLeast("max_pending_connections",
                       options.max_pending_connections, 0);
      !s.ok()) {
    return s;
  }
  if (auto s =
          AtLeast("max_accepts_per_batch", options.max_accepts_per_batch, 1);
      !s.ok()) {
    return s;
  }
  return Validate(
      BufferSizes{options.reader_buffer_size, options.writer_buffer_size});
}

int DefaultMaxConnections() {
  constexpr rlim_t kMost = 10000;
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kMost;
  // It is never 0, and does not overflow where the limit is infinite.
  return static_cast<int>(
      std::max<rlim_t>(1, std::min(kMost, limit.rlim_cur / 10 * 9)));
}

}  // namespace portreeve
