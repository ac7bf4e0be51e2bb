// A call that streams both ways.  For the .cc files of this library only.
#ifndef PORTREEVE_CLIENT_BIDI_CALL_H_
#define PORTREEVE_CLIENT_BIDI_CALL_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <array>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "client/call_options.h"
#include "client/grpc_call.h"

namespace portreeve::client {

// Turns gRPC's reactions into calls that block.  One thread reads and finishes;
// any threads write, one after the other; any thread cancels.  A hold, which
// lasts until Finish, lets them start operations and keeps OnDone from coming
// before.  gRPC's threads run the On... methods; they only take notes.
template <typename Request, typename Response>
class BidiCall final : public grpc::ClientBidiReactor<Request, Response> {
 public:
  // `start` takes the context and this reactor to the method of a stub.
  template <typename Start>
  BidiCall(const CallOptions& options, Start start) {
    Apply(options, context_);
    start(&context_, this);
    this->AddHold();
    this->StartCall();
  }
  BidiCall(const BidiCall&) = delete;
  BidiCall& operator=(const BidiCall&) = delete;

  // Cancels.  No other method may be under way.
  ~BidiCall() override {
    Cancel();
    Finish().IgnoreError();
  }

  // Waits for the initial metadata; false where the call ended before.
  bool AwaitMetadata() { return Await(kMetadata); }

  // Waits for the next message; false once there is none, when Finish tells why
  // at once.
  bool Read(Response& response) {
    if (finished()) return false;
    Reset(kRead);
    this->StartRead(&response);
    return Await(kRead);
  }

  // Waits until gRPC has taken `request`, which it does not while the other end
  // takes nothing; false once the call has ended.
  bool Write(const Request& request) {
    absl::MutexLock turn(&write_turn_);
    {
      absl::MutexLock lock(&hold_mutex_);
      if (finished_) return false;
      Reset(kWrite);
      this->StartWrite(&request);
    }
    return Await(kWrite);
  }

  // Waits for the end of the call and tells it, the same ever after.  Of the
  // reading thread, after a Read that gave false or a Cancel.
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
  void OnWriteDone(bool ok) override { Note(kWrite, ok); }
  void OnDone(const grpc::Status& status) override {
    absl::MutexLock lock(&mutex_);
    status_ = FromGrpc(status);
    done_ = true;
    changed_.SignalAll();  // With the lock: *this may go right after it.
  }

 private:
  enum Step { kMetadata, kRead, kWrite, kNumSteps };
  enum class Outcome { kPending, kOk, kFailed };

  void Reset(Step step) {
    absl::MutexLock lock(&mutex_);
    outcomes_[step] = Outcome::kPending;
  }

  void Note(Step step, bool ok) {
    absl::MutexLock lock(&mutex_);
    outcomes_[step] = ok ? Outcome::kOk : Outcome::kFailed;
    changed_.SignalAll();
  }

  bool Await(Step step) {
    absl::MutexLock lock(&mutex_);
    while (outcomes_[step] == Outcome::kPending) changed_.Wait(&mutex_);
    return outcomes_[step] == Outcome::kOk;
  }

  // Of the reading thread: since nobody else changes it, no lock is needed.
  bool finished() const ABSL_NO_THREAD_SAFETY_ANALYSIS { return finished_; }

  grpc::ClientContext context_;

  absl::Mutex write_turn_;  // One write at a time.

  // No write starts once the hold is given up.  gRPC's threads never take it.
  absl::Mutex hold_mutex_;
  bool finished_ ABSL_GUARDED_BY(hold_mutex_) = false;

  absl::Mutex mutex_;
  absl::CondVar changed_;
  std::array<Outcome, kNumSteps> outcomes_ ABSL_GUARDED_BY(mutex_) = {};
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_BIDI_CALL_H_
