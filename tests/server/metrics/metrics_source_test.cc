// What a scrape finds.
#include "server/metrics/metrics_source.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/remote/worker_pool.h"
#include "tests/server/metrics/metrics_fixture.h"

namespace portreeve::server {
namespace {

using testing::RawClient;
using Ids = std::vector<std::string>;

class MetricsSourceTest : public MetricsTest {};

// A client that serves a remote listener, and does nothing.
class IdleWorker final : public Worker {
 public:
  void Offer(const v1::Connection&) override { ++num_offered; }
  void AskForVerdict(const v1::HandleResponse::HandlerError&) override {}
  void Dismiss() override {}

  int num_offered = 0;
};

TEST_F(MetricsSourceTest, OpenConnectionsAreCountedToTheLastByte) {
  const v1::Listener web = Create("web");
  RawClient client = Connect(web);
  EXPECT_EQ(client.Send("hello"), "ok");
  EXPECT_EQ(client.ReceiveExactly(5), "hello");
  Echo(web, "ab");
  const Scraped scraped = Scrape();
  EXPECT_EQ(scraped.OfListener("connections", "web"), 1);
  EXPECT_EQ(scraped.OfListener("max_connections", "web"),
            DefaultMaxConnections());
  EXPECT_EQ(scraped.OfListener("accepted_total", "web"), 2);
  EXPECT_EQ(scraped.OfListener("received_bytes_total", "web"), 7);
  EXPECT_EQ(scraped.OfListener("sent_bytes_total", "web"), 7);
  EXPECT_EQ(scraped.OfListener("dropped_total", "web"), 0);
  EXPECT_EQ(scraped.Closed("web", "peer_closed"), 1);
  EXPECT_EQ(scraped.SumOf("listener_connections_closed_total"), 1);
  EXPECT_EQ(scraped.Get("listeners{state=\"listening\"}"), 1);
  EXPECT_EQ(scraped.Get("file_descriptors"), 1);
  EXPECT_EQ(scraped.Get("file_descriptors_limit"), 1000);
}

TEST_F(MetricsSourceTest, DroppedConnectionsAreCountedToo) {
  v1::CreateListenerRequest request = Request("web");
  request.mutable_spec()->set_drop_incoming_connections(true);
  const auto web = TryCreate(request);
  ASSERT_TRUE(web.ok());
  for (int i = 0; i < 3; ++i) EXPECT_NE(Connect(*web).Receive(), "");
  const Scraped scraped = Scrape();
  EXPECT_EQ(scraped.OfListener("accepted_total", "web"), 3);
  EXPECT_EQ(scraped.OfListener("dropped_total", "web"), 3);
  EXPECT_EQ(scraped.Closed("web", "dropped"), 3);
  EXPECT_EQ(scraped.Get("events_total{kind=\"connection_dropped\"}"), 3);
}

TEST_F(MetricsSourceTest, WhoWaitsAtTheLimitIsSeen) {
  v1::CreateListenerRequest request = Request("web");
  request.mutable_spec()->set_max_connections(1);
  request.mutable_spec()->set_max_pending_connections(17);
  const auto web = TryCreate(request);
  ASSERT_TRUE(web.ok());
  EXPECT_EQ(Scrape().OfListener("limit_reached_total", "web"), 0);
  RawClient first = Connect(*web);
  RawClient second = Connect(*web);
  RawClient third = Connect(*web);
  RunUntil([this] { return num_connections() == 1; });
  Settle();
  const Scraped scraped = Scrape();
  EXPECT_EQ(scraped.OfListener("connections", "web"), 1);
  EXPECT_EQ(scraped.OfListener("max_connections", "web"), 1);
  EXPECT_EQ(scraped.OfListener("limit_reached_total", "web"), 1);
  EXPECT_EQ(scraped.OfListener("backlog_connections", "web"), 2);
  EXPECT_EQ(scraped.OfListener("backlog_limit", "web"), 17);
  // The event is told once a minute, but each time counts.
  first.Close();
  RunUntil([this] {
    return registry_->Get("web")->message().status().accepted_total() == 2;
  });
  Settle();
  EXPECT_EQ(Scrape().OfListener("limit_reached_total", "web"), 2);
  EXPECT_EQ(Scrape().OfListener("backlog_connections", "web"), 1);
  EXPECT_EQ(Scrape().Get("events_total{kind=\"limit_reached\"}"), 1);
}

TEST_F(MetricsSourceTest, AcceptsThatFailAreCounted) {
  const v1::Listener web = Create("web");
  budget_.Take(budget_.num_free());
  RawClient client = Connect(web);
  RunUntil([this] {
    return registry_->listeners().at("web")->Counts().accept_errors_total > 0;
  });
  EXPECT_GE(Scrape().OfListener("accept_errors_total", "web"), 1);
  EXPECT_EQ(Scrape().Get("file_descriptors"), 1000);
  budget_.GiveBack(1000);
  client.Close();
  RunUntil([this] {
    return registry_->listeners().at("web")->Counts().accepted_total == 1;
  });
  Settle();
}

TEST_F(MetricsSourceTest, UpstreamsThatCannotBeReachedAreCountedByWhy) {
  const v1::Listener free = Create("free");
  Delete("free");
  v1::CreateListenerRequest request = Request("front");
  auto& upstream = *request.mutable_spec()
                        ->mutable_handler()
                        ->mutable_forward()
                        ->mutable_upstream()
                        ->mutable_inet();
  upstream.set_host("127.0.0.1");
  upstream.set_port(free.status().listening_on().inet().port());
  const auto front = TryCreate(request);
  ASSERT_TRUE(front.ok()) << front.status();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Connect(*front).Receive(), "ECONNRESET");
    RunUntil([this] { return num_connections() == 0; });
  }
  const Scraped scraped = Scrape();
  EXPECT_EQ(scraped.Closed("front", "upstream_unreachable"), 2);
  EXPECT_EQ(scraped.Get("upstream_connect_errors_total{listener=\"front\","
                        "reason=\"connect_refused\"}"),
            2);
  EXPECT_EQ(scraped.SumOf("upstream_connect_errors_total"), 2);
}

