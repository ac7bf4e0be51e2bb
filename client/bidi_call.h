// A call that streams both ways.  For the .cc files of this library only.
#ifndef PORTREEVE_CLIENT_BIDI_CALL_H_
#define PORTREEVE_CLIENT_BIDI_CALL_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <condition_variable>
#include <mutex>

#include "absl/status/status.h"
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
  bool AwaitMetadata() { return Await(metadata_); }

  // Waits for the next message; false once there is none, when Finish tells why
  // at once.
  bool Read(Response& response) {
    if (finished_) return false;
    Reset(read_);
    this->StartRead(&response);
    return Await(read_);
  }

  // Waits until gRPC has taken `request`, which it does not while the other end
  // takes nothing; false once the call has ended.
  bool Write(const Request& request) {
    std::lock_guard turn(write_turn_);
    {
      std::lock_guard lock(hold_mutex_);
      if (finished_) return false;
      Reset(written_);
      this->StartWrite(&request);
    }
    return Await(written_);
  }

  // Waits for the end of the call and tells it, the same ever after.  Of the
  // reading thread, after a Read that gave false or a Cancel.
  absl::Status Finish() {
    {
      std::lock_guard lock(hold_mutex_);
      if (!finished_) {
        finished_ = true;
        this->RemoveHold();
      }
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_; });
    return status_;
  }

  void Cancel() { context_.TryCancel(); }

  void OnReadInitialMetadataDone(bool ok) override { Note(metadata_, ok); }
  void OnReadDone(bool ok) override { Note(read_, ok); }
  void OnWriteDone(bool ok) override { Note(written_, ok); }
  void OnDone(const grpc::Status& status) override {
    std::lock_guard lock(mutex_);
    status_ = FromGrpc(status);
    done_ = true;
    changed_.notify_all();  // With the lock: *this may go right after it.
  }

 private:
  enum class Outcome { kPending, kOk, kFailed };

  void Reset(Outcome& outcome) {
    std::lock_guard lock(mutex_);
    outcome = Outcome::kPending;
  }

  void Note(Outcome& outcome, bool ok) {
    std::lock_guard lock(mutex_);
    outcome = ok ? Outcome::kOk : Outcome::kFailed;
    changed_.notify_all();
  }

  bool Await(const Outcome& outcome) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return outcome != Outcome::kPending; });
    return outcome == Outcome::kOk;
  }

  grpc::ClientContext context_;

  std::mutex write_turn_;  // One write at a time.

  // No write starts once the hold is given up.  gRPC's threads never take it.
  std::mutex hold_mutex_;
  bool finished_ = false;  // Written under it by the reading thread.

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  Outcome metadata_ = Outcome::kPending;
  Outcome read_ = Outcome::kPending;
  Outcome written_ = Outcome::kPending;
  bool done_ = false;
  absl::Status status_;
};

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_BIDI_CALL_H_
