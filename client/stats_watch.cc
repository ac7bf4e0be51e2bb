#include "client/stats_watch.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "client/blocking_watch.h"
#include "portreeve/v1/stats.grpc.pb.h"

namespace portreeve::client {

class StatsWatch::Impl final {
 public:
  Impl(const std::shared_ptr<grpc::Channel>& channel,
       const v1::WatchStatsRequest& request, const CallOptions& options)
      : stub_(v1::StatsService::NewStub(channel)),
        request_(request),
        watch_(options, [this](grpc::ClientContext* context, auto* reactor) {
          stub_->async()->WatchStats(context, &request_, reactor);
        }) {}

  absl::Status AwaitStart() { return watch_.AwaitStart(); }

  absl::StatusOr<std::optional<v1::WatchStatsResponse>> Next() {
    const absl::StatusOr<v1::WatchStatsResponse*> response = watch_.Next();
    if (!response.ok()) return response.status();
    if (*response == nullptr) return std::nullopt;
    return std::move(**response);
  }

  void Cancel() { watch_.Cancel(); }

 private:
  const std::unique_ptr<v1::StatsService::Stub> stub_;
  const v1::WatchStatsRequest request_;
  BlockingWatch<v1::WatchStatsResponse> watch_;
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
