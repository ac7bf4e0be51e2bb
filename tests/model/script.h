// Plan: what happens in one scene, as pure data drawn from a seed.
#ifndef PORTREEVE_TESTS_MODEL_SCRIPT_H_
#define PORTREEVE_TESTS_MODEL_SCRIPT_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace portreeve::model {

using Milliseconds = std::chrono::milliseconds;

// What a side does next.  A side is a socket, or the gRPC stream of a client
// that serves (Attach) or has dialled (Dial) a connection.
struct Step {
  enum class Kind {
    kSend,         // `bytes`, at most `unit` a call or a frame.  A socket gives
                   // up what it could not send for `time` while it does not
                   // read: whoever it sends to may wait for that.
    kUrgent,       // TCP: one urgent byte, which is not part of the stream.
    kFin,          // FIN, or `eof`.
    kReset,        // SO_LINGER 0 and close(2), or `reset`.
    kClose,        // close(2), whatever is unread, or `done`.
    kRaised,       // Streams: `raised`.
    kEndOfStream,  // Streams: the client's end without `done`.
    kCancel,       // Streams: cancels the call.
    kFill,         // Streams: frames until some of one waits in the daemon, as
                   // the peer takes no more; at most `bytes`.
    kCancelIfHeld,  // Streams: kCancel if the last frame waits as a whole: the
                    // daemon does not read what is behind it.
    kPause,         // For `time`.
    kAwait,         // Until `bytes` more were received, but only for `time`.
    kRead,          // From now on it reads what comes.
    kSlow,          // ... `unit` bytes a millisecond, and after `time` all.
    kStall,         // ... nothing, and after `time` all.
    kStallToEnd,    // ... nothing until the connection is over without that.
  };

  Kind kind;
  int64_t bytes = 0;
  int64_t unit = 0;
  Milliseconds time{0};
};

struct SidePlan {
  std::vector<Step> steps;
  int receive_buffer = 0;  // SO_RCVBUF; 0 for the kernel's own.
  // Streams, when the peer's end was read: end of stream instead of `done`.
  bool ends_by_end_of_stream = false;
};

enum class Handler {
  kEcho,
  kDiscard,
  kForwardTcp,
  kForwardUnix,
  kForwardName,     // By name: localhost.
  kForwardNowhere,  // Nobody listens there.
  kRemote,
  kRemoteUnclaimed,  // The worker takes none of its offers.
  kDialTcp,
  kDialUnix,
};

bool IsForward(Handler handler);
bool IsRemote(Handler handler);
bool IsDial(Handler handler);
bool HasStream(Handler handler);  // Its far side is one.
bool HasUpstream(Handler handler);

// The near side is the peer of the daemon's connection; the far side is the
// upstream, or the stream, or nobody.
struct PairPlan {
  SidePlan near;
  SidePlan far;
};

// Something asked for from above.
struct Order {
  enum class What { kCloseConnection, kCloseListener };
  enum class How { kLeave, kClose, kReset };

  What what;
  How how;
  size_t pair;         // Of kCloseConnection.
  Milliseconds after;  // Since the scene began to run.
};

// One listener and those that connect to it; or one dialled connection.
struct Plan {
  uint64_t seed = 0;
  std::string about;  // The kind of scene, for people.
  Handler handler = Handler::kEcho;
  bool near_is_unix = false;
  Milliseconds age_limit{0};    // 0 for the default.
  int max_connections = 0;      // 0 for the default.
  bool raising_closes = false;  // OnHandlerError RAISE, else IGNORE.
  bool is_long = false;         // Meant to need the 30 s of a forced close.
  std::vector<PairPlan> pairs;
  std::vector<Order> orders;
};

// The same for the same seed, on every machine.
Plan MakePlan(uint64_t seed);

// With it in the seed the plan is one that needs the 30 s of a forced close.
inline constexpr uint64_t kLongSeed = uint64_t{1} << 63;

// For people: some lines.
std::string ToText(const Plan& plan);

}  // namespace portreeve::model

#endif  // PORTREEVE_TESTS_MODEL_SCRIPT_H_
