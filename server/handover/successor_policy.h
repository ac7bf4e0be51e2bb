// SuccessorPolicy: what the process that takes over does next, and whether it
// may serve.  It has no sockets, no clock and no threads.
#ifndef PORTREEVE_SERVER_HANDOVER_SUCCESSOR_POLICY_H_
#define PORTREEVE_SERVER_HANDOVER_SUCCESSOR_POLICY_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "lib/base/time_source.h"
#include "portreeve/internal/v1/handover.pb.h"
#include "server/handover/handover_step.h"

namespace portreeve::server {

// Whoever drives it performs action(), and tells it what has come of that, by
// the function that stands beside the action; or by OnFault(), for whatever
// went wrong: an error, a timeout, the end of the channel.
//
//   kSayHello -> kAwait (accepted) -> kAwait, kTake, kAwait, kTake ... ->
//   kCheck
//   -> kSayReady -> kAwait (commit) -> kSayServing -> kServe
//
// It serves if, and only if, the channel has taken `serving`; on every other
// way it ends with kExit, and has touched nothing.
class SuccessorPolicy {
 public:
  // How long the predecessor may say nothing.  It is more than it needs to
  // notice by itself that something is wrong.
  static constexpr Duration kLongestSilence = std::chrono::seconds(10);

  enum class Action {
    kSayHello,    // Send `hello` until deadline(): OnDone().
    kAwait,       // Receive a message until deadline(): OnMessage().
    kReadEvents,  // Look at the file of that message: OnEventsRead().
    kTake,        // Take what is in the message: OnDone().
    kCheck,       // Build it all, and check it: OnDone().
    kSayReady,    // Send `ready`, with counts(), until deadline(): OnDone().
    // Send `serving`, but not at deadline() or later: OnDone().
    kSayServing,
    kSayFailed,  // Send `failed`, with step() and reason(): OnDone().
    // The ends.
    kServe,  // Serve.
    kExit,   // End, by nothing but close(2).
  };

  explicit SuccessorPolicy(TimePoint now);

  Action action() const { return action_; }
  TimePoint deadline() const { return deadline_; }
  const HandoverCounts& counts() const { return counts_; }
  // Of the protocol, once it has been accepted.
  int version() const { return version_; }

  // The message had as many descriptors as it says.
  void OnMessage(const internal::v1::Handover& message, TimePoint now);
  void OnEventsRead(int64_t bytes, uint32_t crc);
  void OnDone(TimePoint now);
  // `why` is why the present action has failed.  It is not for the ends.
  void OnFault(const absl::Status& why);
  // The same, for want of memory, of which it takes none.
  void OnNoMemory() noexcept { Fail("no memory"); }

  // Where it has failed, like "connections", and why in words; once it has.
  const std::string& step() const { return step_; }
  const std::string& reason() const { return reason_; }
  // The predecessor has refused.
  bool is_refused() const { return refused_; }

 private:
  enum class Phase { kHello, kContents, kCommit };

  void Await(Phase phase, TimePoint now);
  void OnAnswer(const internal::v1::Handover& message, TimePoint now);
  void OnContents(const internal::v1::Handover& message);
  void OnCommit(const internal::v1::Handover& message, TimePoint now);
  // Counts what is in a message; gives what is wrong with it, or "".
  std::string Count(const internal::v1::Handover& message);
  void Fail(std::string reason);
  void FailBy(const internal::v1::Handover& message);

  Action action_ = Action::kSayHello;
  Phase phase_ = Phase::kHello;
  TimePoint deadline_;
  int version_ = 0;
  // The kind of the contents that came last, by its number.
  int last_kind_ = 0;
  HandoverCounts counts_;
  int64_t event_bytes_ = 0;  // As the message says.
  uint32_t event_crc_ = 0;
  bool refused_ = false;
  std::string step_ = "hello";
  std::string reason_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HANDOVER_SUCCESSOR_POLICY_H_
