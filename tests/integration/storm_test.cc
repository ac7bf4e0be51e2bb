// Many clients that ask for the same thing at once.
#include <gtest/gtest.h>

#include <algorithm>
#include <barrier>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "portreeve/v1/listener.grpc.pb.h"
#include "tests/integration/daemon_client.h"
#include "tests/integration/watcher.h"
#include "tests/server/service_fixture.h"
#include "tests/testing/daemon_process.h"

namespace portreeve::testing {
namespace {

constexpr int kClients = 10;
constexpr int kRounds = 10;

class StormTest : public ::testing::Test {
 protected:
  using Stub = v1::ListenerService::Stub;

  StormTest() {
    EXPECT_TRUE(daemon_.WaitUntilReady());
    for (int i = 0; i < kClients; ++i) {
      stubs_.push_back(
          v1::ListenerService::NewStub(OwnChannel(daemon_.Target())));
    }
    client_ = std::make_unique<DaemonClient>(daemon_.Target());
    watch_ = std::make_unique<DaemonClient::Watch>(*client_);
  }

  // All clients make `call` at once, each with its number; what it gives.
  std::vector<v1::Listener> All(
      const std::function<grpc::Status(Stub&, int, grpc::ClientContext*,
                                       v1::Listener*)>& call) {
    std::vector<v1::Listener> answers(kClients);
    std::barrier start(kClients);
    std::vector<std::thread> threads;
    for (int i = 0; i < kClients; ++i) {
      threads.emplace_back([&, i] {
        grpc::ClientContext context;
        start.arrive_and_wait();
        const auto status = call(*stubs_[i], i, &context, &answers[i]);
        EXPECT_EQ(Shown(status), "OK") << status.error_message();
      });
    }
    for (auto& thread : threads) thread.join();
    return answers;
  }

  v1::Listener Create(const v1::CreateListenerRequest& request) {
    grpc::ClientContext context;
    v1::Listener listener;
    EXPECT_EQ(Shown(stubs_[0]->CreateListener(&context, request, &listener)),
              "OK");
    return listener;
  }

  // What happened to listeners since the last call: the kinds of their events.
  std::vector<v1::Event::KindCase> TakeListenerEvents() {
    v1::CreateListenerRequest request;
    *request.mutable_spec() = EchoSpec();
    const auto marker = Create(request);
    std::vector<v1::Event::KindCase> kinds;
    v1::Event event;
    while (watch_->Next(event) &&
           event.listener_created().listener().name() != marker.name()) {
      if (!event.has_connection_accepted() && !event.has_connection_closed()) {
        kinds.push_back(event.kind_case());
      }
    }
    return kinds;
  }

  // Ten close it at once, each in its way; all get the same end.
  std::vector<v1::Listener> CloseFromAll(
      const v1::Listener& listener,
      const std::function<v1::ExistingConnections(int)>& existing) {
    const auto closed =
        All([&](Stub& stub, int i, auto* context, auto* answer) {
          v1::CloseListenerRequest request;
          request.set_name(listener.name());
          request.set_existing_connections(existing(i));
          return stub.CloseListener(context, request, answer);
        });
    for (const auto& answer : closed) {
      EXPECT_EQ(answer.uid(), listener.uid());
      EXPECT_EQ(answer.status().state(), v1::LISTENER_STATE_CLOSED);
      EXPECT_TRUE(answer.status().close_finished());
      EXPECT_TRUE(answer.status().has_close_time());
      EXPECT_EQ(answer.status().close_time().SerializeAsString(),
                closed[0].status().close_time().SerializeAsString());
      EXPECT_EQ(answer.status().close_cause(), v1::CLOSE_CAUSE_CALLED);
    }
    return closed;
  }

  // Clients of the listener, whose connections the daemon has.
  std::vector<std::unique_ptr<PlainClient>> Connect(
      const v1::Listener& listener) {
    std::vector<std::unique_ptr<PlainClient>> clients;
    for (int i = 0; i < 20; ++i) {
      clients.push_back(std::make_unique<PlainClient>(
          listener.status().listening_on().inet().port()));
      clients.back()->Send("hello");
      EXPECT_EQ(clients.back()->Receive(), "hello");
    }
    return clients;
  }
  v1::Listener CreateEcho() {
    v1::CreateListenerRequest request;
    *request.mutable_spec() = EchoSpec();
    return Create(request);
  }

