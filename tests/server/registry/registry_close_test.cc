// How listeners and connections of the registry end, and what is told of it.
#include <set>
#include <string>
#include <vector>

#include "server/registry/registry.h"
#include "tests/server/registry_fixture.h"

namespace portreeve::server {
namespace {

using testing::RawClient;

TEST_F(RegistryTest, LifeOfAConnectionIsTold) {
  const v1::Listener listener = Create("web");
  TakeEvents();
  RawClient client = Connect(listener);
  EXPECT_EQ(client.Send("hello"), "ok");
  EXPECT_EQ(client.ReceiveExactly(5), "hello");
  auto events = TakeEvents();
  ASSERT_EQ(events.size(), 1u);
  const v1::Connection accepted = events[0].connection_accepted().connection();
  EXPECT_EQ(accepted.listener(), "listeners/web");
  EXPECT_EQ(accepted.state(), v1::CONNECTION_STATE_OPEN);
  EXPECT_EQ(accepted.direction(), v1::DIRECTION_INBOUND);
  EXPECT_FALSE(accepted.has_close_time());
  client.CloseSending();
  EXPECT_EQ(client.Receive(), "EOF");
  RunUntil([&] { return num_connections() == 0; });
  events = TakeEvents();
  ASSERT_EQ(events.size(), 1u);
  const v1::Connection closed = events[0].connection_closed().connection();
  EXPECT_EQ(closed.name(), accepted.name());
  EXPECT_EQ(closed.state(), v1::CONNECTION_STATE_CLOSED);
  EXPECT_EQ(closed.close_reason(), v1::CLOSE_REASON_PEER_CLOSED);
  EXPECT_EQ(closed.bytes_received(), 5);
  EXPECT_EQ(closed.bytes_sent(), 5);
  EXPECT_TRUE(closed.has_close_time());
}

TEST_F(RegistryTest, CloseGoesThroughItsStatesAndEvents) {
  const v1::Listener listener = Create("web");
  RawClient client = Connect(listener);
  RunUntil([&] { return num_connections() == 1; });
  TakeEvents();
  ASSERT_TRUE(registry_
                  ->Close("web", ExistingConnections::kLeave,
                          v1::WAIT_FOR_CLOSE_STARTED)
                  .ok());
  EXPECT_EQ(registry_->Get("web")->message().status().state(),
            v1::LISTENER_STATE_CLOSING);
  EXPECT_TRUE(*registry_->IsClosed("web"));
  const v1::Listener closed = Close("web");
  EXPECT_EQ(closed.status().state(), v1::LISTENER_STATE_CLOSED);
  EXPECT_EQ(closed.status().close_cause(), v1::CLOSE_CAUSE_CALLED);
  EXPECT_EQ(closed.status().num_connections(), 1);
  EXPECT_FALSE(closed.status().handlers_determined());
  EXPECT_TRUE(closed.status().has_close_time());
  auto events = TakeEvents();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_TRUE(events[0].has_listener_close_started());
  EXPECT_TRUE(events[1].has_listener_close_finished());
  client.Close();
  const v1::Listener over = Close("web", ExistingConnections::kLeave,
                                  v1::WAIT_FOR_HANDLERS_DETERMINED);
  EXPECT_TRUE(over.status().handlers_determined());
  EXPECT_EQ(over.status().num_connections(), 0);
  events = TakeEvents();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_TRUE(events[0].has_connection_closed());
  EXPECT_TRUE(events[1].has_listener_handlers_determined());
}

TEST_F(RegistryTest, TenClosersGetTheSameTimeAndCause) {
  Create("web");
  std::vector<Awaited<EncodedListener>> closers;
  for (int i = 0; i < 10; ++i) {
    closers.push_back(*registry_->Close("web", ExistingConnections::kLeave,
                                        v1::WAIT_FOR_CLOSE_FINISHED));
    EXPECT_FALSE(closers.back().until.determined());
  }
  std::set<std::string> answers;
  for (const auto& closer : closers) {
    RunUntil(closer.until);
    answers.insert(closer.describe()->message().DebugString());
  }
  EXPECT_EQ(answers.size(), 1u);
  const v1::ListenerStatus status = registry_->Get("web")->message().status();
  EXPECT_TRUE(status.has_close_time());
  EXPECT_EQ(status.close_cause(), v1::CLOSE_CAUSE_CALLED);
}

TEST_F(RegistryTest, ClosingAClosedListenerStillClosesItsConnections) {
  const v1::Listener listener = Create("web");
  RawClient client = Connect(listener);
  RunUntil([&] { return num_connections() == 1; });
  EXPECT_EQ(Close("web").status().num_connections(), 1);
  EXPECT_EQ(ReasonOf(DeleteNow(*registry_, "web")), "LISTENER_OPEN");
  TakeEvents();
  const v1::Listener again = Close("web", ExistingConnections::kReset);
  EXPECT_EQ(again.status().num_connections(), 0);
  EXPECT_EQ(client.Receive(), "ECONNRESET");
  const auto events = TakeEvents();
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events[0].connection_closed().connection().close_reason(),
            v1::CLOSE_REASON_LISTENER_CLOSED);
}

TEST_F(RegistryTest, WhoAwaitsTheBeginningAwaitsNoConnections) {
  for (const auto existing :
       {ExistingConnections::kClose, ExistingConnections::kReset}) {
    const v1::Listener listener = Create("web");
    RawClient client = Connect(listener);
    RunUntil([&] { return num_connections() == 1; });
    FloodUnread(client);
    const auto begun =
        registry_->Close("web", existing, v1::WAIT_FOR_CLOSE_STARTED);
    ASSERT_TRUE(begun.ok());
    EXPECT_TRUE(begun->until.determined());
    EXPECT_EQ(begun->describe()->message().status().state(),
              v1::LISTENER_STATE_CLOSING);
    client.Close();
    Close("web", ExistingConnections::kLeave, v1::WAIT_FOR_HANDLERS_DETERMINED);
    EXPECT_TRUE(DeleteNow(*registry_, "web").ok());
  }
}

TEST_F(RegistryTest, DeleteFreesTheIdAndItsEndIsToldOnce) {
  const std::string uid = Create("web").uid();
  EXPECT_EQ(ReasonOf(DeleteNow(*registry_, "web")), "LISTENER_OPEN");
  EXPECT_EQ(ReasonOf(TryCreate(Request("web")).status()), "LISTENER_EXISTS");
  Close("web");
  EXPECT_EQ(ReasonOf(TryCreate(Request("web")).status()), "LISTENER_EXISTS");
  Settle();
  TakeEvents();
  EXPECT_TRUE(DeleteNow(*registry_, "web").ok());
  EXPECT_EQ(ReasonOf(registry_->Get("web").status()), "NOT_FOUND");
  EXPECT_EQ(ReasonOf(DeleteNow(*registry_, "web")), "NOT_FOUND");
  const auto events = TakeEvents();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].listener_deleted().listener().uid(), uid);
  EXPECT_NE(Create("web").uid(), uid);
}

