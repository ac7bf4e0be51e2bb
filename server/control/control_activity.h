// ControlActivity: how much a client of the control plane makes gRPC keep, as
// far as that shows from outside.  It has no sockets, no clock and no threads.
#ifndef PORTREEVE_SERVER_CONTROL_CONTROL_ACTIVITY_H_
#define PORTREEVE_SERVER_CONTROL_CONTROL_ACTIVITY_H_

#include <chrono>
#include <cstdint>

#include "lib/base/time_source.h"
#include "server/control/flood_policy.h"

namespace portreeve::server {

// Makes clients comparable with each other where the process has too much
// memory.  What a client does that makes one call after the other, watches, or
// serves connections is free, also while a flood holds its calls up.  Only the
// last second or two count.
class ControlActivity {
 public:
  // These are free at a time.  First, bytes that neither a call nor a message
  // explains: the beginning of TLS and of HTTP/2, and requests that are on
  // their way.
  static constexpr int64_t kFreeBytes = 8 << 10;
  // Calls that wait for their answer, and answered ones that gRPC is not done
  // with.
  static constexpr int64_t kFreeWaiting = 64;
  static constexpr int64_t kFreeAnswered = 64;
  // Calls that were taken back.
  static constexpr int64_t kFreeCancelled = 50;
  // Times that a unix socket has received something from which nothing came.
  static constexpr int64_t kFreeArrivals = 8;

  // The bytes that come with a call and with a message, and those that a client
  // sends for a message that it has read: windows of HTTP/2.
  static constexpr int64_t kBytesOfCall = 256;
  static constexpr int64_t kBytesOfMessage = 32;
  static constexpr int64_t kBytesOfSent = 64;

  // How many unexplained bytes each counts for that is not free: 15 of those
  // make a call that nobody hears of.
  static constexpr int64_t kWeightOfWaiting = 4 << 10;
  static constexpr int64_t kWeightOfAnswered = 1 << 10;
  static constexpr int64_t kWeightOfCancelled = 256;
  static constexpr int64_t kWeightOfArrival = 1 << 10;

  static constexpr std::chrono::seconds kMarkInterval{1};

  // Takes the counts of now.  Nobody counts what a unix socket has received;
  // that something has come there is `arrived`.  Gives whether anything is new
  // since the last time, or waits to be read.
  bool Look(TimePoint now, const FloodPolicy::Totals& totals, bool arrived);

  // Whether next to nothing has come since the last look, like an answer to a
  // ping.
  bool IsQuiet(const FloodPolicy::Totals& totals) const;

  // Gives what of the last second or two is not free, in bytes more or less.
  // Calls that have waited for longer do not count, since the process does not
  // grow by them.  `now` is that of the last look or later, since nobody looks
  // at silent clients.
  int64_t Level(TimePoint now, const FloodPolicy::Totals& totals) const;
  // Gives the same with all calls that wait, whenever they began.
  int64_t Held(TimePoint now, const FloodPolicy::Totals& totals) const;

  // Gives the part of Level() that has come and is neither calls nor messages,
  // and so nothing that gRPC is slow to be done with.
  int64_t Sent(TimePoint now, const FloodPolicy::Totals& totals) const;

  // Gives the bytes since the beginning that neither calls nor messages
  // explain: a client that holds memory and is silent has once sent them.
  static int64_t Unexplained(const FloodPolicy::Totals& totals);

  // Gives the most calls that have carried connections at a time of late.
  int Carried(TimePoint now, int carrying) const;

 private:
  struct Mark {
    FloodPolicy::Totals totals;
    int64_t arrivals = 0;  // Those since the beginning from which nothing came.
    int64_t unread = 0;    // The most bytes since the mark before.
  };

  // Gives the mark to count from at `now`: what came before the last second or
  // two is old, even if nobody has looked since.
  const Mark& From(TimePoint now) const;
  // Gives the level with so many calls that wait.
  int64_t Level(TimePoint now, const FloodPolicy::Totals& totals,
                int64_t waiting) const;

  Mark now_;  // The last look; `unread` is the most since newer_.
  // Level() counts from older_.
  Mark newer_;
  Mark older_;
  TimePoint marked_{};
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CONTROL_CONTROL_ACTIVITY_H_
