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
// Those whose writes a commit has brought to disk get their answers, and many
// of them write again at once.  So the next commit waits for as many as were
// answered and as wait already: one large commit costs hardly more than each of
// two small ones.  It waits for not longer than a commit takes since the last
// of them came, and kMostGatherings such times at most; who writes alone waits
// for nobody.
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
  // Bounds of gather_time(), and how often it may go by while writes come.
  static constexpr Duration kLeastGathering = std::chrono::microseconds(200);
  static constexpr Duration kLongestGathering = std::chrono::milliseconds(1);
  static constexpr int kMostGatherings = 8;

  enum class Verdict {
    kQueued,   // It is behind those that were queued before.
    kFailed,   // The file has failed; whoever asks knows why.
    kTooMuch,  // The disk does not keep up.
    kStopped,  // After OnStop().
  };
  // `waiting` is how many wait for it.
  Verdict OnWrite(ChangeKind kind, size_t bytes, size_t waiting, TimePoint now);

  enum class Job {
    kNone,
    kCommit,   // The writes that num_committing() counts, in one transaction.
    kTrim,     // Shorten what has grown with the commits.
    kRecover,  // Everything, from what is true now.
    kSuspend,  // Close the file, for another process to open it.
    kEnd,      // Note that all has ended as it should, and close the file.
    kGiveUp,   // Close the file.
  };
  // Gives the job to begin now; kNone while there is one under way, or while
  // is_gathering().
  Job Next();

  // Whether a commit waits for more writes: OnGathered() is to be called in
  // gather_time() then.
  bool is_gathering() const { return gathering_; }
  Duration gather_time() const { return gather_time_; }
  void OnGathered();

  // The job that Next() has given is done.
  struct Outcome {
    size_t acknowledged = 0;  // So many writes, the oldest, are on disk;
    size_t refused = 0;       // or else so many, the oldest, are refused.
  };
  // `took` is how long it has taken.
  Outcome OnDone(bool ok, Duration took, TimePoint now);
  // There is something to trim, before the next commit: so the last one is
  // acknowledged before.
  void WantTrim() { trim_wanted_ = true; }

  // After the job that is under way, if there is one, Next() gives kSuspend,
  // unless the file has failed, and then nothing until OnResume(): what is
  // queued waits.  A policy that is suspended from the beginning is for a file
  // that another process has.
  void OnSuspend();
  void BeginSuspended();
  bool is_suspended() const { return life_ == Life::kSuspended; }
  // The file is recovered, and what was queued goes on.
  void OnResume();

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
  enum class Life {
    kRunning,
    kSuspending,
    kSuspended,
    kStopping,
    kEnding,
    kStopped
  };

  bool MayTry(TimePoint now) const;
  bool HasToGather() const;
  void EndGathering();
  void OnFailure(TimePoint now);
  // Whether writes are taken.
  bool is_open() const {
    return life_ == Life::kRunning || life_ == Life::kSuspending ||
           life_ == Life::kSuspended;
  }
  void Remove(size_t count);

  struct Write {
    ChangeKind kind;
    size_t bytes;
    size_t waiting;
  };
  std::deque<Write> writes_;  // The oldest first, those under way included.
  size_t committing_ = 0;
  size_t intent_bytes_ = 0;
  size_t waiting_ = 0;   // For all of the writes.
  size_t expected_ = 0;  // So many will wait soon.
  bool gathering_ = false;
  bool has_come_ =
      false;            // One of them, since the time that is going by began.
  int gatherings_ = 0;  // How many such times have gone by.
  Duration gather_time_ = kLeastGathering;
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
