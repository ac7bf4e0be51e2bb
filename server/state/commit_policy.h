// CommitPolicy: which changes go to disk when, and what becomes of them when
// that fails.  It has no database, no clock and no threads.
#ifndef PORTREEVE_SERVER_STATE_COMMIT_POLICY_H_
#define PORTREEVE_SERVER_STATE_COMMIT_POLICY_H_

#include <cstddef>
#include <deque>

#include "lib/base/time_source.h"

namespace portreeve::server {

// Whether a change happens only once it is on disk (an intent), or has happened
// already (a fact), so that to refuse it would change nothing.
enum class ChangeKind { kIntent, kFact };

// Writes, each of some changes that go together, wait in a queue.  One job is
// under way at a time; those that come meanwhile are one transaction, the next.
//
// A commit that fails refuses its writes.  Then the file has to be recovered:
// opened anew, and all written to it from memory.  That is tried at once, and
// again when something is written, but not within kRetryAfter of the last time;
// no timer is needed.  Writes wait for a recovery that is under way, and are
// refused while there is none.
class CommitPolicy {
 public:
  static constexpr Duration kRetryAfter = std::chrono::seconds(5);
  // How many bytes of intents may be on their way to the disk.
  static constexpr size_t kMaxBytes = size_t{16} << 20;

  enum class Verdict {
    kQueued,   // It is behind those that were queued before.
    kFailed,   // The file has failed; whoever asks knows why.
    kTooMuch,  // The disk does not keep up.
    kStopped,  // After OnStop().
  };
  Verdict OnWrite(ChangeKind kind, size_t bytes, TimePoint now);

  enum class Job {
    kNone,
    kCommit,   // The writes that num_committing() counts, in one transaction.
    kTrim,     // Shorten what has grown with the commits.
    kRecover,  // Everything, from what is true now.
    kEnd,      // Note that all has ended as it should, and close the file.
    kGiveUp,   // Close the file.
  };
  // Gives the job to begin now; kNone while there is one under way.
  Job Next();

  // The job that Next() has given is done.
  struct Outcome {
    size_t acknowledged = 0;  // So many writes, the oldest, are on disk;
    size_t refused = 0;       // or else so many, the oldest, are refused.
  };
  Outcome OnDone(bool ok, TimePoint now);
  // There is something to trim, before the next commit: so the last one is
  // acknowledged before.
  void WantTrim() { trim_wanted_ = true; }

  // What was queued is brought to its end; then Next() gives kEnd or kGiveUp,
  // once.  A file that has failed is recovered a last time, whenever the last
  // attempt was: there may be facts that are not on disk.
  void OnStop();

  // Whether a job is under way.
  bool is_busy() const { return job_ != Job::kNone; }
  bool healthy() const { return healthy_; }
  bool is_stopped() const { return life_ == Life::kStopped; }
  // How many writes are in the transaction that is under way.
  size_t num_committing() const { return committing_; }
  size_t num_queued() const { return writes_.size(); }

  // CHECKs what must always hold.
  void CheckInvariants() const;

 private:
  enum class Life { kRunning, kStopping, kEnding, kStopped };

  bool MayTry(TimePoint now) const;
  void OnFailure(TimePoint now);
  void Remove(size_t count);

  struct Write {
    ChangeKind kind;
    size_t bytes;
  };
  std::deque<Write> writes_;  // The oldest first, those under way included.
  size_t committing_ = 0;
  size_t intent_bytes_ = 0;
  Job job_ = Job::kNone;
  bool healthy_ = true;
  bool trim_wanted_ = false;
  bool recover_wanted_ = false;
  bool has_tried_ = false;  // There was an attempt to recover,
  TimePoint last_try_;      // which ended then.
  Life life_ = Life::kRunning;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATE_COMMIT_POLICY_H_
