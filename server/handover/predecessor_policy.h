// PredecessorPolicy: what the process that hands over does next, and whether it
// goes on.  It has no sockets, no clock and no threads.
#ifndef PORTREEVE_SERVER_HANDOVER_PREDECESSOR_POLICY_H_
#define PORTREEVE_SERVER_HANDOVER_PREDECESSOR_POLICY_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "lib/base/time_source.h"
#include "portreeve/internal/v1/handover.pb.h"
#include "server/handover/handover_step.h"

namespace portreeve::server {

// The versions of the protocol that this program speaks.
inline constexpr int kOldestHandoverVersion = 1;
inline constexpr int kNewestHandoverVersion = 2;
// From this one on a successor goes on with connections (HandoverMoved,
// HandoverMovedOn); with one of before all are held.
inline constexpr int kFirstVersionThatMoves = 2;

// What the predecessor is, by which it judges a successor.
struct PredecessorTerms {
  // The process that can be killed.
  pid_t successor = 0;
  // Of this daemon; unset without a state.
  std::optional<internal::v1::HandoverDirectory> state;
};

// Whoever drives it performs action(), and tells it what has come of that, by
// the function that stands beside the action; or by OnFault(), for whatever
// went wrong: an error, a timeout, the end of the channel.
//
//   kAwait -> kAccept -> kFreeze -> kSendContents -> kAwait -> kSendCommit
//   -> kAwait -> kHandedOver
//
// The channel decides a race that the clock cannot: once the successor may send
// no more (kRefuseMore), either it has sent `serving` or it never will.  Only
// where it has not does this process kill it and go on.  So both never serve,
// and no clock and no signal have to be trusted for that.
class PredecessorPolicy {
 public:
  // From the beginning of the freeze until `serving`.
  static constexpr Duration kMostFrozen = std::chrono::seconds(5);
  // By how much the successor's deadline is earlier, so that there is time for
  // its word to be read.
  static constexpr Duration kCommitMargin = std::chrono::milliseconds(500);
  // How long a process that was killed may take to die, as one does that waits
  // for a disk.  It does nothing more in any case.
  static constexpr Duration kMostDying = std::chrono::seconds(5);

  enum class Action {
    kAwait,         // Receive a message until deadline(): OnMessage().
    kRefuse,        // Send `refused`, with reason(): OnDone().
    kAccept,        // Send `accepted`, with version(): OnDone().
    kFreeze,        // Come to rest until deadline(): OnDone().
    kSendContents,  // Send all until deadline(): OnContentsSent().
    kSendCommit,    // Send `commit`, with commit_deadline(): OnDone().
    // Let the successor send no more, receive all that it has sent, whatever
    // is wrong with it, and look for `serving`: OnSearched().
    kRefuseMore,
    kKill,    // Kill the successor, and wait for its death: OnDone().
    kSearch,  // Receive what there still is, as before: OnSearched().
    kThaw,    // Go on, as it was: OnDone().
    // The ends.
    kRefused,     // It was refused, or has failed, before the freeze.
    kThawed,      // It has failed, and this process serves.
    kHandedOver,  // The successor serves.
    // The successor said that it serves after all was over, or may have, and is
    // dead: nobody knows what it has done.  The process has to end, with exit
    // status 1.
    kCrashed,
  };

  // `hello_by` is until when the successor may take to say `hello`.
  PredecessorPolicy(PredecessorTerms terms, TimePoint hello_by);

  Action action() const { return action_; }
  TimePoint deadline() const { return deadline_; }
  TimePoint commit_deadline() const { return deadline_ - kCommitMargin; }
  int version() const { return version_; }

  // The descriptors that would go over now, roughly; to be told before the
  // first OnMessage().
  void set_num_descriptors(int64_t count) { num_descriptors_ = count; }

  // It is also for a message that has come while something was sent, in place
  // of what would tell of that.
  void OnMessage(const internal::v1::Handover& message, TimePoint now);
  void OnDone(TimePoint now);
  void OnContentsSent(const HandoverCounts& counts, TimePoint now);
  void OnSearched(bool found_serving);
  // `why` is why the present action has failed.  kRefuseMore and kKill are then
  // as if they were done, and nothing was found; where kSearch fails, nobody
  // knows.  It is not for the ends.
  void OnFault(const absl::Status& why);
  // The same, for want of memory, of which it takes none.
  void OnNoMemory() noexcept { Fail("no memory"); }

  // Where it has failed, and why in words; once it has.
  HandoverStep step() const { return step_; }
  const std::string& reason() const { return reason_; }
  // Gives the reason away.
  std::string TakeReason() { return std::move(reason_); }
  // The successor serves, but can tell this process nothing more.
  bool is_deaf() const { return deaf_; }
  // Whether the successor may have gone as far as to serve.
  bool is_committed() const { return committed_; }

 private:
  // What is wrong with a successor; "" if nothing is.
  std::string WhatIsWrong(const internal::v1::HandoverHello& hello) const;
  void OnHello(const internal::v1::Handover& message);
  void OnReady(const internal::v1::Handover& message, TimePoint now);
  void Fail(std::string reason);
  void FailBy(const internal::v1::Handover& message);

  const PredecessorTerms terms_;
  Action action_ = Action::kAwait;
  HandoverStep step_ = HandoverStep::kHello;
  TimePoint deadline_;
  int version_ = 0;
  int64_t num_descriptors_ = 0;
  HandoverCounts counts_;
  bool committed_ = false;
  bool deaf_ = false;
  std::string reason_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HANDOVER_PREDECESSOR_POLICY_H_
