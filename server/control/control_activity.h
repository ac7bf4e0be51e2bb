// ControlActivity: how much a client of the control plane makes gRPC keep, as
// far as that shows from outside.  No sockets, no clock, no threads.
#ifndef PORTREEVE_SERVER_CONTROL_CONTROL_ACTIVITY_H_
#define PORTREEVE_SERVER_CONTROL_CONTROL_ACTIVITY_H_

#include <chrono>
#include <cstdint>

#include "lib/base/time_source.h"
#include "server/control/flood_policy.h"

namespace portreeve::server {

// Compares clients with each other where the process has too much memory: what
// a client does that calls one by one, watches, or serves connections is free,
// also while a flood holds its calls up.  Only the last second or two count.
class ControlActivity {
 public:
  // What is free at a time.  Bytes that neither a call nor a message explains:
  // the beginning of TLS and of HTTP/2, and requests that are on their way.
  static constexpr int64_t kFreeBytes = 8 << 10;
  // Calls that wait for their answer, and answered ones that gRPC has not done
  // with.
  static constexpr int64_t kFreeWaiting = 64;
  static constexpr int64_t kFreeAnswered = 64;
  // Calls that were taken back.
  static constexpr int64_t kFreeCancelled = 50;
  // Times that a unix socket has received something of which nothing came.
  static constexpr int64_t kFreeArrivals = 8;

  // What comes with a call and with a message, and what a client sends for a
  // message that it has read: windows of HTTP/2.
  static constexpr int64_t kBytesOfCall = 256;
  static constexpr int64_t kBytesOfMessage = 32;
  static constexpr int64_t kBytesOfSent = 64;

  // What each that is not free stands for, in bytes like those that nothing
  // explains: of these, 15 become a call that nobody hears of.
  static constexpr int64_t kWeightOfWaiting = 4 << 10;
  static constexpr int64_t kWeightOfAnswered = 1 << 10;
  static constexpr int64_t kWeightOfCancelled = 256;
  static constexpr int64_t kWeightOfArrival = 1 << 10;

  static constexpr std::chrono::seconds kMarkInterval{1};

  // The counts are looked at.  Of a unix socket nobody counts what it has
  // received, only that it `arrived`.  Gives whether anything is new since the
  // last time, or waits to be read.
  bool Look(TimePoint now, const FloodPolicy::Totals& totals, bool arrived);

  // Whether next to nothing has come since the last look, like an answer to a
  // ping.
  bool IsQuiet(const FloodPolicy::Totals& totals) const;

  // What of the last second or two is not free, in bytes more or less: calls
  // that have waited for longer are not what the process grows by.  `now` is
  // that of the last look or later: nobody looks at who is silent.
  int64_t Level(TimePoint now, const FloodPolicy::Totals& totals) const;
  // The same with all calls that wait, whenever they began.
  int64_t Held(TimePoint now, const FloodPolicy::Totals& totals) const;

  // The part of it that has come, and is neither calls nor messages: what gRPC
  // is slow to be done with is not of it.
  int64_t Sent(TimePoint now, const FloodPolicy::Totals& totals) const;

  // What has come since the beginning that neither calls nor messages explain,
  // in bytes: those who hold memory, and are silent, have sent for it.
  static int64_t Unexplained(const FloodPolicy::Totals& totals);

  // The most calls that have carried connections of late.
  int Carried(TimePoint now, int carrying) const;

 private:
  struct Mark {
    FloodPolicy::Totals totals;
    int64_t arrivals = 0;  // Since the beginning, of which nothing came.
    int64_t unread = 0;    // The most since the mark before.
  };

  // The one to count from at `now`: what came before the last second or two is
  // old, though nobody has looked since.
  const Mark& From(TimePoint now) const;
  // With so many calls that wait.
  int64_t Level(TimePoint now, const FloodPolicy::Totals& totals,
                int64_t waiting) const;

  Mark now_;  // At the last look; the most unread since newer_.
  // Level() counts from older_.
  Mark newer_;
  Mark older_;
  TimePoint marked_{};
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CONTROL_CONTROL_ACTIVITY_H_
