#include "client/watch.h"

#include <grpcpp/channel.h>
#include <grpcpp/support/client_callback.h>

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "client/grpc_call.h"
#include "portreeve/v1/event.grpc.pb.h"

namespace portreeve::client {

// Turns gRPC's reactions into calls that block.  A hold, which lasts until
// Finish, lets the reading thread start reads, and keeps OnDone from coming
// before.  gRPC's threads run the On... methods; they only take notes.
class Watch::Impl final
    : public grpc::ClientReadReactor<v1::WatchEventsResponse> {
 public:
  Impl(const std::shared_ptr<grpc::Channel>& channel,
       const v1::WatchEventsRequest& request, const CallOptions& options)
      : stub_(v1::EventService::NewStub(channel)), request_(request) {
    Apply(options, context_);
    stub_->async()->WatchEvents(&context_, &request_, this);
    AddHold();
    StartCall();
  }

  ~Impl() override {
    context_.TryCancel();
    Finish().IgnoreError();
  }

  // Waits for the initial metadata.
  absl::Status AwaitStart() {
    if (Await(kMetadata)) return absl::OkStatus();
    const absl::Status status = Finish();
    if (!status.ok()) return status;
    return absl::InternalError("the daemon ended the watch before its start");
  }

  absl::StatusOr<std::vector<v1::Event>> Next() {
    if (finished_) return Ended();
    Reset(kRead);
    StartRead(&response_);
    if (!Await(kRead)) return Ended();
    return std::vector<v1::Event>(
        std::make_move_iterator(response_.mutable_events()->begin()),
        std::make_move_iterator(response_.mutable_events()->end()));
  }

  void Cancel() { context_.TryCancel(); }

  void OnReadInitialMetadataDone(bool ok) override { Note(kMetadata, ok); }
  void OnReadDone(bool ok) override { Note(kRead, ok); }
  void OnDone(const grpc::Status& status) override {
    absl::MutexLock lock(&mutex_);
    status_ = FromGrpc(status);
    done_ = true;
    changed_.SignalAll();  // With the lock: *this may go right after it.
  }

 private:
  enum Step { kMetadata, kRead, kNumSteps };
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

  // Gives up the hold and waits for OnDone.  No read may be pending.
  absl::Status Finish() {
    if (!finished_) {
      finished_ = true;
      RemoveHold();
    }
    absl::MutexLock lock(&mutex_);
    while (!done_) changed_.Wait(&mutex_);
    return status_;
  }

  absl::StatusOr<std::vector<v1::Event>> Ended() {
    absl::Status status = Finish();
    if (!status.ok()) return status;
    return std::vector<v1::Event>();
  }

  const std::unique_ptr<v1::EventService::Stub> stub_;
  const v1::WatchEventsRequest request_;
  grpc::ClientContext context_;

  // Of the reading thread.
  bool finished_ = false;
  v1::WatchEventsResponse response_;  // gRPC's while a read is pending.

  absl::Mutex mutex_;
  absl::CondVar changed_;
  std::array<Outcome, kNumSteps> outcomes_ ABSL_GUARDED_BY(mutex_) = {};
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<Watch> Watch::Start(
    const std::shared_ptr<grpc::Channel>& channel,
    const v1::WatchEventsRequest& request, const CallOptions& options) {
  auto impl = std::make_unique<Impl>(channel, request, options);
  absl::Status started = impl->AwaitStart();
  if (!started.ok()) return started;
  return Watch(std::move(impl));
}

Watch::Watch(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Watch::Watch(Watch&&) noexcept = default;
Watch& Watch::operator=(Watch&&) noexcept = default;
Watch::~Watch() = default;

absl::StatusOr<std::vector<v1::Event>> Watch::Next() { return impl_->Next(); }

void Watch::Cancel() { impl_->Cancel(); }

}  // namespace portreeve::client