TEST_F(MetricsSourceTest, ARemoteListenerHasWorkersAndWhatNobodyHasTaken) {
  v1::CreateListenerRequest request = Request("worked");
  request.mutable_spec()->mutable_handler()->mutable_remote();
  const auto worked = TryCreate(request);
  ASSERT_TRUE(worked.ok());
  Create("web");
  EXPECT_EQ(Scrape().OfListener("workers", "worked"), 0);
  IdleWorker worker;
  WorkerPool& pool = registry_->listeners().at("worked")->workers();
  const int64_t number = pool.Join(worker);
  RawClient taken = Connect(*worked);
  RawClient waiting = Connect(*worked);
  RunUntil([&] { return worker.num_offered == 2; });
  EXPECT_EQ(Scrape().OfListener("unclaimed_connections", "worked"), 2);
  const auto live =
      registry_->Attach(registry_->connections().entries().begin()->first);
  ASSERT_TRUE(live.ok());
  Settle();
  const Scraped scraped = Scrape();
  EXPECT_EQ(scraped.OfListener("unclaimed_connections", "worked"), 1);
  EXPECT_EQ(scraped.OfListener("workers", "worked"), 1);
  EXPECT_EQ(scraped.OfListener("workers", "web"), std::nullopt);
  EXPECT_EQ(scraped.OfListener("unclaimed_connections", "web"), std::nullopt);
  (*live)->facts.claim->End(nullptr);
  pool.Leave(number);
  taken.Close();
  waiting.Close();
  RunUntil([this] { return num_connections() == 0; });
  EXPECT_EQ(Scrape().OfListener("unclaimed_connections", "worked"), 0);
  EXPECT_EQ(Scrape().Closed("worked", "unclaimed"), 1);
}

TEST_F(MetricsSourceTest, ClosedListenersAreThereUntilTheyAreDeleted) {
  Echo(Create("web"), "abc");
  Create("stays");
  Close("web");
  Settle();
  const Scraped closed = Scrape();
  EXPECT_EQ(closed.Listeners(), (Ids{"stays", "web"}));
  EXPECT_EQ(closed.OfListener("accepted_total", "web"), 1);
  EXPECT_EQ(closed.OfListener("received_bytes_total", "web"), 3);
  EXPECT_EQ(closed.OfListener("backlog_connections", "web"), std::nullopt);
  EXPECT_EQ(closed.Get("listeners{state=\"closed\"}"), 1);
  EXPECT_EQ(closed.Get("listeners{state=\"listening\"}"), 1);
  EXPECT_TRUE(DeleteNow(*registry_, "web").ok());
  const Scraped deleted = Scrape();
  EXPECT_EQ(deleted.Listeners(), Ids{"stays"});
  EXPECT_FALSE(deleted.Mentions("\"web\""));
  EXPECT_EQ(deleted.Get("listeners{state=\"closed\"}"), 0);
  // What is said of the daemon stays.
  EXPECT_EQ(deleted.Get("events_total{kind=\"connection_accepted\"}"), 1);
  EXPECT_EQ(deleted.Get("events_total{kind=\"listener_deleted\"}"), 1);
}

