#include "server/registry/request_cache.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "server/api/errors.h"

namespace portreeve::server {

// Gives one text for each key, since a request_id has no NUL.
std::string RequestCache::Joined(const RequestKey& key) {
  return absl::StrCat(key.request_id, std::string(1, '\0'), key.caller);
}

RequestKey RequestCache::Split(const std::string& joined) {
  const size_t end = joined.find('\0');
  return {joined.substr(end + 1), joined.substr(0, end)};
}

size_t RequestCache::MemoryOf(const std::string& key, const Entry& entry) {
  // What the node takes, and its places in the table and in the queue.
  constexpr size_t kFrame = sizeof(Entries::value_type) + 6 * sizeof(void*);
  return kFrame + key.capacity() + entry.fingerprint.capacity() +
         entry.answer.capacity();
}

absl::StatusOr<std::optional<v1::Listener>> RequestCache::Find(
    const RequestKey& key, const std::string& fingerprint) const {
  const auto it = entries_.find(Joined(key));
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

std::vector<int64_t> RequestCache::Remember(const RequestKey& key,
                                            Entry entry) {
  std::string joined = Joined(key);
  const size_t memory = MemoryOf(joined, entry);
  if (memory > max_bytes_) return {entry.seq};
  std::vector<int64_t> forgotten;
  while (entries_.size() >= kCapacity || memory_ + memory > max_bytes_) {
    forgotten.push_back(ForgetOldest());
  }
  by_age_.push_back(nullptr);
  // Where there is no memory, it is not remembered.
  absl::Cleanup undo = [&] { by_age_.pop_back(); };
  const auto [it, is_new] =
      entries_.emplace(std::move(joined), std::move(entry));
  PORTREEVE_CHECK(is_new);
  std::move(undo).Cancel();
  by_age_.back() = &it->first;
  memory_ += MemoryOf(it->first, it->second);
  return forgotten;
}

absl::StatusOr<std::vector<int64_t>> RequestCache::Restore(
    const RequestKey& key, Entry entry) {
  const int64_t last =
      by_age_.empty() ? 0 : entries_.find(*by_age_.back())->second.seq;
  if (key.request_id.empty() ||
      key.request_id.find('\0') != std::string::npos || entry.seq <= last ||
      entries_.contains(Joined(key)) ||
      !v1::Listener().ParseFromString(entry.answer)) {
    return HandoverDamaged("a request is not one that is remembered");
  }
  return Remember(key, std::move(entry));
}

int64_t RequestCache::ForgetOldest() {
  const auto it = entries_.find(*by_age_.front());
  const int64_t seq = it->second.seq;
  by_age_.pop_front();
  memory_ -= MemoryOf(it->first, it->second);
  entries_.erase(it);
  return seq;
}

}  // namespace portreeve::server
