// Creating, changing and listing what is in the registry.
#include "server/registry/registry.h"

#include <cerrno>
#include <chrono>
#include <string>

#include "tests/server/registry_fixture.h"

namespace portreeve::server {
namespace {

using testing::RawClient;

TEST_F(RegistryTest, CreatedListenerListensAndShowsEveryDefault) {
  const v1::Listener listener = Create("web");
  EXPECT_EQ(listener.name(), "listeners/web");
  EXPECT_EQ(listener.uid().size(), 36u);
  EXPECT_GT(listener.status().listening_on().inet().port(), 0);
  EXPECT_EQ(listener.status().state(), v1::LISTENER_STATE_LISTENING);
  EXPECT_EQ(listener.status().close_cause(), v1::CLOSE_CAUSE_UNSPECIFIED);
  EXPECT_FALSE(listener.status().has_close_time());
  EXPECT_EQ(listener.spec().max_pending_connections(), 4096);
  EXPECT_EQ(listener.spec().max_accepts_per_batch(), 1);
  EXPECT_EQ(listener.spec().max_connections(), DefaultMaxConnections());
  EXPECT_TRUE(listener.spec().where_to_listen().inet().reuse_address());
  EXPECT_EQ(listener.spec().buffer_age_limit().at_most().seconds(), 120);
  EXPECT_EQ(listener.spec().on_handler_error(), v1::ON_HANDLER_ERROR_RAISE);
  const auto events = TakeEvents();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].listener_created().listener().DebugString(),
            listener.DebugString());
}

TEST_F(RegistryTest, SameRequestIdGivesTheStoredAnswer) {
  v1::CreateListenerRequest request = Request("");
  request.set_request_id("once");
  (*request.mutable_spec()->mutable_labels())["a"] = "1";
  const auto first = TryCreate(request);
  ASSERT_TRUE(first.ok());
  const int64_t revision = events_.last_revision();
  const auto second = TryCreate(request);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->DebugString(), first->DebugString());
  EXPECT_EQ(events_.last_revision(), revision);
  (*request.mutable_spec()->mutable_labels())["a"] = "2";
  const absl::Status reused = TryCreate(request).status();
  EXPECT_EQ(ReasonOf(reused), "REQUEST_ID_REUSED");
  EXPECT_EQ(DetailOf(reused).field, "request_id");
  request.set_request_id("Once");  // Another id, byte for byte.
  EXPECT_TRUE(TryCreate(request).ok());
}

TEST_F(RegistryTest, ARequestIdWhoseListenerWasDeletedIsSpent) {
  v1::CreateListenerRequest request = Request("web");
  request.set_request_id("once");
  const auto first = TryCreate(request);
  ASSERT_TRUE(first.ok());
  Close("web");
  // As long as it is remembered, it is there.
  EXPECT_EQ(TryCreate(request)->DebugString(), first->DebugString());
  EXPECT_TRUE(DeleteNow(*registry_, "web").ok());
  const absl::Status spent = TryCreate(request).status();
  EXPECT_EQ(spent.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(spent), "LISTENER_CLOSED");
  request.set_validate_only(true);
  EXPECT_EQ(ReasonOf(TryCreate(request).status()), "LISTENER_CLOSED");
  request.set_validate_only(false);
  // Another one of the same name is not the one that was asked for.
  Create("web");
  EXPECT_EQ(ReasonOf(TryCreate(request).status()), "LISTENER_CLOSED");
}

TEST_F(RegistryTest, ARequestIdIsItsCallersOwn) {
  v1::CreateListenerRequest request = Request("anns");
  request.set_request_id("once");
  const auto of = [&](const std::string& caller) {
    auto draft = CheckCreate(request);
    EXPECT_TRUE(draft.ok());
    draft->caller = caller;
    return CreateNow(*registry_, *std::move(draft));
  };
  const auto anns = of("tls:ann");
  ASSERT_TRUE(anns.ok());
  request.set_listener_id("bobs");
  const auto bobs = of("tls:bob");
  ASSERT_TRUE(bobs.ok()) << bobs.status();
  EXPECT_EQ(bobs->name(), "listeners/bobs");
  EXPECT_EQ(of("tls:bob")->DebugString(), bobs->DebugString());
  EXPECT_EQ(ReasonOf(of("tls:ann").status()), "REQUEST_ID_REUSED");
  request.set_listener_id("anns");
  EXPECT_EQ(of("tls:ann")->DebugString(), anns->DebugString());
}

TEST_F(RegistryTest, RefusedRequestsAreNotRemembered) {
  Create("web");
  v1::CreateListenerRequest request = Request("web");
  request.set_request_id("id");
  EXPECT_EQ(ReasonOf(TryCreate(request).status()), "LISTENER_EXISTS");
  request.set_listener_id("other");
  EXPECT_TRUE(TryCreate(request).ok());
}

