// RegistryTest: a registry whose loop the test drives.
#ifndef PORTREEVE_TESTS_SERVER_REGISTRY_FIXTURE_H_
#define PORTREEVE_TESTS_SERVER_REGISTRY_FIXTURE_H_

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <vector>

#include "lib/base/status.h"
#include "lib/net/descriptor_budget.h"
#include "portreeve/v1/event.pb.h"
#include "portreeve/v1/listener.pb.h"
#include "server/access/policy.h"
#include "server/api/errors.h"
#include "server/api/listener_draft.h"
#include "server/registry/registry.h"
#include "tests/server/answered.h"
#include "tests/testing/loop_fixture.h"
#include "tests/testing/raw_client.h"
#include "tests/testing/test_lanes.h"

namespace portreeve::server {

class RegistryTest : public testing::LoopFixture {
 protected:
  RegistryTest() { NewRegistry(); }
  void TearDown() override {
    Run(registry_->TearDown());
    registry_.reset();
    TakeLog();  // Limits that are reached are logged.
  }

  void NewRegistry() {
    registry_ = std::make_unique<Registry>(executor(), lanes_.set(), events_,
                                           budget_, server::Policy());
  }

  static v1::CreateListenerRequest Request(const std::string& id) {
    v1::CreateListenerRequest request;
    request.set_listener_id(id);
    auto& spec = *request.mutable_spec();
    spec.mutable_where_to_listen()->mutable_inet()->set_address("127.0.0.1");
    spec.mutable_handler()->mutable_echo();
    return request;
  }
  absl::StatusOr<v1::Listener> TryCreate(
      const v1::CreateListenerRequest& request) {
    const auto draft = CheckCreate(request);
    if (!draft.ok()) return draft.status();
    return CreateNow(*registry_, *draft);
  }
  v1::Listener Create(const std::string& id) {
    const auto listener = TryCreate(Request(id));
    EXPECT_TRUE(listener.ok()) << listener.status();
    return *listener;
  }
  v1::Listener Close(const std::string& id,
                     ExistingConnections existing = ExistingConnections::kLeave,
                     v1::WaitFor wait_for = v1::WAIT_FOR_CLOSE_FINISHED) {
    const auto awaited = registry_->Close(id, existing, wait_for);
    EXPECT_TRUE(awaited.ok());
    Run([](Deferred<> until) -> Task<> {
      co_await until.Wait();
    }(awaited->until));
    return awaited->describe()->message();
  }
  testing::RawClient Connect(const v1::Listener& listener) {
    testing::RawClient client(loop(),
                              [this](const std::function<bool()>& condition) {
                                return RunUntil(condition);
                              });
    const auto& address = listener.status().listening_on().inet();
    const auto port = static_cast<uint16_t>(address.port());
    EXPECT_EQ(client.Connect(Inet::Address(
                  asio::ip::make_address(address.address()), port)),
              "ok");
    return client;
  }
  // Sends to an echo, whose peer does not read, until it takes no more.
  void FloodUnread(testing::RawClient& client) {
    const int fd = client.socket().native_handle();
    const std::string block(64 * 1024, 'x');
    for (int refused = 0; refused < 10;) {
      const bool taken =
          send(fd, block.data(), block.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0;
      refused = taken ? 0 : refused + 1;
      Settle();
    }
  }
  size_t num_connections() { return registry_->connections().entries().size(); }

  // The events since the last call.
  std::vector<v1::Event> TakeEvents() {
    std::string bytes;
    for (; seen_ < events_.last_revision(); ++seen_) {
      events_.AppendTo(bytes, seen_ + 1);
    }
    v1::WatchEventsResponse response;
    EXPECT_TRUE(response.ParseFromString(bytes));
    return {response.events().begin(), response.events().end()};
  }

  testing::TestLanes lanes_{loop()};
  EventLog events_;
  DescriptorBudget budget_{1000};
  std::unique_ptr<Registry> registry_;
  int64_t seen_ = 0;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_TESTS_SERVER_REGISTRY_FIXTURE_H_
