// BufferAgeLimit: how long written bytes may wait for the peer
// (docs/CONFORMANCE.md, C8).
// Public: for programs outside of this repository, too.
#ifndef PORTREEVE_LIB_NET_BUFFER_AGE_LIMIT_H_
#define PORTREEVE_LIB_NET_BUFFER_AGE_LIMIT_H_

#include <chrono>
#include <optional>

namespace portreeve {

// The greatest age of the oldest unflushed byte of a Writer.  Progress does not
// reset it.
class BufferAgeLimit {
 public:
  using Duration = std::chrono::nanoseconds;

  // The limit is 2 minutes.
  BufferAgeLimit() = default;

  static BufferAgeLimit AtMost(Duration limit) { return BufferAgeLimit(limit); }
  static BufferAgeLimit Unlimited() { return BufferAgeLimit(std::nullopt); }

  // nullopt means unlimited.
  const std::optional<Duration>& at_most() const { return at_most_; }

  friend bool operator==(const BufferAgeLimit&,
                         const BufferAgeLimit&) = default;

 private:
  explicit BufferAgeLimit(std::optional<Duration> at_most)
      : at_most_(at_most) {}

  std::optional<Duration> at_most_ = std::chrono::minutes(2);
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_NET_BUFFER_AGE_LIMIT_H_
