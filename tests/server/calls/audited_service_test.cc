// What ListenerService audits, and what it says of the policy.
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "lib/base/loop.h"
#include "lib/net/descriptor_budget.h"
#include "portreeve/v1/listener.grpc.pb.h"
#include "server/access/gate.h"
#include "server/access/policy.h"
#include "server/calls/listener_service.h"
#include "server/events/event_log.h"
#include "server/registry/registry.h"
#include "tests/server/plain_socket.h"
#include "tests/server/service_fixture.h"
#include "tests/testing/audit_lines.h"
#include "tests/testing/connected_channel.h"
#include "tests/testing/test_lanes.h"

namespace portreeve::testing {
namespace {

using Lines = std::vector<std::string>;

// Only loopback, and only ports that the OS chooses.
server::Policy LoopbackOnly() {
  const auto policy = server::Policy::FromText(
      "listen { cidrs: '127.0.0.0/8' ports { first: 0 last: 0 } }", "policy");
  EXPECT_TRUE(policy.ok()) << policy.status();
  return *policy;
}

class AuditedServiceTest : public ::testing::Test {
 protected:
  AuditedServiceTest() {
    gate_ = std::make_unique<server::Gate>(
        policy_, server::Gate::Certificates::kAreAdmins, &audit_.log());
    loop_
        .Run([this] {
          lanes_.emplace(loop_.context());
          registry_ = std::make_unique<server::Registry>(
              loop_.executor(), lanes_->set(), events_, budget_, policy_);
        })
        .get();
    service_ =
        std::make_unique<server::ListenerService>(loop_, *registry_, *gate_);
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    channel_ =
        Connected(grpc::CreateChannel("127.0.0.1:" + std::to_string(port),
                                      grpc::InsecureChannelCredentials()));
    stub_ = v1::ListenerService::NewStub(channel_);
  }
  ~AuditedServiceTest() override {
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    loop_.RunTask(registry_->TearDown()).get();
    loop_.Join();
  }

  static v1::CreateListenerRequest CreateRequest(const std::string& id) {
    v1::CreateListenerRequest request;
    request.set_listener_id(id);
    *request.mutable_spec() = EchoSpec();
    return request;
  }
  // What was answered, as Shown() has it.
  std::string Create(const v1::CreateListenerRequest& request) {
    return Call(&v1::ListenerService::Stub::CreateListener, request,
                &listener_);
  }
  std::string Update(const std::string& name, const std::string& path,
                     int max_connections) {
    v1::UpdateListenerRequest request;
    request.mutable_listener()->set_name(name);
    request.mutable_listener()->mutable_spec()->set_max_connections(
        max_connections);
    request.mutable_update_mask()->add_paths(path);
    return Call(&v1::ListenerService::Stub::UpdateListener, request,
                &listener_);
  }
  std::string Close(const std::string& name) {
    v1::CloseListenerRequest request;
    request.set_name(name);
    return Call(&v1::ListenerService::Stub::CloseListener, request, &listener_);
  }
  std::string Delete(const std::string& name) {
    v1::DeleteListenerRequest request;
    request.set_name(name);
    google::protobuf::Empty response;
    return Call(&v1::ListenerService::Stub::DeleteListener, request, &response);
  }
  std::string CallWithBytes(const std::string& method,
                            const std::string& bytes) {
    grpc::GenericStub stub(channel_);
    grpc::ClientContext context;
    const grpc::Slice slice(bytes);
    const grpc::ByteBuffer request(&slice, 1);
    grpc::ByteBuffer response;
    std::promise<grpc::Status> done;
    stub.UnaryCall(&context, "/portreeve.v1.ListenerService/" + method,
                   grpc::StubOptions(), &request, &response,
                   [&](grpc::Status status) { done.set_value(status); });
    return Shown(done.get_future().get());
  }
  // What was answered last.
  const v1::Listener& listener() const { return listener_; }
  v1::ListenerService::Stub& stub() { return *stub_; }

  // "METHOD NAME RESULT" for each line.
  Lines Audited() const {
    Lines lines;
    for (const std::string& line : audit_.lines()) {
      EXPECT_NE(line.find(R"("who":"ipv4:127.0.0.1:)"), std::string::npos);
      lines.push_back(Between(line, "Service/", "\"") + " " +
                      Between(line, R"("name":")", "\"") + " " +
                      Between(line, R"("result":")", "\""));
    }
    return lines;
  }

 private:
  static std::string Between(const std::string& line, const std::string& before,
                             const std::string& after) {
    const size_t begin = line.find(before) + before.size();
    return line.substr(begin, line.find(after, begin) - begin);
  }

  template <typename Method, typename Request, typename Response>
  std::string Call(Method method, const Request& request, Response* response) {
    grpc::ClientContext context;
    return Shown(((*stub_).*method)(&context, request, response));
  }

