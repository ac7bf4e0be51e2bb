#include "tests/integration/daemon_client.h"

#include <gtest/gtest.h>

#include <chrono>

#include "tests/testing/connected_channel.h"

namespace portreeve::testing {
namespace {

void SetDeadline(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::seconds(30));
}

}  // namespace

DaemonClient::DaemonClient(const std::string& target)
    : channel_(Connected(
          grpc::CreateChannel(target, grpc::InsecureChannelCredentials()))),
      listeners_(v1::ListenerService::NewStub(channel_)),
      events_(v1::EventService::NewStub(channel_)) {}

grpc::Status DaemonClient::CreateEcho(v1::Listener& listener,
                                      const std::string& id) {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::CreateListenerRequest request;
  request.set_listener_id(id);
  auto& where = *request.mutable_spec()->mutable_where_to_listen();
  where.mutable_inet()->set_address("127.0.0.1");
  request.mutable_spec()->mutable_handler()->mutable_echo();
  return listeners_->CreateListener(&context, request, &listener);
}

v1::Listener DaemonClient::Create(const std::string& id) {
  v1::Listener listener;
  const auto status = CreateEcho(listener, id);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return listener;
}

void DaemonClient::CloseAndDelete(const std::string& name) {
  grpc::ClientContext close_context;
  SetDeadline(close_context);
  v1::CloseListenerRequest close;
  close.set_name(name);
  v1::Listener closed;
  auto status = listeners_->CloseListener(&close_context, close, &closed);
  EXPECT_TRUE(status.ok()) << status.error_message();
  grpc::ClientContext delete_context;
  SetDeadline(delete_context);
  v1::DeleteListenerRequest deletion;
  deletion.set_name(name);
  google::protobuf::Empty empty;
  status = listeners_->DeleteListener(&delete_context, deletion, &empty);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

v1::ListListenersResponse DaemonClient::List() {
  grpc::ClientContext context;
  SetDeadline(context);
  v1::ListListenersResponse response;
  const auto status = listeners_->ListListeners(&context, {}, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response;
}

void DaemonClient::WaitUntilNotServing() {
  using grpc::health::v1::Health;
  using grpc::health::v1::HealthCheckResponse;
  grpc::ClientContext context;
  SetDeadline(context);
  const auto health = Health::NewStub(channel_);
  const auto reader = health->Watch(&context, {});
  HealthCheckResponse response;
  do {
    ASSERT_TRUE(reader->Read(&response));
  } while (response.status() != HealthCheckResponse::NOT_SERVING);
  context.TryCancel();
}

DaemonClient::Watch::Watch(DaemonClient& client,
                           const v1::WatchEventsRequest& request) {
  SetDeadline(context_);
  reader_ = client.events_->WatchEvents(&context_, request);
  reader_->WaitForInitialMetadata();
}

bool DaemonClient::Watch::Next(v1::Event& event) {
  while (pending_.empty()) {
    v1::WatchEventsResponse response;
    if (!reader_->Read(&response)) return false;
    pending_.assign(response.events().begin(), response.events().end());
  }
  event = pending_.front();
  pending_.erase(pending_.begin());
  return true;
}

grpc::Status DaemonClient::Watch::Drain(std::vector<v1::Event>& events) {
  v1::Event event;
  while (Next(event)) events.push_back(event);
  return reader_->Finish();
}

}  // namespace portreeve::testing
