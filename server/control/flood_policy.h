// FloodPolicy: decides when a client of the control plane asks for too much.
// It has no sockets, no clock and no threads.
#ifndef PORTREEVE_SERVER_CONTROL_FLOOD_POLICY_H_
#define PORTREEVE_SERVER_CONTROL_FLOOD_POLICY_H_

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

#include "lib/base/time_source.h"

namespace portreeve::server {

// Judges one connection by counts that only grow.  Each kind of excess fills a
// bucket that leaks: so much is fine at once, and so much each second for ever.
class FloodPolicy {
 public:
  // A client without bad intentions stays below these.  First, calls that wait
  // at a time; those that carry a connection do not count.
  static constexpr int kMostCalls = 1000;
  // So many of the calls that are answered do not count either: gRPC gives
  // calls back late where a flood keeps it busy, also those of a client that
  // makes one after the other.
  static constexpr int kMostAnswered = 500;
  // Calls that the client takes back, at once and each second.
  static constexpr int64_t kMostCancelled = 2000;
  static constexpr int64_t kCancelledPerSecond = 500;
  // What the client sends beside messages of streams, and beyond what calls
  // explain.
  static constexpr int64_t kMostBytes = 1 << 20;
  static constexpr int64_t kBytesPerSecond = 256 << 10;
  // The most for all connections together; one alone may send a whole request
  // before there is a call that explains it.
  static constexpr int64_t kMostBytesOfAll = 2 << 20;
  // The same where the process has just grown too fast: bytes show as memory
  // only when gRPC comes to them.
  static constexpr int64_t kMostBytesOnAlert = 64 << 10;
  static constexpr int64_t kMostSegments = 20'000;
  static constexpr int64_t kSegmentsPerSecond = 5'000;
  // How many bytes and segments are explained by a call, a message, and the
  // windows of a stream that carries a connection.
  static constexpr int64_t kBytesOfCall = 16 << 10;
  // The next two are the frames of HTTP/2 and TLS around a small message; and
  // the windows, and answers to pings, that a message to the client brings
  // back.
  static constexpr int64_t kBytesOfMessage = 48;
  static constexpr int64_t kBytesOfSent = 64;
  static constexpr int64_t kBytesOfCarrying = 512 << 10;
  static constexpr int64_t kSegmentsOfCall = 16;
  static constexpr int64_t kSegmentsOfMessage = 2;
  static constexpr int64_t kSegmentsOfSent = 2;
  static constexpr int64_t kBytesOfSegment = 512;
  static constexpr int64_t kSegmentsOfCarrying =
      kBytesOfCarrying / kBytesOfSegment;
  // How long after its end a stream goes on to explain as much: what its client
  // had sent by then still comes.
  static constexpr std::chrono::seconds kAfterCarrying{10};

  // The counts since the connection began.
  struct Totals {
    int64_t begun = 0;      // Calls.
    int64_t cancelled = 0;  // Calls.
    int64_t messages = 0;   // Those that have come, of all calls.
    int64_t message_bytes = 0;
    int64_t sent = 0;  // Messages to the client.
    // The kernel's counts, which include what no call was made of yet.
    int64_t received_bytes = 0;
    uint32_t received_segments = 0;  // Modulo 2^32.
    // How much waits in the kernel, now.
    int64_t unread_bytes = 0;
    int in_flight = 0;  // Calls, now.
    int carrying = 0;   // Of `in_flight`: they carry a connection.
    int unjoined = 0;   // Of `in_flight`: they carry nothing yet.
    int ended = 0;      // Of `in_flight`: their connections are closed.
    int answered = 0;   // Of `in_flight`: their status is on its way.
    // The most of `carrying` and `unjoined` at a time since `ended` was 0.
    int most_of_connections = 0;
    // How many connections the client may come back for.
    int expected = 0;
  };

  enum class Excess { kNone, kCalls, kCancelled, kBytes, kSegments };

  // Gives what has become too much by `now`, which must not be before that of
  // the last call.
  Excess Look(TimePoint now, const Totals& totals);

  // Gives how much the client had sent by the last look that nothing explains.
  int64_t unexplained_bytes() const {
    const int64_t explained = carrying_ * kBytesOfCarrying;
    return bytes_.level() > explained ? bytes_.level() - explained : 0;
  }

  // Gives how many calls are, or may be, of connections where `expected` ones
  // of another process of the daemon await their clients, any of which may ask
  // for all of them at once.
  static int OfConnections(int carrying, int unjoined, int expected) {
    return carrying + unjoined + expected;
  }

  // Whether those are too many calls at a time: the bound of connections holds
  // for `of_connections`, and of the others `answered` are answered.
  static bool TooManyCalls(int in_flight, int of_connections, int answered) {
    return in_flight - of_connections - std::clamp(answered, 0, kMostAnswered) >
           kMostCalls;
  }

 private:
  class Bucket {
   public:
    // `added` may be negative.  Gives true where the bucket runs over.
    bool Add(int64_t added, int64_t leaked, int64_t most);
    int64_t level() const { return level_; }

   private:
    int64_t level_ = 0;
  };

  void SetCarrying(TimePoint now, int carrying);

  // The most `carrying` of late.  Once calls that have ended count no more,
  // what they explained is taken out of the buckets.
  int64_t carrying_ = 0;
  TimePoint carried_until_{};
  std::optional<TimePoint> first_look_;
  TimePoint last_look_{};
  Totals last_;
  Bucket cancelled_;
  Bucket bytes_;
  Bucket segments_;
};

// Gives what a log says: "too many calls at a time".
const char* ToText(FloodPolicy::Excess excess);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_CONTROL_FLOOD_POLICY_H_