  DaemonProcess daemon_;
  std::vector<std::unique_ptr<Stub>> stubs_;
  std::unique_ptr<DaemonClient> client_;
  std::unique_ptr<DaemonClient::Watch> watch_;
};

const std::vector<v1::Event::KindCase> kCreated = {v1::Event::kListenerCreated};
const std::vector<v1::Event::KindCase> kClosed = {
    v1::Event::kListenerCreated, v1::Event::kListenerCloseStarted,
    v1::Event::kListenerCloseFinished, v1::Event::kListenerHandlersDetermined};

TEST_F(StormTest, TheSameRequestMakesOneListener) {
  for (int round = 0; round < kRounds; ++round) {
    v1::CreateListenerRequest request;
    request.set_request_id("retry-" + std::to_string(round));
    *request.mutable_spec() = EchoSpec();
    // Chosen by the daemon, and by the client.
    if (round % 2 == 1) request.set_listener_id("l" + std::to_string(round));
    const auto created = All([&](Stub& stub, int, auto* context, auto* answer) {
      return stub.CreateListener(context, request, answer);
    });
    std::set<std::string> answers;
    for (const auto& listener : created) {
      EXPECT_FALSE(listener.uid().empty());
      answers.insert(listener.SerializeAsString());
    }
    EXPECT_EQ(answers.size(), 1u);
    EXPECT_EQ(TakeListenerEvents(), kCreated);
  }
}

// Without a request_id it is the id that makes it one.
TEST_F(StormTest, TheSameIdMakesOneListener) {
  std::vector<std::string> outcomes(kClients);
  v1::CreateListenerRequest request;
  request.set_listener_id("same");
  *request.mutable_spec() = EchoSpec();
  All([&](Stub& stub, int i, auto* context, auto* answer) {
    const auto status = stub.CreateListener(context, request, answer);
    outcomes[i] = Shown(status);
    EXPECT_NE(status.error_code(), grpc::StatusCode::UNAVAILABLE)
        << status.error_message();
    return grpc::Status::OK;
  });
  EXPECT_EQ(std::count(outcomes.begin(), outcomes.end(), "OK"), 1);
  EXPECT_EQ(std::count(outcomes.begin(), outcomes.end(), "6 / LISTENER_EXISTS"),
            kClients - 1);
  EXPECT_EQ(TakeListenerEvents(), kCreated);
}

TEST_F(StormTest, TenClosersGetTheSameEnd) {
  for (int round = 0; round < kRounds; ++round) {
    CloseFromAll(CreateEcho(),
                 [](int) { return v1::EXISTING_CONNECTIONS_LEAVE; });
    EXPECT_EQ(TakeListenerEvents(), kClosed);
  }
}

TEST_F(StormTest, TenClosersOfConnectionsWaitForThemAll) {
  const auto listener = CreateEcho();
  const auto clients = Connect(listener);
  const auto closed = CloseFromAll(
      listener, [](int) { return v1::EXISTING_CONNECTIONS_CLOSE; });
  for (const auto& answer : closed) {
    EXPECT_EQ(answer.status().num_connections(), 0);
    EXPECT_EQ(answer.status().accepted_total(), 20);
  }
  for (const auto& client : clients) EXPECT_EQ(client->Receive(), "EOF");
  EXPECT_EQ(TakeListenerEvents(), kClosed);
}

// One of them is enough.
TEST_F(StormTest, OneOfTenResets) {
  const auto listener = CreateEcho();
  const auto clients = Connect(listener);
  const auto closed = CloseFromAll(listener, [](int i) {
    return i == 5 ? v1::EXISTING_CONNECTIONS_RESET
                  : v1::EXISTING_CONNECTIONS_LEAVE;
  });
  EXPECT_EQ(closed[5].status().num_connections(), 0);
  for (const auto& client : clients) EXPECT_EQ(client->Receive(), "ECONNRESET");
  EXPECT_EQ(TakeListenerEvents(), kClosed);
}

}  // namespace
}  // namespace portreeve::testing
