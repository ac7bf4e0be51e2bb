#include "bench/grpc/remote_worker.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/synchronization/blocking_counter.h"
#include "portreeve/v1/connection.grpc.pb.h"
#include "portreeve/v1/handler.grpc.pb.h"
#include "portreeve/v1/listener.grpc.pb.h"

namespace portreeve::bench {
namespace {

// One connection.  Owns itself until gRPC is done with it.
class AttachStream final
    : public grpc::ClientBidiReactor<v1::ClientFrame, v1::ServerFrame> {
 public:
  AttachStream(v1::ConnectionService::Stub& stub, const std::string& connection,
               std::atomic<int64_t>& frames)
      : frames_(frames) {
    outgoing_.mutable_attach()->set_connection(connection);
    stub.async()->Attach(&context_, this);
    StartWrite(&outgoing_);
    StartCall();
  }

  void OnWriteDone(bool ok) override {
    if (ok) StartRead(&incoming_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    switch (incoming_.kind_case()) {
      case v1::ServerFrame::kData:
        frames_.fetch_add(1, std::memory_order_relaxed);
        outgoing_.set_data(std::move(*incoming_.mutable_data()));
        return StartWrite(&outgoing_);
      case v1::ServerFrame::kEof:
        outgoing_.mutable_done();
        return StartWrite(&outgoing_);
      default:
        return StartRead(&incoming_);
    }
  }

  void OnDone(const grpc::Status&) override { delete this; }

 private:
  std::atomic<int64_t>& frames_;
  grpc::ClientContext context_;
  v1::ClientFrame outgoing_;
  v1::ServerFrame incoming_;
};

v1::CreateListenerRequest RemoteListener() {
  v1::CreateListenerRequest request;
  v1::ListenerSpec& spec = *request.mutable_spec();
  spec.mutable_where_to_listen()->mutable_inet()->set_address("127.0.0.1");
  spec.mutable_handler()->mutable_remote();
  return request;
}

}  // namespace

struct RemoteWorker::Stubs {
  explicit Stubs(const std::shared_ptr<grpc::Channel>& channel)
      : listeners(channel), connections(channel), handlers(channel) {}

  v1::ListenerService::Stub listeners;
  v1::ConnectionService::Stub connections;
  v1::HandlerService::Stub handlers;
};

class RemoteWorker::HandleStream final
    : public grpc::ClientBidiReactor<v1::HandleRequest, v1::HandleResponse> {
 public:
  HandleStream(Stubs& stubs, const std::string& listener, Tally& tally,
               std::atomic<int64_t>& frames)
      : stubs_(stubs), tally_(tally), frames_(frames) {
    start_.mutable_start()->set_listener(listener);
    stubs_.handlers.async()->Handle(&context_, this);
    StartWrite(&start_);
    StartRead(&response_);
    StartCall();
  }

  void AwaitStart() { counts_.Wait(); }
  void AwaitEnd() { over_.Wait(); }

  void OnReadInitialMetadataDone(bool) override { counts_.DecrementCount(); }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (response_.has_offer()) {
      new AttachStream(stubs_.connections,
                       response_.offer().connection().name(), frames_);
    }
    StartRead(&response_);
  }

  void OnDone(const grpc::Status& status) override {
    tally_.Count(status);
    over_.DecrementCount();
  }

 private:
  Stubs& stubs_;
  Tally& tally_;
  std::atomic<int64_t>& frames_;
  grpc::ClientContext context_;
  v1::HandleRequest start_;
  v1::HandleResponse response_;
  absl::BlockingCounter counts_{1};
  absl::BlockingCounter over_{1};
};

RemoteWorker::RemoteWorker(const std::string& server, Tally& tally,
                           std::atomic<int64_t>& frames)
    : stubs_(std::make_shared<Stubs>(
          grpc::CreateChannel(server, grpc::InsecureChannelCredentials()))) {
  grpc::ClientContext context;
  v1::Listener listener;
  const grpc::Status status =
      stubs_->listeners.CreateListener(&context, RemoteListener(), &listener);
  tally.Count(status);
  if (!status.ok()) return;
  name_ = listener.name();
  port_ = listener.status().listening_on().inet().port();
  handle_ = std::make_unique<HandleStream>(*stubs_, name_, tally, frames);
  handle_->AwaitStart();
}

// The Handle stream ends once the handlers of the closed listener are
// determined: then no frame is counted any more.
RemoteWorker::~RemoteWorker() {
  if (handle_ == nullptr) return;
  grpc::ClientContext context;
  v1::CloseListenerRequest request;
  request.set_name(name_);
  request.set_existing_connections(v1::EXISTING_CONNECTIONS_RESET);
  request.set_wait_for(v1::WAIT_FOR_HANDLERS_DETERMINED);
  v1::Listener listener;
  (void)stubs_->listeners.CloseListener(&context, request, &listener);
  handle_->AwaitEnd();
}

}  // namespace portreeve::bench
