// What a registry leaves to that of the daemon's next process.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/events/connection_histograms.h"
#include "server/events/saved_totals.h"
#include "server/registry/connection_table.h"
#include "server/registry/registry.h"
#include "tests/server/fake_client_stream.h"
#include "tests/server/registry_fixture.h"
#include "tests/testing/raw_listener.h"

namespace portreeve::server {
namespace {

using testing::FakeClientStream;
using testing::RawClient;
using testing::RawListener;

class NextProcessTest : public RegistryTest {
 protected:
  // Its listeners are new ones.
  std::unique_ptr<Registry> Next() {
    return std::make_unique<Registry>(executor(), lanes_.set(), events_,
                                      budget_, server::Policy());
  }
  void GoOn(std::unique_ptr<Registry> next) {
    Run(registry_->TearDown());
    registry_ = std::move(next);
  }
  ListenerResource& Of(const std::string& id) {
    return *registry_->listeners().at(id);
  }
  void Echo(const v1::Listener& listener, const std::string& data) {
    RawClient client = Connect(listener);
    EXPECT_EQ(client.Send(data), "ok");
    EXPECT_EQ(client.ReceiveExactly(data.size()), data);
    client.Close();
    EXPECT_TRUE(RunUntil([this] { return num_connections() == 0; }));
  }
};

TEST_F(NextProcessTest, ItsNumbersGoOn) {
  v1::CreateListenerRequest request = Request("a");
  request.set_request_id("0b64ddd6-2d4e-4d0c-9f5b-6d1d7f1c7a53");
  ASSERT_TRUE(TryCreate(request).ok());
  Create("b");
  Close("a");
  Settle();
  const Registry::Numbers numbers = registry_->numbers();
  EXPECT_EQ(numbers.last_request, 1);
  EXPECT_EQ(numbers.last_closed, 1);
  auto next = Next();
  ASSERT_TRUE(next->SetNumbers(numbers).ok());
  GoOn(std::move(next));
  EXPECT_EQ(registry_->numbers().last_request, 1);
  Create("c");
  Close("c");
  Settle();
  EXPECT_EQ(Of("c").close_number(), 2);
  request.set_listener_id("d");
  ASSERT_TRUE(TryCreate(request).ok());
  EXPECT_EQ(registry_->numbers().last_request, 2);
}

TEST_F(NextProcessTest, APageIsFollowedByTheNextOne) {
  Create("a");
  Create("b");
  v1::ListListenersRequest request;
  request.set_page_size(1);
  const auto first = registry_->List(request);
  ASSERT_TRUE(first.ok());
  request.set_page_token(first->message().next_page_token());
  const Registry::Numbers numbers = registry_->numbers();
  GoOn(Next());
  Create("a");
  Create("b");
  EXPECT_FALSE(registry_->List(request).ok());
  auto next = Next();
  ASSERT_TRUE(next->SetNumbers(numbers).ok());
  GoOn(std::move(next));
  Create("a");
  Create("b");
  const auto second = registry_->List(request);
  ASSERT_TRUE(second.ok()) << second.status();
  ASSERT_EQ(second->message().listeners_size(), 1);
  EXPECT_EQ(second->message().listeners(0).name(), "listeners/b");
}

TEST_F(NextProcessTest, WhatAreNoNumbersChangesNothing) {
  const Registry::Numbers before = registry_->numbers();
  for (const Registry::Numbers& wrong :
       {Registry::Numbers{-1, 0, before.page_key},
        Registry::Numbers{0, -1, before.page_key},
        Registry::Numbers{5, 5, "short"}}) {
    EXPECT_EQ(ReasonOf(registry_->SetNumbers(wrong)), "HANDOVER_DAMAGED");
    EXPECT_EQ(registry_->numbers().last_request, 0);
    EXPECT_EQ(registry_->numbers().last_closed, 0);
    EXPECT_EQ(registry_->numbers().page_key, before.page_key);
  }
  Create("a");
  EXPECT_DEATH((void)registry_->SetNumbers(before), "CHECK");
}

TEST_F(NextProcessTest, AListenersTotalsGoOn) {
  registry_->CountInHistograms(HistogramScope::kListener);
  Echo(Create("a"), "hello");
  internal::v1::ListenerTotals totals = Of("a").SaveTotals();
  EXPECT_EQ(totals.accepted_total(), 1);
  EXPECT_EQ(totals.bytes_received_total(), 5);
  EXPECT_EQ(totals.closed_by_reason().at("PEER_CLOSED"), 1);
  totals.set_upstream_connects_total(7);
  totals.set_upstream_connect_errors_total(3);
  const ConnectionHistograms of_all = *registry_->histograms();
  auto next = Next();
  next->CountInHistograms(HistogramScope::kListener);
  next->RestoreHistograms(of_all);
  GoOn(std::move(next));
  const v1::Listener a = Create("a");
  Of("a").RestoreTotals(totals);
  EXPECT_EQ(Of("a").upstream_counts().connects, 7);
  EXPECT_EQ(Of("a").upstream_counts().errors, 3);
  Echo(a, "hello world");
  EXPECT_EQ(Of("a").Counts().closes.total(), 2);
  EXPECT_EQ(Of("a").Record().closes->total(), 2);
  EXPECT_EQ(Of("a").histograms()->received.total(), 2);
  EXPECT_EQ(Of("a").histograms()->received.sum(), 16);
  EXPECT_EQ(registry_->histograms()->received.total(), 2);
  EXPECT_EQ(registry_->histograms()->sent.sum(), 16);
}

// Whatever a server has counted goes with that.
TEST_F(NextProcessTest, OneThatWasClosedHasWhatItHadCounted) {
  Echo(Create("a"), "hello");
  Close("a");
  Settle();
  internal::v1::ListenerTotals totals = Of("a").SaveTotals();
  totals.set_limit_reached_total(4);
  totals.set_accept_errors_total(6);
  ListenerIdentity identity;
  identity.id = "b";
  const auto draft = CheckCreate(Request("b"));
  ASSERT_TRUE(draft.ok());
  EventLog events;
  ConnectionTable connections;
  ListenerDescriptors descriptors(10, budget_);
  const LivePolicy policy{server::Policy()};
  ForwardLoops loops;
  const Shared shared{lanes_.set(), events, budget_, descriptors,
                      connections,  policy, loops};
  const auto listener = std::make_shared<ListenerResource>(
      executor(), shared, std::move(identity), draft->spec);
  listener->Restore(Of("a").Describe().status());
  listener->RestoreTotals(totals);
  const ListenerCounts counts = listener->Counts();
  EXPECT_EQ(counts.accepted_total, 1);
  EXPECT_EQ(counts.received_bytes_total, 5);
  EXPECT_EQ(counts.sent_bytes_total, 5);
  EXPECT_EQ(counts.limit_reached_total, 4);
  EXPECT_EQ(counts.accept_errors_total, 6);
  EXPECT_EQ(counts.closes.total(), 1);
  EXPECT_EQ(listener->SaveTotals().SerializeAsString(),
            totals.SerializeAsString());
}

// Of another scope there is nothing to go on with.
TEST_F(NextProcessTest, WithoutHistogramsThereAreNone) {
  registry_->RestoreHistograms(ConnectionHistograms());
  EXPECT_EQ(registry_->histograms(), nullptr);
  Create("a");
  internal::v1::ListenerTotals totals;
  totals.mutable_connections()->mutable_sent()->add_counts(5);
  Of("a").RestoreTotals(totals);
  EXPECT_EQ(Of("a").histograms(), nullptr);
  EXPECT_FALSE(Of("a").SaveTotals().has_connections());
}

TEST_F(NextProcessTest, WhatWasDialledIsCountedOn) {
  internal::v1::DialTotals totals;
  totals.set_connected_total(10);
  (*totals.mutable_closed_by_reason())["FORCED"] = 9;
  registry_->dialler().RestoreTotals(totals);
  EXPECT_EQ(registry_->dialler().connected_total(), 10);
  EXPECT_EQ(registry_->dialler().closes().total(), 9);
  EXPECT_EQ(registry_->dialler().closes().count(v1::CLOSE_REASON_FORCED), 9);
  RawListener peer(loop(), [this](const auto& f) { return RunUntil(f); });
  const auto stream = std::make_shared<FakeClientStream>(executor());
  v1::ClientFrame::Dial dial;
  auto& inet = *dial.mutable_where_to_connect()->mutable_inet();
  inet.set_host("127.0.0.1");
  inet.set_port(peer.inet_address().port());
  Start(registry_->dialler().Serve(
      stream, dial, [](const std::string&, const absl::Status&) {}));
  Settle();
  stream->Break();
  EXPECT_TRUE(RunUntil([this] { return num_connections() == 0; }));
  const internal::v1::DialTotals now = registry_->dialler().SaveTotals();
  EXPECT_EQ(now.connected_total(), 11);
  EXPECT_EQ(now.closed_by_reason().at("FORCED"), 9);
  EXPECT_EQ(registry_->dialler().closes().total(), 10);
  peer.Close();
}

TEST_F(NextProcessTest, AConnectionKeepsItsFacts) {
  const v1::Listener web = Create("web");
  RawClient client = Connect(web);
  EXPECT_TRUE(RunUntil([this] { return num_connections() == 1; }));
  const auto& live = registry_->connections().entries().begin()->second;
  ConnectionFacts facts;
  facts.listener = live->facts.listener;
  facts.create_time = 1'700'000'000'123'456'789;
  facts.close_called = true;
  facts.leaves_line = true;
  ConnectionTable table;
  table.Restore(live->connection, std::move(facts));
  const auto restored = table.Find(live->connection->id());
  ASSERT_NE(restored, nullptr);
  EXPECT_EQ(restored->facts.create_time, 1'700'000'000'123'456'789u);
  EXPECT_TRUE(restored->facts.leaves_line);
  EXPECT_EQ(NameOf(restored->facts), "listeners/web");
  EXPECT_EQ(Describe(*restored).state(), v1::CONNECTION_STATE_CLOSING);
  client.Close();
  EXPECT_TRUE(RunUntil([this] { return num_connections() == 0; }));
}

}  // namespace
}  // namespace portreeve::server
