#include "server/request_cache.h"

#include <utility>

#include "lib/check.h"
#include "server/errors.h"

namespace portreeve::server {

absl::StatusOr<std::optional<v1::Listener>> RequestCache::Find(
    const std::string& request_id, const std::string& fingerprint) const {
  const auto it = entries_.find(request_id);
  if (it == entries_.end()) return std::optional<v1::Listener>();
  if (it->second.fingerprint != fingerprint) {
    return WithFieldPrefix(
        ServerError(absl::StatusCode::kInvalidArgument, "REQUEST_ID_REUSED",
                    "another request had the same id"),
        "request_id");
  }
  v1::Listener answer;
  PORTREEVE_CHECK(answer.ParseFromString(it->second.answer));
  return std::optional<v1::Listener>(std::move(answer));
}

void RequestCache::Remember(const std::string& request_id,
                            std::string fingerprint,
                            const v1::Listener& answer) {
  Entry entry{std::move(fingerprint), answer.SerializeAsString()};
  const bool is_new = entries_.emplace(request_id, std::move(entry)).second;
  PORTREEVE_CHECK(is_new);
  by_age_.push_back(request_id);
  if (by_age_.size() <= kCapacity) return;
  entries_.erase(by_age_.front());
  by_age_.pop_front();
}

}  // namespace portreeve::server