TEST_F(RegistryTest, ValidateOnlyChangesNothing) {
  v1::CreateListenerRequest request = Request("web");
  request.set_validate_only(true);
  request.set_request_id("id");
  const auto checked = TryCreate(request);
  ASSERT_TRUE(checked.ok());
  EXPECT_EQ(checked->name(), "listeners/web");
  EXPECT_EQ(checked->uid(), "");
  EXPECT_FALSE(checked->has_status());
  EXPECT_EQ(checked->spec().max_pending_connections(), 4096);
  EXPECT_EQ(events_.last_revision(), 0);
  EXPECT_TRUE(registry_->listeners().empty());
  const v1::Listener held = Create("web");
  EXPECT_EQ(ReasonOf(TryCreate(request).status()), "LISTENER_EXISTS");
  request.set_listener_id("other");
  request.mutable_spec()->mutable_where_to_listen()->mutable_inet()->set_port(
      held.status().listening_on().inet().port());
  EXPECT_EQ(ReasonOf(TryCreate(request).status()), "ADDRESS_IN_USE");
}

TEST_F(RegistryTest, AnAddressOfOursAlreadyExists) {
  const v1::Listener held = Create("web");
  const int port = held.status().listening_on().inet().port();
  v1::CreateListenerRequest request = Request("other");
  auto& inet =
      *request.mutable_spec()->mutable_where_to_listen()->mutable_inet();
  inet.set_port(port);
  for (const char* address : {"127.0.0.1", "", "*", "localhost", "0.0.0.0"}) {
    inet.set_address(address);
    const absl::Status status = TryCreate(request).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists) << address;
    EXPECT_EQ(ReasonOf(status), "ADDRESS_IN_USE") << address;
    EXPECT_EQ(DetailOf(status).error_number, EADDRINUSE) << address;
  }
  Close("web");
  inet.set_address("127.0.0.1");
  EXPECT_TRUE(TryCreate(request).ok());
}

TEST_F(RegistryTest, ADualStackListenerShowsIpv4ClientsByIpv4Addresses) {
  v1::CreateListenerRequest request = Request("both");
  auto& inet =
      *request.mutable_spec()->mutable_where_to_listen()->mutable_inet();
  inet.set_address("::");
  inet.set_dual_stack(true);
  const auto both = TryCreate(request);
  ASSERT_TRUE(both.ok()) << both.status();
  const v1::Address::Inet& on = both->status().listening_on().inet();
  EXPECT_EQ(on.address(), "::");
  EXPECT_TRUE(both->spec().where_to_listen().inet().dual_stack());
  const auto port = static_cast<uint16_t>(on.port());
  std::vector<testing::RawClient> clients;
  for (const char* host : {"127.0.0.1", "::1"}) {
    testing::RawClient client(
        loop(), [this](const auto& condition) { return RunUntil(condition); });
    EXPECT_EQ(client.Connect(Inet::Address(asio::ip::make_address(host), port)),
              "ok");
    EXPECT_EQ(client.Send("hi"), "ok");
    EXPECT_EQ(client.Receive(), "hi");
    clients.push_back(std::move(client));
  }
  std::vector<std::string> seen;
  for (const v1::Event& event : TakeEvents()) {
    if (!event.has_connection_accepted()) continue;
    const v1::Connection& connection = event.connection_accepted().connection();
    seen.push_back(connection.peer().inet().address() + " to " +
                   connection.local().inet().address());
  }
  EXPECT_EQ(seen,
            (std::vector<std::string>{"127.0.0.1 to 127.0.0.1", "::1 to ::1"}));
  // It is in the way of both families, and says so.
  for (const char* address : {"0.0.0.0", "127.0.0.1", "::", "::1"}) {
    v1::CreateListenerRequest other = Request("other");
    auto& wanted =
        *other.mutable_spec()->mutable_where_to_listen()->mutable_inet();
    wanted.set_address(address);
    wanted.set_port(port);
    EXPECT_EQ(TryCreate(other).status().code(),
              absl::StatusCode::kAlreadyExists)
        << address;
  }
}

TEST_F(RegistryTest, AnAddressOfAnotherProcessIsAPrecondition) {
  asio::ip::tcp::acceptor other(
      loop(), Inet::Address(asio::ip::address_v4::loopback(), 0));
  v1::CreateListenerRequest request = Request("web");
  request.mutable_spec()->mutable_where_to_listen()->mutable_inet()->set_port(
      other.local_endpoint().port());
  const absl::Status status = TryCreate(request).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(status), "ADDRESS_IN_USE");
  EXPECT_EQ(DetailOf(status).address,
            "tcp:127.0.0.1:" + std::to_string(other.local_endpoint().port()));
  EXPECT_TRUE(registry_->listeners().empty());
  EXPECT_EQ(events_.last_revision(), 0);
}

