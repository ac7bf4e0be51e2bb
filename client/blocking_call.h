// What the calls of this library that block have in common.  For the .cc files
// of this library only.
#ifndef PORTREEVE_CLIENT_BLOCKING_CALL_H_
#define PORTREEVE_CLIENT_BLOCKING_CALL_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <array>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "client/call_options.h"
#include "client/grpc_call.h"

namespace portreeve::client {

// Turns the reactions of `Reactor`, one of gRPC's, into calls that block.  From
// Start until Finish there is a hold, one of gRPC's, which lets any thread
// start operations, and keeps OnDone from coming before.
//
// Threads: one reads and finishes; any thread may cancel.  gRPC's threads call
// OnReadInitialMetadataDone, OnReadDone and OnDone, which only take notes.
// Lifetime: a class that is derived from it must call Cancel and Finish in its
// own destructor, since gRPC may call it until then.
template <typename Reactor>
class BlockingCall : public Reactor {
 public:
  BlockingCall(const BlockingCall&) = delete;
  BlockingCall& operator=(const BlockingCall&) = delete;

  // Waits for the initial metadata; gives false where the call ended before.
  bool AwaitMetadata() { return Await(kMetadata); }

  // Waits for the next message; gives false once there is none, and Finish then
  // gives the reason at once.
  template <typename Response>
  bool Read(Response& response) {
    return Do(kRead, [&] { this->StartRead(&response); });
  }

  // Waits for the end of the call and returns its status, the same ever after.
  // The reading thread calls it, after a Read that gave false or a Cancel.
  absl::Status Finish() {
    {
      absl::MutexLock lock(&hold_mutex_);
      if (!finished_) {
        finished_ = true;
        this->RemoveHold();
      }
    }
    absl::MutexLock lock(&mutex_);
    while (!done_) changed_.Wait(&mutex_);
    return status_;
  }

  void Cancel() { context_.TryCancel(); }

  void OnReadInitialMetadataDone(bool ok) override { Note(kMetadata, ok); }
  void OnReadDone(bool ok) override { Note(kRead, ok); }
  void OnDone(const grpc::Status& status) override {
    absl::MutexLock lock(&mutex_);
    status_ = FromGrpc(status);
    done_ = true;
    changed_.SignalAll();  // Under the lock, since *this may go right after it.
  }

 protected:
  enum Step { kMetadata, kRead, kWrite, kHalfClose, kNumSteps };

  BlockingCall() = default;
  ~BlockingCall() override = default;

  // Starts the call.  `start` passes the context and this reactor to the method
  // of a stub.
  template <typename StartMethod>
  void Start(const CallOptions& options, StartMethod start) {
    applied_.emplace(options, context_);
    start(&context_, this);
    this->AddHold();
    this->StartCall();
  }

  // Starts the operation of `step` by `start` and waits for its outcome: false
  // where it failed, or where the call had finished, and then nothing is
  // started.  Any thread may call it, but one at a time for each step.
  template <typename StartOperation>
  bool Do(Step step, StartOperation start) {
    return Begin(step, start) && Await(step);
  }

  // Does the same without the wait; false where nothing was started.
  template <typename StartOperation>
  bool Begin(Step step, StartOperation start) {
    absl::MutexLock lock(&hold_mutex_);
    if (finished_) return false;
    {
      absl::MutexLock outcome_lock(&mutex_);
      outcomes_[step] = Outcome::kPending;
    }
    start();
    return true;
  }

  // Whether the operation of `step` was started, is over and has not failed.
  bool WasOk(Step step) const {
    absl::MutexLock lock(&mutex_);
    return outcomes_[step] == Outcome::kOk;
  }

  // Ends the wait for `step`.
  void Note(Step step, bool ok) {
    absl::MutexLock lock(&mutex_);
    outcomes_[step] = ok ? Outcome::kOk : Outcome::kFailed;
    changed_.SignalAll();
  }

 private:
  enum class Outcome { kPending, kOk, kFailed };

  bool Await(Step step) {
    absl::MutexLock lock(&mutex_);
    while (outcomes_[step] == Outcome::kPending) changed_.Wait(&mutex_);
    return outcomes_[step] == Outcome::kOk;
  }

  grpc::ClientContext context_;
  std::optional<AppliedOptions> applied_;

  // No operation starts once the hold is given up.  gRPC's threads never take
  // it.
  absl::Mutex hold_mutex_;
  bool finished_ ABSL_GUARDED_BY(hold_mutex_) = false;

  mutable absl::Mutex mutex_;
  absl::CondVar changed_;
  std::array<Outcome, kNumSteps> outcomes_ ABSL_GUARDED_BY(mutex_) = {};
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_BLOCKING_CALL_H_
