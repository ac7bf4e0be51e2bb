#include "tests/server/service_fixture.h"

#include <chrono>
#include <thread>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "tests/testing/connected_channel.h"

namespace portreeve::testing {

Refusal RefusalOf(const grpc::Status& status) {
  Refusal refusal;
  refusal.code = status.error_code();
  refusal.message = status.error_message();
  if (status.error_details().empty()) return refusal;
  google::rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), static_cast<int>(status.error_code()));
  EXPECT_EQ(details.message(), status.error_message());
  int infos = 0;
  for (const auto& any : details.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest bad_request;
    if (any.UnpackTo(&info)) {
      ++infos;
      EXPECT_EQ(info.domain(), "portreeve");
      refusal.reason = info.reason();
      refusal.metadata.insert(info.metadata().begin(), info.metadata().end());
    } else if (any.UnpackTo(&bad_request)) {
      EXPECT_EQ(bad_request.field_violations_size(), 1);
      refusal.field = bad_request.field_violations(0).field();
      EXPECT_FALSE(bad_request.field_violations(0).description().empty());
    } else {
      ADD_FAILURE() << any.type_url();
    }
  }
  EXPECT_EQ(infos, 1);
  return refusal;
}

std::string Shown(const grpc::Status& status) {
  if (status.ok()) return "OK";
  const Refusal refusal = RefusalOf(status);
  std::string text = std::to_string(refusal.code) + " / " + refusal.reason;
  return refusal.field.empty() ? text : text + " / " + refusal.field;
}

v1::ListenerSpec EchoSpec() {
  v1::ListenerSpec spec;
  spec.mutable_where_to_listen()->mutable_inet()->set_address("127.0.0.1");
  spec.mutable_handler()->mutable_echo();
  return spec;
}

v1::ListenerSpec RemoteSpec() {
  v1::ListenerSpec spec = EchoSpec();
  spec.mutable_handler()->mutable_remote();
  return spec;
}

ServiceFixture::ServiceFixture(server::AuditLog* audit)
    : gate_(policy_, server::Gate::Certificates::kAreAdmins, audit) {
  OnLoop([this] {
    lanes_.emplace(loop_.context());
    registry_ = std::make_unique<server::Registry>(
        loop_.executor(), lanes_->set(), events_, budget_, policy_);
    subscription_.emplace(events_, [this] {
      const std::lock_guard lock(mutex_);
      ++num_events_;
      event_came_.notify_all();
    });
  });
  listener_service_ =
      std::make_unique<server::ListenerService>(loop_, *registry_, gate_);
  connection_service_ =
      std::make_unique<server::ConnectionService>(loop_, *registry_, gate_);
  handler_service_ =
      std::make_unique<server::HandlerService>(loop_, *registry_, gate_);
  int port = 0;
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(1 << 20);
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(listener_service_.get());
  builder.RegisterService(connection_service_.get());
  builder.RegisterService(handler_service_.get());
  server_ = builder.BuildAndStart();
  target_ = "127.0.0.1:" + std::to_string(port);
  channel_ = Connected(
      grpc::CreateChannel(target_, grpc::InsecureChannelCredentials()));
  listeners_ = v1::ListenerService::NewStub(channel_);
  connections_ = v1::ConnectionService::NewStub(channel_);
  handlers_ = v1::HandlerService::NewStub(channel_);
}

ServiceFixture::~ServiceFixture() {
  // What still waits is cancelled.
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  loop_.RunTask(registry_->TearDown()).get();
  OnLoop([this] { subscription_.reset(); });
  // What serves streams uses the registry to its end.
  loop_.Join();
}

std::shared_ptr<grpc::Channel> ServiceFixture::AnotherConnection() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  return Connected(grpc::CreateCustomChannel(
      target_, grpc::InsecureChannelCredentials(), arguments));
}

v1::Listener ServiceFixture::Create(const v1::ListenerSpec& spec,
                                    const std::string& id) {
  v1::CreateListenerRequest request;
  request.set_listener_id(id);
  *request.mutable_spec() = spec;
  grpc::ClientContext context;
  v1::Listener listener;
  EXPECT_EQ(Shown(listeners().CreateListener(&context, request, &listener)),
            "OK");
  return listener;
}

v1::Listener ServiceFixture::Get(const std::string& name) {
  v1::GetListenerRequest request;
  request.set_name(name);
  grpc::ClientContext context;
  v1::Listener listener;
  EXPECT_EQ(Shown(listeners().GetListener(&context, request, &listener)), "OK");
  return listener;
}

v1::Listener ServiceFixture::Close(const std::string& name,
                                   v1::ExistingConnections existing,
                                   v1::WaitFor wait_for) {
  v1::CloseListenerRequest request;
  request.set_name(name);
  request.set_existing_connections(existing);
  request.set_wait_for(wait_for);
  grpc::ClientContext context;
  v1::Listener listener;
  EXPECT_EQ(Shown(listeners().CloseListener(&context, request, &listener)),
            "OK");
  return listener;
}

std::vector<v1::Connection> ServiceFixture::Connections(
    const std::string& listener) {
  v1::ListConnectionsRequest request;
  request.set_listener(listener);
  grpc::ClientContext context;
  v1::ListConnectionsResponse response;
  EXPECT_EQ(Shown(connections().ListConnections(&context, request, &response)),
            "OK");
  return {response.connections().begin(), response.connections().end()};
}

std::vector<v1::Event> ServiceFixture::Events() {
  const std::string bytes = OnLoop([this] {
    std::string bytes;
    for (int64_t r = events_.first_revision(); r <= events_.last_revision();
         ++r) {
      events_.AppendTo(bytes, r);
    }
    return bytes;
  });
  v1::WatchEventsResponse response;
  EXPECT_TRUE(response.ParseFromString(bytes));
  return {response.events().begin(), response.events().end()};
}

std::vector<std::string> ServiceFixture::EventKinds() {
  std::vector<std::string> kinds;
  for (const v1::Event& event : Events()) {
    kinds.push_back(
        v1::Event::descriptor()->FindFieldByNumber(event.kind_case())->name());
  }
  return kinds;
}

v1::Event ServiceFixture::AwaitEvent(
    const std::function<bool(const v1::Event&)>& is_it) {
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (int64_t seen = 0;;) {
    for (const v1::Event& event : Events()) {
      if (is_it(event)) return event;
      seen = event.revision();
    }
    std::unique_lock lock(mutex_);
    const auto more = [&] { return num_events_ > seen; };
    if (event_came_.wait_until(lock, deadline, more)) continue;
    ADD_FAILURE() << "the event did not come";
    return {};
  }
}

v1::CloseReason ServiceFixture::AwaitClosed(const std::string& connection) {
  const v1::Event event = AwaitEvent([&](const v1::Event& event) {
    return event.connection_closed().connection().name() == connection;
  });
  return event.connection_closed().connection().close_reason();
}

void ServiceFixture::WaitUntil(const std::function<bool()>& condition) {
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
    std::this_thread::yield();
  }
}

std::string ServiceFixture::State() {
  grpc::ClientContext context;
  v1::ListListenersResponse response;
  EXPECT_EQ(Shown(listeners().ListListeners(&context, {}, &response)), "OK");
  std::string state = response.DebugString();
  for (const auto& connection : Connections())
    state += connection.DebugString();
  return state;
}

}  // namespace portreeve::testing