TEST_F(RegistryTest, PagesHoldWhileListenersComeAndGo) {
  for (const char* id : {"a", "b", "c", "d", "e"}) Create(id);
  v1::ListListenersRequest request;
  request.set_page_size(2);
  const v1::ListListenersResponse first = registry_->List(request)->message();
  ASSERT_EQ(first.listeners_size(), 2);
  EXPECT_EQ(first.revision(), 5);
  EXPECT_EQ(first.instance_id(), events_.instance_id());
  Close("b");
  Settle();
  ASSERT_TRUE(DeleteNow(*registry_, "b").ok());
  Create("bb");
  request.set_page_token(first.next_page_token());
  request.set_page_size(1000);
  const v1::ListListenersResponse second = registry_->List(request)->message();
  EXPECT_EQ(second.revision(), 5);
  std::string names;
  for (const auto& listener : second.listeners()) names += listener.name();
  EXPECT_EQ(names, "listeners/bblisteners/clisteners/dlisteners/e");
  EXPECT_EQ(second.next_page_token(), "");
}

TEST_F(RegistryTest, UpdateHoldsAndResetsWhatIsUnset) {
  Create("web");
  v1::UpdateListenerRequest request;
  request.mutable_listener()->mutable_spec()->set_max_connections(7);
  request.mutable_update_mask()->add_paths("spec.max_connections");
  auto updated = UpdateNow(*registry_, "web", request);
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_EQ(updated->spec().max_connections(), 7);
  request.mutable_listener()->mutable_spec()->clear_max_connections();
  updated = UpdateNow(*registry_, "web", request);
  EXPECT_EQ(updated->spec().max_connections(), DefaultMaxConnections());
  const auto events = TakeEvents();
  ASSERT_EQ(events.size(), 3u);
  EXPECT_TRUE(events[2].has_listener_updated());
  Close("web");
  EXPECT_EQ(ReasonOf(UpdateNow(*registry_, "web", request).status()),
            "LISTENER_CLOSED");
}

TEST_F(RegistryTest, AStarIsAllOfTheSpec) {
  v1::CreateListenerRequest create = Request("web");
  create.mutable_spec()->set_max_connections(7);
  (*create.mutable_spec()->mutable_labels())["a"] = "1";
  ASSERT_TRUE(TryCreate(create).ok());
  v1::UpdateListenerRequest request;
  request.mutable_update_mask()->add_paths("*");
  v1::ListenerSpec& spec = *request.mutable_listener()->mutable_spec();
  // Without its address it is no spec.
  spec.mutable_handler()->mutable_discard();
  EXPECT_EQ(DetailOf(UpdateNow(*registry_, "web", request).status()).field,
            "listener.spec.where_to_listen");
  auto& inet = *spec.mutable_where_to_listen()->mutable_inet();
  inet.set_address("127.0.0.2");
  EXPECT_EQ(ReasonOf(UpdateNow(*registry_, "web", request).status()),
            "IMMUTABLE_FIELD");
  inet.set_address("127.0.0.1");
  inet.set_port(1);  // It is 0, whatever the OS chose.
  EXPECT_EQ(ReasonOf(UpdateNow(*registry_, "web", request).status()),
            "IMMUTABLE_FIELD");
  inet.set_port(0);
  inet.set_reuse_address(true);  // As the default.
  const auto updated = UpdateNow(*registry_, "web", request);
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_EQ(updated->spec().max_connections(), DefaultMaxConnections());
  EXPECT_TRUE(updated->spec().labels().empty());
  EXPECT_TRUE(updated->spec().handler().has_discard());
}

TEST_F(RegistryTest, AnUpdateMayOnlyBeChecked) {
  const v1::Listener before = Create("web");
  const int64_t revision = events_.last_revision();
  v1::UpdateListenerRequest request;
  request.set_validate_only(true);
  request.mutable_update_mask()->add_paths("spec.max_connections");
  request.mutable_listener()->mutable_spec()->set_max_connections(7);
  const auto would_be = UpdateNow(*registry_, "web", request);
  ASSERT_TRUE(would_be.ok()) << would_be.status();
  v1::Listener expected = before;
  expected.mutable_spec()->set_max_connections(7);
  EXPECT_EQ(would_be->DebugString(), expected.DebugString());
  EXPECT_EQ(registry_->Get("web")->message().DebugString(),
            before.DebugString());
  EXPECT_EQ(events_.last_revision(), revision);
  request.mutable_listener()->mutable_spec()->set_max_connections(0);
  EXPECT_EQ(DetailOf(UpdateNow(*registry_, "web", request).status()).field,
            "listener.spec.max_connections");
  EXPECT_EQ(ReasonOf(UpdateNow(*registry_, "other", request).status()),
            "NOT_FOUND");
  request.mutable_listener()->mutable_spec()->set_max_connections(7);
  Close("web");
  EXPECT_EQ(ReasonOf(UpdateNow(*registry_, "web", request).status()),
            "LISTENER_CLOSED");
}

