// RequestCache: the answers to requests that may come again.
#ifndef PORTREEVE_SERVER_REQUEST_CACHE_H_
#define PORTREEVE_SERVER_REQUEST_CACHE_H_

#include <deque>
#include <optional>
#include <string>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "portreeve/v1/listener.pb.h"

namespace portreeve::server {

// Remembers the newest successes by their request_id.
// Threads: loop thread only.  A creation is one step of the loop, so that one
// of two simultaneous requests finds the answer of the other.
class RequestCache {
 public:
  static constexpr size_t kCapacity = 10'000;

  // The answer to the same request, or nullopt if the id is new.
  // Errors: INVALID_ARGUMENT / REQUEST_ID_REUSED where another request had it.
  absl::StatusOr<std::optional<v1::Listener>> Find(
      const std::string& request_id, const std::string& fingerprint) const;

  // `request_id` is new.  Forgets the oldest beyond kCapacity.
  void Remember(const std::string& request_id, std::string fingerprint,
                const v1::Listener& answer);

 private:
  struct Entry {
    std::string fingerprint;
    std::string answer;  // Encoded, which is smaller.
  };
  std::unordered_map<std::string, Entry> entries_;
  std::deque<std::string> by_age_;  // Oldest first.
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_REQUEST_CACHE_H_
