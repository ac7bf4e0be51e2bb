#include "client/watch.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "client/blocking_watch.h"
#include "portreeve/v1/event.grpc.pb.h"

namespace portreeve::client {

class Watch::Impl final {
 public:
  Impl(const std::shared_ptr<grpc::Channel>& channel,
       const v1::WatchEventsRequest& request, const CallOptions& options)
      : stub_(v1::EventService::NewStub(channel)),
        request_(request),
        watch_(options, [this](grpc::ClientContext* context, auto* reactor) {
          stub_->async()->WatchEvents(context, &request_, reactor);
        }) {}

  absl::Status AwaitStart() { return watch_.AwaitStart(); }

  absl::StatusOr<std::vector<v1::Event>> Next() {
    const absl::StatusOr<v1::WatchEventsResponse*> response = watch_.Next();
    if (!response.ok()) return response.status();
    if (*response == nullptr) return std::vector<v1::Event>();
    auto& events = *(*response)->mutable_events();
    return std::vector<v1::Event>(std::make_move_iterator(events.begin()),
                                  std::make_move_iterator(events.end()));
  }

  void Cancel() { watch_.Cancel(); }

 private:
  const std::unique_ptr<v1::EventService::Stub> stub_;
  const v1::WatchEventsRequest request_;
  BlockingWatch<v1::WatchEventsResponse> watch_;
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
