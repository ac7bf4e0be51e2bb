#include "client/watch.h"

#include <grpcpp/channel.h>
#include <grpcpp/support/client_callback.h>

#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "client/blocking_call.h"
#include "portreeve/v1/event.grpc.pb.h"

namespace portreeve::client {

class Watch::Impl final
    : public BlockingCall<grpc::ClientReadReactor<v1::WatchEventsResponse>> {
 public:
  Impl(const std::shared_ptr<grpc::Channel>& channel,
       const v1::WatchEventsRequest& request, const CallOptions& options)
      : stub_(v1::EventService::NewStub(channel)), request_(request) {
    Start(options, [this](grpc::ClientContext* context, auto* reactor) {
      stub_->async()->WatchEvents(context, &request_, reactor);
    });
  }

  ~Impl() override {
    Cancel();
    Finish().IgnoreError();
  }

  // Waits for the initial metadata.
  absl::Status AwaitStart() {
    if (AwaitMetadata()) return absl::OkStatus();
    const absl::Status status = Finish();
    if (!status.ok()) return status;
    return absl::InternalError("the daemon ended the watch before its start");
  }

  absl::StatusOr<std::vector<v1::Event>> Next() {
    if (!Read(response_)) return Ended();
    return std::vector<v1::Event>(
        std::make_move_iterator(response_.mutable_events()->begin()),
        std::make_move_iterator(response_.mutable_events()->end()));
  }

 private:
  absl::StatusOr<std::vector<v1::Event>> Ended() {
    absl::Status status = Finish();
    if (!status.ok()) return status;
    return std::vector<v1::Event>();
  }

  const std::unique_ptr<v1::EventService::Stub> stub_;
  const v1::WatchEventsRequest request_;
  v1::WatchEventsResponse response_;  // gRPC's while a read is pending.
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
