#include "server/watch/watch_filter.h"

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "server/api/names.h"

namespace portreeve::server {

bool WatchFilter::Passes(v1::EventKind kind,
                         const std::string& listener_name) const {
  return (kinds.none() || kinds.test(static_cast<size_t>(kind))) &&
         (listeners.empty() || listeners.count(listener_name) > 0);
}

absl::StatusOr<WatchFilter> FilterOf(const v1::WatchEventsRequest& request) {
  WatchFilter filter;
  if (request.listeners_size() > WatchFilter::kMaxListeners) {
    return InvalidField(
        "listeners",
        absl::StrCat("at most ", WatchFilter::kMaxListeners,
                     " names; none of them watches all listeners"));
  }
  for (int i = 0; i < request.listeners_size(); ++i) {
    const std::string& name = request.listeners(i);
    // One that does not exist may be created yet.
    const auto id = ParseListenerName(name, absl::StrCat("listeners[", i, "]"));
    if (!id.ok()) return id.status();
    filter.listeners.insert(name);
  }
  for (int i = 0; i < request.kinds_size(); ++i) {
    const int kind = request.kinds(i);
    if (kind == v1::EVENT_KIND_UNSPECIFIED || !v1::EventKind_IsValid(kind)) {
      return InvalidField(absl::StrCat("kinds[", i, "]"),
                          absl::StrCat("there is no kind ", kind));
    }
    filter.kinds.set(static_cast<size_t>(kind));
  }
  return filter;
}

}  // namespace portreeve::server
