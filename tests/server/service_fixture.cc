#include "tests/server/service_fixture.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "portreeve/v1/event.pb.h"

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

PlainClient::PlainClient(int port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
  const timeval deadline{20, 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address),
            0);
}

PlainClient::~PlainClient() { Close(); }

void PlainClient::Send(const std::string& data) {
  EXPECT_EQ(send(fd_, data.data(), data.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(data.size()));
}

std::string PlainClient::Receive() {
  char buffer[4096];
  const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
  if (n < 0) return strerrorname_np(errno);
  return n == 0 ? "EOF" : std::string(buffer, static_cast<size_t>(n));
}

void PlainClient::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

ServiceFixture::ServiceFixture() {
  registry_ = OnLoop([this] {
    return std::make_unique<server::Registry>(loop_.executor(), events_,
                                              budget_);
  });
  listener_service_ =
      std::make_unique<server::ListenerService>(loop_.context(), *registry_);
  connection_service_ =
      std::make_unique<server::ConnectionService>(loop_.context(), *registry_);
  int port = 0;
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(1 << 20);
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                           &port);
  builder.RegisterService(listener_service_.get());
  builder.RegisterService(connection_service_.get());
  builder.RegisterService(&handler_service_);
  server_ = builder.BuildAndStart();
  channel_ = grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                 grpc::InsecureChannelCredentials());
  listeners_ = v1::ListenerService::NewStub(channel_);
  connections_ = v1::ConnectionService::NewStub(channel_);
  handlers_ = v1::HandlerService::NewStub(channel_);
}

ServiceFixture::~ServiceFixture() {
  // What still waits is cancelled.
  server_->Shutdown(std::chrono::system_clock::now());
  server_->Wait();
  loop_.RunTask(registry_->TearDown()).get();
  OnLoop([this] { registry_.reset(); });
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

std::vector<std::string> ServiceFixture::EventKinds() {
  return OnLoop([this] {
    std::vector<std::string> kinds;
    for (int64_t r = events_.first_revision(); r <= events_.last_revision();
         ++r) {
      const auto* kind = v1::Event::descriptor()->FindFieldByNumber(
          v1::Event::kListenerCreatedFieldNumber +
          (events_.at(r).kind - v1::EVENT_KIND_LISTENER_CREATED));
      kinds.push_back(kind->name());
    }
    return kinds;
  });
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