TEST_F(RegistryTest, TheNewestThousandClosedAreRemembered) {
  for (int i = 0; i < 1002; ++i) {
    Create("l" + std::to_string(i));
    Close("l" + std::to_string(i));
  }
  Settle();
  EXPECT_EQ(registry_->listeners().size(), 1000u);
  EXPECT_EQ(ReasonOf(registry_->Get("l1").status()), "NOT_FOUND");
  EXPECT_TRUE(registry_->Get("l2").ok());
  EXPECT_TRUE(TryCreate(Request("l0")).ok());
}

TEST_F(RegistryTest, CloseConnectionAnswersWithTheLastState) {
  const v1::Listener listener = Create("web");
  RawClient client = Connect(listener);
  RunUntil([&] { return num_connections() == 1; });
  const int64_t number = registry_->connections().entries().begin()->first;
  const auto awaited =
      registry_->CloseConnection(number, ExistingConnections::kReset);
  ASSERT_TRUE(awaited.ok());
  RunUntil(awaited->until);
  const v1::Connection closed = *awaited->describe();
  EXPECT_EQ(closed.state(), v1::CONNECTION_STATE_CLOSED);
  EXPECT_EQ(closed.close_reason(), v1::CLOSE_REASON_CALLED);
  EXPECT_TRUE(closed.has_close_time());
  EXPECT_EQ(ReasonOf(registry_->GetConnection(number).status()), "NOT_FOUND");
  EXPECT_EQ(client.Receive(), "ECONNRESET");
}