  const server::Policy policy_ = LoopbackOnly();
  AuditLines audit_;
  std::unique_ptr<server::Gate> gate_;
  Loop loop_;
  server::EventLog events_;
  DescriptorBudget budget_{1000};
  std::optional<TestLanes> lanes_;
  std::unique_ptr<server::Registry> registry_;
  std::unique_ptr<server::ListenerService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::ListenerService::Stub> stub_;
  v1::Listener listener_;
};

TEST_F(AuditedServiceTest, ChangesAreAuditedInOrder) {
  EXPECT_EQ(Create(CreateRequest("web")), "OK");
  EXPECT_EQ(Update("listeners/web", "spec.max_connections", 3), "OK");
  EXPECT_EQ(Close("listeners/web"), "OK");
  EXPECT_EQ(Delete("listeners/web"), "OK");
  EXPECT_EQ(Audited(), (Lines{"CreateListener listeners/web OK",
                              "UpdateListener listeners/web OK",
                              "CloseListener listeners/web OK",
                              "DeleteListener listeners/web OK"}));
}

TEST_F(AuditedServiceTest, AnIdThatTheDaemonChoseIsAudited) {
  EXPECT_EQ(Create(CreateRequest("")), "OK");
  EXPECT_EQ(Audited(), Lines{"CreateListener " + listener().name() + " OK"});
}

TEST_F(AuditedServiceTest, RefusedChangesAreAudited) {
  EXPECT_EQ(Create(CreateRequest("web")), "OK");
  Create(CreateRequest("web"));
  Create(CreateRequest("No id"));
  v1::CreateListenerRequest empty;
  Create(empty);
  Update("listeners/none", "spec.max_connections", 3);
  Update("web", "spec.max_connections", 3);
  Update("listeners/web", "spec.none", 3);
  Update("listeners/web", "spec.max_connections", -3);
  Close("listeners/none");
  Close("");
  Delete("listeners/web");
  Delete("x/y");
  EXPECT_EQ(Audited(), (Lines{"CreateListener listeners/web OK",
                              "CreateListener listeners/web LISTENER_EXISTS",
                              "CreateListener listeners/No id INVALID_FIELD",
                              "CreateListener  INVALID_FIELD",
                              "UpdateListener listeners/none NOT_FOUND",
                              "UpdateListener web INVALID_FIELD",
                              "UpdateListener listeners/web INVALID_FIELD",
                              "UpdateListener listeners/web INVALID_FIELD",
                              "CloseListener listeners/none NOT_FOUND",
                              "CloseListener  INVALID_FIELD",
                              "DeleteListener listeners/web LISTENER_OPEN",
                              "DeleteListener x/y INVALID_FIELD"}));
}

// A name that is not UTF-8, and bytes that are nothing at all.
TEST_F(AuditedServiceTest,
       WhatIsNoRequestIsAuditedIfTheMethodChangesSomething) {
  const std::string not_utf8 = "\x0a\x02\xff\xfe";
  for (const std::string& bytes : {not_utf8, std::string("\xff\xff")}) {
    for (const char* method :
         {"CreateListener", "GetListener", "ListListeners", "UpdateListener",
          "CloseListener", "IsClosed", "CloseFinished", "DeleteListener"}) {
      const std::string answer = CallWithBytes(method, bytes);
      // It has a number there: what is none is left out.
      const bool is_request =
          method == std::string("ListListeners") && bytes == not_utf8;
      EXPECT_EQ(answer, is_request ? "OK" : "3 / INVALID_FIELD") << method;
    }
  }
  const Lines once{
      "CreateListener  INVALID_FIELD", "UpdateListener  INVALID_FIELD",
      "CloseListener  INVALID_FIELD", "DeleteListener  INVALID_FIELD"};
  Lines twice = once;
  twice.insert(twice.end(), once.begin(), once.end());
  EXPECT_EQ(Audited(), twice);
}

TEST_F(AuditedServiceTest, WhatOnlyReadsOrValidatesIsNot) {
  v1::CreateListenerRequest request = CreateRequest("web");
  request.set_validate_only(true);
  EXPECT_EQ(Create(request), "OK");
  request.mutable_spec()->set_max_connections(-1);
  EXPECT_NE(Create(request), "OK");
  for (const char* name : {"listeners/none", "none"}) {
    grpc::ClientContext context;
    v1::UpdateListenerRequest update;
    update.set_validate_only(true);
    update.mutable_listener()->set_name(name);
    update.mutable_update_mask()->add_paths("*");
    v1::Listener response;
    EXPECT_FALSE(stub().UpdateListener(&context, update, &response).ok());
  }
  grpc::ClientContext context;
  v1::ListListenersResponse response;
  EXPECT_TRUE(stub().ListListeners(&context, {}, &response).ok());
  EXPECT_EQ(Audited(), Lines{});
}

TEST_F(AuditedServiceTest, OutsideThePolicyIsRefusedByFieldAndAudited) {
  const std::string denied = std::to_string(grpc::PERMISSION_DENIED) +
                             " / OUTSIDE_POLICY / spec.where_to_listen.inet.";
  v1::CreateListenerRequest request = CreateRequest("web");
  auto& inet =
      *request.mutable_spec()->mutable_where_to_listen()->mutable_inet();
  inet.set_port(1);
  EXPECT_EQ(Create(request), denied + "port");
  inet.set_port(0);
  inet.set_address("*");
  EXPECT_EQ(Create(request), denied + "address");
  EXPECT_EQ(Audited(), (Lines{"CreateListener listeners/web OUTSIDE_POLICY",
                              "CreateListener listeners/web OUTSIDE_POLICY"}));
}

// A wait for its end is not what is audited.
TEST_F(AuditedServiceTest, ACloseIsAuditedWhenItBegins) {
  EXPECT_EQ(Create(CreateRequest("web")), "OK");
  PlainClient client(listener().status().listening_on().inet().port());
  client.Send("x");
  EXPECT_EQ(client.Receive(), "x");
  v1::CloseListenerRequest request;
  request.set_name("listeners/web");
  request.set_wait_for(v1::WAIT_FOR_HANDLERS_DETERMINED);
  grpc::ClientContext context;
  v1::Listener response;
  grpc::Status status;
  std::thread waits(
      [&] { status = stub().CloseListener(&context, request, &response); });
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (Audited().size() < 2 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(Audited().back(), "CloseListener listeners/web OK");
  client.Close();
  waits.join();
  EXPECT_EQ(Shown(status), "OK");
  EXPECT_EQ(Audited().size(), 2u);
}

}  // namespace
}  // namespace portreeve::testing
