#include "client/watch.h"

#include <grpcpp/channel.h>
#include <grpcpp/support/client_callback.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/status/status.h"
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
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return metadata_ != Outcome::kPending; });
    if (metadata_ == Outcome::kOk) return absl::OkStatus();
    lock.unlock();
    const absl::Status status = Finish();
    if (!status.ok()) return status;
    return absl::InternalError("the daemon ended the watch before its start");
  }

  absl::StatusOr<std::vector<v1::Event>> Next() {
    if (finished_) return Ended();
    {
      std::lock_guard lock(mutex_);
      read_ = Outcome::kPending;
    }
    StartRead(&response_);
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return read_ != Outcome::kPending; });
      if (read_ == Outcome::kOk) {
        return std::vector<v1::Event>(
            std::make_move_iterator(response_.mutable_events()->begin()),
            std::make_move_iterator(response_.mutable_events()->end()));
      }
    }
    return Ended();
  }

  void Cancel() { context_.TryCancel(); }

  void OnReadInitialMetadataDone(bool ok) override { Note(metadata_, ok); }
  void OnReadDone(bool ok) override { Note(read_, ok); }
  void OnDone(const grpc::Status& status) override {
    std::lock_guard lock(mutex_);
    status_ = FromGrpc(status);
    done_ = true;
    changed_.notify_all();  // With the lock: *this may go right after it.
  }

 private:
  enum class Outcome { kPending, kOk, kFailed };

  void Note(Outcome& outcome, bool ok) {
    std::lock_guard lock(mutex_);
    outcome = ok ? Outcome::kOk : Outcome::kFailed;
    changed_.notify_all();
  }

  // Gives up the hold and waits for OnDone.  No read may be pending.
  absl::Status Finish() {
    if (!finished_) {
      finished_ = true;
      RemoveHold();
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_; });
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

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  Outcome metadata_ = Outcome::kPending;
  Outcome read_ = Outcome::kPending;
  bool done_ = false;
  absl::Status status_;
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
