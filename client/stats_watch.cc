#include "client/stats_watch.h"

#include <grpcpp/channel.h>
#include <grpcpp/support/client_callback.h>

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "client/blocking_call.h"
#include "portreeve/v1/stats.grpc.pb.h"

namespace portreeve::client {

class StatsWatch::Impl final
    : public BlockingCall<grpc::ClientReadReactor<v1::WatchStatsResponse>> {
 public:
  Impl(const std::shared_ptr<grpc::Channel>& channel,
       const v1::WatchStatsRequest& request, const CallOptions& options)
      : stub_(v1::StatsService::NewStub(channel)), request_(request) {
    Start(options, [this](grpc::ClientContext* context, auto* reactor) {
      stub_->async()->WatchStats(context, &request_, reactor);
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

  absl::StatusOr<std::optional<v1::WatchStatsResponse>> Next() {
    if (Read(response_)) return std::move(response_);
    absl::Status status = Finish();
    if (!status.ok()) return status;
    return std::nullopt;
  }

 private:
  const std::unique_ptr<v1::StatsService::Stub> stub_;
  const v1::WatchStatsRequest request_;
  v1::WatchStatsResponse response_;  // gRPC's while a read is pending.
};

absl::StatusOr<StatsWatch> StatsWatch::Start(
    const std::shared_ptr<grpc::Channel>& channel,
    const v1::WatchStatsRequest& request, const CallOptions& options) {
  auto impl = std::make_unique<Impl>(channel, request, options);
  absl::Status started = impl->AwaitStart();
  if (!started.ok()) return started;
  return StatsWatch(std::move(impl));
}

StatsWatch::StatsWatch(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StatsWatch::StatsWatch(StatsWatch&&) noexcept = default;
StatsWatch& StatsWatch::operator=(StatsWatch&&) noexcept = default;
StatsWatch::~StatsWatch() = default;

absl::StatusOr<std::optional<v1::WatchStatsResponse>> StatsWatch::Next() {
  return impl_->Next();
}

void StatsWatch::Cancel() { impl_->Cancel(); }

}  // namespace portreeve::client
