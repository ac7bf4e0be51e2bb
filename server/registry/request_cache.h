// RequestCache: the answers to requests that may come again.
#ifndef PORTREEVE_SERVER_REGISTRY_REQUEST_CACHE_H_
#define PORTREEVE_SERVER_REGISTRY_REQUEST_CACHE_H_

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "portreeve/v1/listener.pb.h"

namespace portreeve::server {

// Whose request it is, and its request_id: what another caller asks for with
// the same id is another request.
struct RequestKey {
  std::string caller;  // server/access/gate.h's Caller::identity.
  std::string request_id;
};

// Remembers the newest successes by their keys.
// Threads: loop thread only.  A creation is one step of the loop, so that one
// of two simultaneous requests finds the answer of the other.
class RequestCache {
 public:
  static constexpr size_t kCapacity = 10'000;
  static constexpr size_t kMaxBytes = size_t{16} << 20;

  explicit RequestCache(size_t max_bytes = kMaxBytes) : max_bytes_(max_bytes) {}

  // Gives the answer to the same request, or nullopt if the key is new.
  // Errors: INVALID_ARGUMENT / REQUEST_ID_REUSED where another request had it.
  absl::StatusOr<std::optional<v1::Listener>> Find(
      const RequestKey& key, const std::string& fingerprint) const;

  // Remembers an answer; `key` must be new.  The oldest beyond kCapacity and
  // beyond `max_bytes` are forgotten; an answer that is larger than that by
  // itself is not remembered.
  void Remember(const RequestKey& key, std::string fingerprint,
                const v1::Listener& answer);

  // Gives the bytes of memory that it holds, roughly: at most `max_bytes`.
  size_t MemoryUse() const { return memory_; }

 private:
  struct Entry {
    std::string fingerprint;
    std::string answer;  // Encoded, which is smaller.
  };
  using Entries = std::unordered_map<std::string, Entry>;

  static std::string Joined(const RequestKey& key);
  static size_t MemoryOf(const std::string& key, const Entry& entry);
  void ForgetOldest();

  const size_t max_bytes_;
  size_t memory_ = 0;
  Entries entries_;
  std::deque<const std::string*> by_age_;  // Keys of entries_, oldest first.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_REQUEST_CACHE_H_
