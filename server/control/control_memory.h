// ControlMemory: the last line of defence against clients of the control plane
// that make the daemon grow.
#ifndef PORTREEVE_SERVER_CONTROL_CONTROL_MEMORY_H_
#define PORTREEVE_SERVER_CONTROL_CONTROL_MEMORY_H_

#include <cstdint>
#include <functional>
#include <optional>

#include "lib/base/descriptor.h"
#include "lib/base/time_source.h"

namespace portreeve::server {

// Judges the memory of the process, and decides when something must be done
// about it: at the limit, and when an eighth of the limit has come within a
// second or two, since calls that are ended take more memory before they give
// it back.  A flood goes on elsewhere when one connection of it is ended, so
// that for a while after an alarm little growth is enough for the next.  It has
// no clock and no threads.
class MemoryPolicy {
 public:
  // How long after the last shutdown, or the last trim, the heap is trimmed:
  // gRPC gives back what it had for the calls in its own time.  Where the
  // process is too large, that is after kTrimSoon at the latest, but not more
  // often.
  static constexpr Duration kTrimSoon = std::chrono::seconds(1);
  static constexpr Duration kTrimAfter[] = {
      std::chrono::milliseconds(200), std::chrono::seconds(1),
      std::chrono::seconds(3),        std::chrono::seconds(6),
      std::chrono::seconds(10),       std::chrono::seconds(10)};

  // The part of the limit, 1/N, that may come at once; the part while on alert;
  // and how long after the last alarm that is.
  static constexpr int64_t kGrowthPart = 8;
  static constexpr int64_t kGrowthPartOnAlert = 48;
  static constexpr Duration kAlert = std::chrono::seconds(3);

  // How long the process is too large before anybody has to go for it, unless
  // it is so by more than that part of the limit: first of all what a flood
  // that is over has left is trimmed.
  static constexpr Duration kTrimFirst = std::chrono::milliseconds(100);
  static constexpr int64_t kTrimFirstPart = 32;

  // How long at the least memory is put down to connections that clients have
  // served, which may have left it in the heap.  It is trimmed meanwhile.
  static constexpr Duration kAfterCarrying = std::chrono::seconds(10);

  explicit MemoryPolicy(int64_t limit) : limit_(limit) {}

  // Takes what the process has: `bytes` that nothing accounts for, and
  // `resident` in all, since what only leaves the account, as with connections
  // that close, is no growth.  Up to `credit` of `bytes` are for the
  // connections that clients serve now; those that have ended may have left
  // theirs in the heap for a while.
  enum class Alarm {
    kNone,
    // The process has grown so fast that whoever sends much has to go.  Within
    // the credit, that may be what the connections that clients serve have just
    // begun to take, where the clients send to all of them at once after a
    // while.
    kGrowth,
    kGrowthWithinCredit,
    // The process is too large, and trimming is no help: whoever is busy has to
    // go.
    kLevel,
  };
  Alarm Look(TimePoint now, int64_t bytes, int64_t resident,
             int64_t credit = 0);

  bool IsOnAlert(TimePoint now) const { return now < alert_until_; }

  // A client has ended that served connections, of which the credit was so
  // much: what they had is given back while nobody may be there to be looked
  // at.
  void OnServerEnded(TimePoint now, int64_t credit);
  // A connection was shut down.
  void OnShutDown(TimePoint now);
  // Gives when to trim the heap next; nullopt: not at all.
  std::optional<TimePoint> next_trim() const { return next_trim_; }
  void OnTrimmed(TimePoint now);

 private:
  struct Memory {
    int64_t unaccounted = 0;
    int64_t resident = 0;
    int64_t credit = 0;
    int64_t most_credit = 0;  // The most credit since then.
  };

  // Whether so much must not come at once.
  bool IsMuch(int64_t bytes) const { return bytes > limit_ / kGrowthPart; }
  void KeepCredit(TimePoint now, int64_t credit);
  bool IsLevel(TimePoint now, int64_t excess);
  void TrimAnew(TimePoint now);
  void TrimAt(TimePoint latest);

  const int64_t limit_;
  // The memory of the last seconds, less what was given back since; growth
  // counts from older_.
  Memory older_;
  Memory newer_;
  std::optional<TimePoint> marked_;
  // The most credit of late: of the last two times of kAfterCarrying, each of
  // which ends with the first look after it.
  int64_t credit_ = 0;
  int64_t older_credit_ = 0;
  int64_t newer_credit_ = 0;
  std::optional<TimePoint> credit_marked_;
  bool credit_has_fallen_ = false;  // By much.
  std::optional<TimePoint> last_look_;
  std::optional<TimePoint> too_large_since_;  // Seen without a pause.
  TimePoint alert_until_{};
  int num_trimmed_ = 0;  // Since the last shutdown.
  std::optional<TimePoint> next_trim_;
};

// Threads: one.
class ControlMemory {
 public:
  // Gives the bytes that the daemon keeps for other reasons.
  using Accounted = std::function<int64_t()>;

  // More than `limit` bytes beyond what the process has now and what
  // `accounted` gives is too much.
  ControlMemory(int64_t limit, Accounted accounted);

  MemoryPolicy& policy() { return policy_; }

  // Gives the bytes that the process has; 0 where nobody knows.
  int64_t Resident() const;
  // Gives the bytes that nothing accounts for; 0 where nobody knows.
  int64_t Unaccounted() const;

  // Gives what the heap does not use back to the system, on a thread of gRPC's.
  void Trim();

 private:
  MemoryPolicy policy_;
  const Accounted accounted_;
  const Descriptor statm_;
  const int64_t at_start_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CONTROL_CONTROL_MEMORY_H_
