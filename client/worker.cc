#include "client/worker.h"

#include <grpcpp/channel.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "client/bidi_call.h"
#include "portreeve/v1/handler.grpc.pb.h"

namespace portreeve::client {

class Worker::Impl {
 public:
  Impl(const std::shared_ptr<grpc::Channel>& channel,
       const CallOptions& options)
      : stub_(v1::HandlerService::NewStub(channel)),
        call_(options, [&](grpc::ClientContext* context, auto* reactor) {
          stub_->async()->Handle(context, reactor);
        }) {}

  // Waits until the worker counts.
  absl::Status Start(const v1::HandleRequest::Start& start) {
    v1::HandleRequest request;
    *request.mutable_start() = start;
    // A call that ends at once takes nothing; the reason is its status.
    call_.Write(request);
    if (call_.AwaitMetadata()) return absl::OkStatus();
    const absl::Status status = call_.Finish();
    if (!status.ok()) return status;
    return absl::InternalError("the daemon ended the worker before its start");
  }

  absl::StatusOr<std::optional<v1::HandleResponse>> Next() {
    v1::HandleResponse response;
    do {
      if (!call_.Read(response)) return Ended();
    } while (!response.has_offer() && !response.has_handler_error());
    return response;
  }

  absl::Status Give(const std::string& id, v1::HandlerVerdict verdict) {
    v1::HandleRequest request;
    request.mutable_verdict()->set_handler_error_id(id);
    request.mutable_verdict()->set_verdict(verdict);
    if (call_.Write(request)) return absl::OkStatus();
    return absl::FailedPreconditionError("the worker has ended");
  }

  void Cancel() { call_.Cancel(); }

 private:
  absl::StatusOr<std::optional<v1::HandleResponse>> Ended() {
    absl::Status status = call_.Finish();
    if (!status.ok()) return status;
    return std::nullopt;
  }

  const std::unique_ptr<v1::HandlerService::Stub> stub_;
  BidiCall<v1::HandleRequest, v1::HandleResponse> call_;
};

absl::StatusOr<Worker> Worker::Start(
    const std::shared_ptr<grpc::Channel>& channel,
    const v1::HandleRequest::Start& start, const CallOptions& options) {
  auto impl = std::make_unique<Impl>(channel, options);
  const absl::Status started = impl->Start(start);
  if (!started.ok()) return started;
  return Worker(std::move(impl));
}

Worker::Worker(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Worker::Worker(Worker&&) noexcept = default;
Worker& Worker::operator=(Worker&&) noexcept = default;
Worker::~Worker() = default;

absl::StatusOr<std::optional<v1::HandleResponse>> Worker::Next() {
  return impl_->Next();
}

absl::Status Worker::Give(const std::string& handler_error_id,
                          v1::HandlerVerdict verdict) {
  return impl_->Give(handler_error_id, verdict);
}

void Worker::Cancel() { impl_->Cancel(); }

}  // namespace portreeve::client