TEST_F(MetricsSourceTest, LabelsThatWereAskedForAreInTheInfo) {
  MetricsSource::Options options;
  ASSERT_TRUE(AddMetricsLabel("team", options.labels).ok());
  ASSERT_TRUE(AddMetricsLabel("app/name", options.labels).ok());
  Begin(std::move(options));
  v1::CreateListenerRequest request = Request("web");
  auto& labels = *request.mutable_spec()->mutable_labels();
  labels["team"] = "a \"b\"\n\\";
  labels["app/name"] = "shop";
  labels["secret"] = "hidden";
  ASSERT_TRUE(TryCreate(request).ok());
  const v1::Listener none = Create("none");
  const Scraped scraped = Scrape();
  EXPECT_TRUE(
      scraped.Mentions("handler=\"echo\",label_team=\"a \\\"b\\\"\\n\\\\\","
                       "label_app_name=\"shop\"} 1\n"));
  EXPECT_FALSE(scraped.Mentions("secret"));
  EXPECT_FALSE(scraped.Mentions("hidden"));
  EXPECT_EQ(
      scraped.Get(absl::StrCat(
          "listener_info{listener=\"none\",address=\"tcp:127.0.0.1:",
          none.status().listening_on().inet().port(), "\",handler=\"echo\"}")),
      1);
}

TEST_F(MetricsSourceTest, WhatTheDaemonSaysOfItselfIsThere) {
  MetricsSource::Options options;
  bool ready = false;
  options.is_ready = [&ready] { return ready; };
  options.watches = [] { return WatchValues{3, 70}; };
  options.start_time = [] { return 1'764'000'000.5; };
  options.now = [this] { return time().Now(); };
  Begin(std::move(options));
  const auto answer = StartScrape();
  time().Advance(std::chrono::seconds(2));
  const Scraped scraped = End(answer);
  EXPECT_EQ(scraped.Get("build_info{version=\"1.2.3\",instance_id=\"" +
                        events_.instance_id() + "\"}"),
            1);
  EXPECT_EQ(scraped.Get("ready"), 0);
  EXPECT_EQ(scraped.Get("start_time_seconds"), 1'764'000'000.5);
  EXPECT_EQ(scraped.Get("watchers"), 3);
  EXPECT_EQ(scraped.Get("events_dropped_by_watchers_total"), 70);
  EXPECT_EQ(scraped.Get("loop_lag_seconds{loop=\"0\"}"), 2);
  EXPECT_FALSE(scraped.Mentions("access_log"));
  EXPECT_FALSE(scraped.Mentions("control_requests"));
  ready = true;
  EXPECT_EQ(Scrape().Get("ready"), 1);
}

TEST_F(MetricsSourceTest, EveryLoopHasItsLag) {
  asio::io_context stuck(1);
  MetricsSource::Options options;
  options.other_loops = {&stuck};
  options.now = [this] { return time().Now(); };
  Begin(std::move(options));
  EXPECT_EQ(Scrape().Get("loop_lag_seconds{loop=\"1\"}"), 0);
  time().Advance(std::chrono::seconds(5));
  EXPECT_EQ(Scrape().Get("loop_lag_seconds{loop=\"1\"}"), 5);
  stuck.poll();
  EXPECT_EQ(Scrape().Get("loop_lag_seconds{loop=\"1\"}"), 0);
  EXPECT_EQ(Scrape().Get("loop_lag_seconds{loop=\"0\"}"), 0);
}

TEST_F(MetricsSourceTest, OneListenerCanBeAskedFor) {
  for (const char* id : {"a", "b", "c"}) Create(id);
  const Scraped scraped = Scrape({"c", "none", "a", "a"});
  EXPECT_EQ(scraped.Listeners(), (Ids{"a", "c"}));
  EXPECT_FALSE(scraped.Mentions("portreeve_ready"));
  EXPECT_FALSE(scraped.Mentions("process_"));
  EXPECT_EQ(Scrape({"none"}).text(), "");
}

TEST_F(MetricsSourceTest, AScrapeOfASourceThatEndsFails) {
  Create("web");
  const auto answer = StartScrape();
  EndSource();
  EXPECT_EQ(Await(answer).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace portreeve::server