TEST_F(RegistryTest, DroppedConnectionsAreToldAndNeverCounted) {
  v1::CreateListenerRequest request = Request("web");
  request.mutable_spec()->set_drop_incoming_connections(true);
  const auto listener = TryCreate(request);
  ASSERT_TRUE(listener.ok());
  TakeEvents();
  RawClient client = Connect(*listener);
  EXPECT_EQ(client.Receive(), "EOF");
  const auto events = TakeEvents();
  ASSERT_EQ(events.size(), 1u);
  const auto& dropped = events[0].connection_dropped().connection();
  EXPECT_EQ(dropped.close_reason(), v1::CLOSE_REASON_DROPPED);
  EXPECT_EQ(dropped.state(), v1::CONNECTION_STATE_CLOSED);
  const auto status = registry_->Get("web")->message().status();
  EXPECT_EQ(status.accepted_total(), 1);
  EXPECT_EQ(status.dropped_total(), 1);
  EXPECT_EQ(status.num_connections(), 0);
}

TEST_F(RegistryTest, ReachingTheLimitIsTold) {
  v1::CreateListenerRequest request = Request("web");
  request.mutable_spec()->set_max_connections(1);
  const auto listener = TryCreate(request);
  ASSERT_TRUE(listener.ok());
  TakeEvents();
  RawClient first = Connect(*listener);
  std::vector<v1::Event> events;
  RunUntil([&] {
    for (const auto& event : TakeEvents()) events.push_back(event);
    return events.size() == 2;
  });
  bool told = false;
  for (const auto& event : events) {
    if (!event.has_limit_reached()) continue;
    told = true;
    EXPECT_EQ(event.limit_reached().listener(), "listeners/web");
    EXPECT_EQ(event.limit_reached().limit(), 1);
  }
  EXPECT_TRUE(told);
}

TEST_F(RegistryTest, ShutdownClosesListenersAndThenConnections) {
  const v1::Listener listener = Create("web");
  RawClient client = Connect(listener);
  RunUntil([&] { return num_connections() == 1; });
  registry_->BeginShutdown();
  EXPECT_EQ(ReasonOf(TryCreate(Request("late")).status()), "SHUTTING_DOWN");
  Settle();
  EXPECT_EQ(registry_->Get("web")->message().status().close_cause(),
            v1::CLOSE_CAUSE_SHUTDOWN);
  EXPECT_EQ(client.Send("x"), "ok");
  EXPECT_EQ(client.ReceiveExactly(1), "x");
  EXPECT_FALSE(registry_->AllHandlersDetermined().determined());
  TakeEvents();
  registry_->CloseAllConnections(ExistingConnections::kClose);
  RunUntil(registry_->AllHandlersDetermined());
  EXPECT_EQ(client.Receive(), "EOF");
  EXPECT_EQ(TakeEvents().at(0).connection_closed().connection().close_reason(),
            v1::CLOSE_REASON_SHUTDOWN);
}

TEST_F(RegistryTest, ShutdownWithoutListenersIsOverAtOnce) {
  registry_->BeginShutdown();
  EXPECT_TRUE(registry_->AllHandlersDetermined().determined());
}

TEST_F(RegistryTest, TearDownEndsConnectionsThatWouldGoOn) {
  const v1::Listener listener = Create("web");
  RawClient client = Connect(listener);
  RunUntil([&] { return num_connections() == 1; });
  Run(registry_->TearDown());
  EXPECT_EQ(num_connections(), 0u);
  EXPECT_EQ(client.Receive(), "ECONNRESET");
}

}  // namespace
}  // namespace portreeve::server
