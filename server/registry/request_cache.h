// RequestCache: the answers to requests that may come again.
#ifndef PORTREEVE_SERVER_REGISTRY_REQUEST_CACHE_H_
#define PORTREEVE_SERVER_REGISTRY_REQUEST_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

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
// Threads: loop thread only.
class RequestCache {
 public:
  // One success.
  struct Entry {
    int64_t seq = 0;          // Numbers them in the order of their age.
    std::string fingerprint;  // ListenerDraft::fingerprint.
    std::string answer;       // Encoded, which is smaller.
  };

  static constexpr size_t kCapacity = 10'000;
  static constexpr size_t kMaxBytes = size_t{16} << 20;

  explicit RequestCache(size_t max_bytes = kMaxBytes) : max_bytes_(max_bytes) {}

  // Gives the answer to the same request, or nullopt if the key is new.
  // Errors: INVALID_ARGUMENT / REQUEST_ID_REUSED where another request had it.
  absl::StatusOr<std::optional<v1::Listener>> Find(
      const RequestKey& key, const std::string& fingerprint) const;

  // Remembers an answer; `key` must be new, and `entry.seq` above all others.
  // The oldest beyond kCapacity and beyond `max_bytes` are forgotten: it gives
  // their numbers.  An answer that is larger than that by itself is not
  // remembered, and its own number is given.
  std::vector<int64_t> Remember(const RequestKey& key, Entry entry);

  // Remembers what another cache has remembered, in another process: that is to
  // be given in the order of its ForEach().  It gives what Remember() gives.
  // Errors: HANDOVER_DAMAGED where Remember() may not be called so, and for an
  // answer that is no Listener; then nothing has changed.
  absl::StatusOr<std::vector<int64_t>> Restore(const RequestKey& key,
                                               Entry entry);

  // Calls `f(key, entry)` for all that are remembered, the oldest first.
  template <typename F>
  void ForEach(F f) const {
    for (const std::string* const joined : by_age_) {
      f(Split(*joined), entries_.find(*joined)->second);
    }
  }

  // Gives the bytes of memory that it holds, roughly: at most `max_bytes`.
  size_t MemoryUse() const { return memory_; }

 private:
  using Entries = std::unordered_map<std::string, Entry>;

  static std::string Joined(const RequestKey& key);
  static RequestKey Split(const std::string& joined);
  static size_t MemoryOf(const std::string& key, const Entry& entry);
  // Gives its number.
  int64_t ForgetOldest();

  const size_t max_bytes_;
  size_t memory_ = 0;
  Entries entries_;
  std::deque<const std::string*> by_age_;  // Keys of entries_, oldest first.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REGISTRY_REQUEST_CACHE_H_
