// StateStore: has changes of the state written by a thread of its own, and says
// on the loop when they are on disk.
#ifndef PORTREEVE_SERVER_STATE_STATE_STORE_H_
#define PORTREEVE_SERVER_STATE_STATE_STORE_H_

#include <boost/asio/executor_work_guard.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/executor.h"
#include "lib/base/handler_memory.h"
#include "lib/base/time_source.h"
#include "server/state/commit_policy.h"
#include "server/state/database.h"
#include "server/state/state_directory.h"
#include "server/state/state_rows.h"

namespace portreeve::server {

// A state that was taken and read.
struct OpenedState {
  StateDirectory directory;
  std::unique_ptr<Database> database;
  StateContents contents;
};

// Takes the directory, reads all of its state, and writes that a run of
// `version` has begun, so that a state that cannot be written shows now.
// Blocks.
// Errors: those of StateDirectory::Take(), Database::Open(), Read() and
// Begin().
absl::StatusOr<OpenedState> OpenState(const std::string& path,
                                      const std::string& version);

// What another process of the daemon has, and gives up when this one goes on.
struct SuspendedState {
  StateDirectory directory;  // That was adopted.
  std::string daemon_id;
};

// How a store is doing.  Times are of the thread that writes.
struct StoreStatus {
  std::string directory;
  bool healthy = true;
  std::string message;  // Why it is not.
  int64_t bytes = 0;    // On disk, the WAL included.
  int64_t listeners = 0;
  int64_t requests = 0;
  int64_t last_commit_time = 0;  // Nanoseconds since 1970; 0: none yet.
  int64_t commits = 0;           // Transactions that are on disk,
  int64_t changes = 0;           // and the changes in them.
  int64_t failures = 0;          // Jobs that have failed.
  int64_t recoveries = 0;        // Those that have not.
  Duration commit_time{};        // Of all commits together.
  Duration longest_commit{};
};

// Whoever changes the state writes the change and goes on when `done` is
// called: with an intent (to create, to change, to delete) nothing happens
// before; a fact (it was closed, it was forgotten) has happened already.  What
// is written in a step, or while a commit is under way, is one transaction. Who
// writes stays the owner of the truth: when the file has failed, everything is
// written anew from `rows`.  CommitPolicy says when.
//
// Nothing here blocks; a loop on which nothing is written never wakes, nor does
// the thread, "state".
//
// Threads: loop thread only.
// Lifetime: it must not be destroyed in one of its calls; `done` is not called
// any more then.  The loop must outlive it.
class StateStore {
 public:
  // Called in a step of the loop of its own, in the order of Write(), with OK
  // once the changes are on disk, or else with STATE_UNAVAILABLE or STATE_FULL.
  // What it throws goes to the executor's monitor.
  using Done = std::function<void(const absl::Status&)>;

  struct Owner {
    // Gives all that is true now: with every fact, and every intent for which
    // `done` was called with OK, and no other.  So `done` itself has to do what
    // the intent was for.  It is called in a step of its own.
    std::function<StateRows()> rows;
    // Called when status().healthy changes; may be null.
    std::function<void(bool healthy)> on_health;
  };

  // Begins the thread.
  // Errors: those of pthread_create(3).
  static absl::StatusOr<std::unique_ptr<StateStore>> Start(Executor executor,
                                                           OpenedState state,
                                                           Owner owner);

  // Begins the thread, as after Suspend(): whatever is written waits.
  // Errors: those of pthread_create(3).
  static absl::StatusOr<std::unique_ptr<StateStore>> StartSuspended(
      Executor executor, SuspendedState state, const std::string& version,
      Owner owner);

  StateStore(const StateStore&) = delete;
  StateStore& operator=(const StateStore&) = delete;
  // Without Stop() before, it waits for the job that is under way, and the next
  // start finds a run that has not ended as it should.
  ~StateStore();

  // Queues changes.  `done` may be null; `waiting` is how many clients wait for
  // it.
  //
  // An error says that they were not queued, and that `done` will not be
  // called.  Where the file has failed a fact needs nothing more: `rows` has
  // it, and the next recovery writes it.  Throws std::bad_alloc, and then has
  // no effect.
  // Errors: STATE_UNAVAILABLE or STATE_FULL, with the reason why the file has
  // failed; STATE_UNAVAILABLE for an intent where too much is queued already;
  // SHUTTING_DOWN after Stop().
  absl::Status Write(ChangeKind kind, std::vector<StateChange> changes,
                     Done done, size_t waiting = 1);

  // Closes the file, so that another process can open it, and then calls
  // `done`, with the error where that has failed, and something may be in the
  // WAL alone.  What is not in a transaction by now waits.  There must be no
  // other call of it that is not done.
  void Suspend(Done done);
  // Opens the file again, makes all that is true its contents, and goes on.
  void Resume();
  // Another process has the file: refuses all that waits, and all that comes,
  // with `status`.  Suspend() must be done.
  void GiveUp(const absl::Status& status);
  // Gives the descriptor by which the directory is locked.
  int lock() const { return directory_.lock(); }

  // Brings what was written to its end, notes that the run has ended as it
  // should, and closes the file.  Then it calls `done`, with the error where
  // something is not on disk.  It must be called once at most.
  void Stop(Done done);

  const StoreStatus& status() const { return status_; }

 private:
  class Thread;
  struct Result;
  struct Pending {
    std::vector<StateChange> changes;
    Done done;
  };

  StateStore(Executor executor, StateDirectory directory, Owner owner);
  absl::Status StartThread(std::unique_ptr<Database> database);

  void ProceedLater();
  void Proceed();
  void Gather();
  void Submit(CommitPolicy::Job job);
  void OnResult(CommitPolicy::Job job, const Result& result);
  void EndSuspend(const absl::Status& status);
  void NoteHealth(const absl::Status& status);
  void Answer(size_t count, const absl::Status& status);

  const Executor executor_;
  StateDirectory directory_;  // Locked until the thread has ended.
  const Owner owner_;
  CommitPolicy policy_;
  Timer gathered_;               // While the policy gathers.
  std::deque<Pending> pending_;  // As the policy has them.
  absl::Status error_;           // Of the last job that has failed.
  StoreStatus status_;
  Done stop_done_;
  Done suspend_done_;
  absl::Status given_up_;  // Not OK once it is.
  // The loop has to live while a job is under way.
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>>
      work_;
  // Shared with what the loop has queued.
  std::shared_ptr<Thread> thread_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATE_STATE_STORE_H_