TEST_F(RegistryTest, AnUpdateThatChangesNothingIsNotTold) {
  v1::CreateListenerRequest create = Request("web");
  for (int i = 0; i < 10; ++i) {
    (*create.mutable_spec()->mutable_labels())[std::to_string(i)] = "x";
  }
  const auto created = TryCreate(create);
  ASSERT_TRUE(created.ok());
  const int64_t revision = events_.last_revision();
  v1::UpdateListenerRequest request;
  request.mutable_update_mask()->add_paths("*");
  *request.mutable_listener() = *created;
  const auto updated = UpdateNow(*registry_, "web", request);
  ASSERT_TRUE(updated.ok()) << updated.status();
  EXPECT_EQ(updated->DebugString(), created->DebugString());
  EXPECT_EQ(events_.last_revision(), revision);
}

TEST_F(RegistryTest, TheMemoryOfListenersIsKnown) {
  EXPECT_EQ(registry_->ListenerMemoryUse(), 0u);
  Create("small");
  const size_t small = registry_->ListenerMemoryUse();
  EXPECT_GT(small, 4000u);
  v1::CreateListenerRequest request = Request("large");
  for (int i = 0; i < 16; ++i) {
    (*request.mutable_spec()->mutable_labels())["k" + std::to_string(i)] =
        std::string(250, 'v');
  }
  EXPECT_TRUE(TryCreate(request).ok());
  EXPECT_GT(registry_->ListenerMemoryUse(), 2 * small + 8000);
  v1::UpdateListenerRequest update;
  update.mutable_update_mask()->add_paths("spec.labels");
  ASSERT_TRUE(UpdateNow(*registry_, "large", update).ok());
  EXPECT_NEAR(registry_->ListenerMemoryUse(), 2 * small, 16);
  Close("large");
  EXPECT_NEAR(registry_->ListenerMemoryUse(), 2 * small, 16);
  EXPECT_TRUE(DeleteNow(*registry_, "large").ok());
  EXPECT_EQ(registry_->ListenerMemoryUse(), small);
}

TEST_F(RegistryTest, HandlerOfLaterConnectionsCanBeChanged) {
  const v1::Listener listener = Create("web");
  RawClient before = Connect(listener);
  RunUntil([&] { return num_connections() == 1; });
  v1::UpdateListenerRequest request;
  request.mutable_listener()
      ->mutable_spec()
      ->mutable_handler()
      ->mutable_discard();
  request.mutable_update_mask()->add_paths("spec.handler");
  ASSERT_TRUE(UpdateNow(*registry_, "web", request).ok());
  EXPECT_EQ(before.Send("x"), "ok");
  EXPECT_EQ(before.ReceiveExactly(1), "x");
  RawClient after = Connect(listener);
  EXPECT_EQ(after.Send("x"), "ok");
  after.CloseSending();
  EXPECT_EQ(after.Receive(), "EOF");
}

TEST_F(RegistryTest, BufferAgeLimitOfLaterConnectionsCanBeChanged) {
  const v1::Listener listener = Create("web");
  RawClient before = Connect(listener);
  RunUntil([&] { return num_connections() == 1; });
  v1::UpdateListenerRequest request;
  request.mutable_listener()
      ->mutable_spec()
      ->mutable_buffer_age_limit()
      ->mutable_at_most()
      ->set_seconds(1);
  request.mutable_update_mask()->add_paths("spec.buffer_age_limit");
  ASSERT_TRUE(UpdateNow(*registry_, "web", request).ok());
  RawClient after = Connect(listener);
  RunUntil([&] { return num_connections() == 2; });
  const auto accepted = TakeEvents();
  FloodUnread(before);
  FloodUnread(after);
  time().Advance(std::chrono::seconds(2));
  ASSERT_TRUE(RunUntil([&] { return num_connections() == 1; }));
  Settle();
  const auto events = TakeEvents();
  ASSERT_EQ(events.size(), 1u);
  const v1::Connection& closed = events[0].connection_closed().connection();
  EXPECT_EQ(closed.name(),
            accepted.back().connection_accepted().connection().name());
  EXPECT_EQ(closed.close_reason(), v1::CLOSE_REASON_BUFFER_AGE);
}

}  // namespace
}  // namespace portreeve::server
