// Scrapes that take several steps, and listeners without series of their own.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/server/metrics/metrics_fixture.h"

namespace portreeve::server {
namespace {

using testing::RawClient;
using Ids = std::vector<std::string>;

class MetricsStepsTest : public MetricsTest {
 protected:
  static std::string Id(int number) { return absl::StrFormat("l%04d", number); }
  void CreateMany(int count) {
    for (int i = 0; i < count; ++i) Create(Id(i));
  }
  void BeginWith(size_t max_listeners) {
    MetricsSource::Options options;
    options.max_listeners = max_listeners;
    Begin(std::move(options));
  }
  // Closes it, so that it can be deleted at once.
  void CloseAll(const Ids& ids) {
    for (const std::string& id : ids) Close(id);
    Settle();
  }
};

TEST_F(MetricsStepsTest, AStepHas250Listeners) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ASSERT_GE(limit.rlim_cur, rlim_t{5500}) << "too few descriptors";
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  CreateMany(5000);
  Settle();
  const auto answer = StartScrape();
  int steps = 0;
  while (Step()) ++steps;
  EXPECT_EQ(steps, 20);
  const Scraped scraped = End(answer);
  EXPECT_EQ(scraped.Listeners().size(), 5000u);
  EXPECT_EQ(scraped.Get("listeners{state=\"listening\"}"), 5000);
  EXPECT_EQ(scraped.Get("metrics_listeners_folded"), 0);
}

TEST_F(MetricsStepsTest, ListenersThatAreDeletedBetweenStepsAreThereOnce) {
  CreateMany(1100);
  Echo(registry_->Get(Id(700))->message(), "abc");
  CloseAll({Id(10), Id(499), Id(500), Id(700), Id(1099)});
  const auto answer = StartScrape();
  EXPECT_TRUE(Step());
  for (int number : {10, 499, 500, 700}) {
    EXPECT_TRUE(DeleteNow(*registry_, Id(number)).ok());
  }
  // The name is free again, and is in the scrape already.
  Create(Id(700));
  Create(Id(10));
  EXPECT_TRUE(Step());
  EXPECT_TRUE(DeleteNow(*registry_, Id(1099)).ok());
  const Scraped scraped = End(answer);
  EXPECT_EQ(scraped.Listeners().size(), 1100u);
  EXPECT_EQ(scraped.OfListener("accepted_total", Id(700)), 1);
  EXPECT_EQ(scraped.Get("listeners{state=\"closed\"}"), 5);
  EXPECT_EQ(scraped.Get("listeners{state=\"listening\"}"), 1095);
  EXPECT_EQ(Scrape().Listeners().size(), 1097u);
}

TEST_F(MetricsStepsTest, OfThoseThatWereAskedForToo) {
  CreateMany(600);
  CloseAll({Id(599)});
  Ids all;
  for (int i = 0; i < 600; ++i) all.push_back(Id(i));
  const auto answer = StartScrape(all);
  EXPECT_TRUE(Step());
  EXPECT_TRUE(DeleteNow(*registry_, Id(599)).ok());
  EXPECT_EQ(End(answer).Listeners(), all);
}

TEST_F(MetricsStepsTest, AScrapeThatHasBegunFailsOnceWhereTheSourceEnds) {
  CreateMany(600);
  const auto answer = StartScrape();
  EXPECT_TRUE(Step());
  EndSource();
  EXPECT_EQ(Await(answer).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(MetricsStepsTest, ScrapesMayRunTogether) {
  CreateMany(600);
  CloseAll({Id(550)});
  const auto first = StartScrape();
  EXPECT_TRUE(Step());
  const auto second = StartScrape();
  EXPECT_TRUE(DeleteNow(*registry_, Id(550)).ok());
  const auto first_text = Await(first);
  ASSERT_TRUE(first_text.ok());
  EXPECT_EQ(Scraped(*first_text).Listeners().size(), 600u);
  ASSERT_TRUE(second->ok());
  EXPECT_EQ(Scraped(**second).Listeners().size(), 599u);
}

TEST_F(MetricsStepsTest, AStepEndsAfterTheListenerThatHasTooManyConnections) {
  MetricsSource::Options options;
  EXPECT_EQ(options.connections_of_step, 10'000);
  options.connections_of_step = 3;
  Begin(std::move(options));
  CreateMany(6);
  std::vector<RawClient> clients;
  for (int number : {1, 1, 1, 1, 2, 3, 4}) {
    clients.push_back(Connect(registry_->Get(Id(number))->message()));
  }
  RunUntil([&] { return num_connections() == clients.size(); });
  Settle();
  const auto answer = StartScrape();
  int steps = 0;
  while (Step()) ++steps;
  EXPECT_EQ(steps, 3);  // 0 and 1, 2 to 4, 5.
  const Scraped scraped = End(answer);
  EXPECT_EQ(scraped.Listeners().size(), 6u);
  EXPECT_EQ(scraped.SumOf("listener_connections"), 7);
}

TEST_F(MetricsStepsTest, TheRestIsSummed) {
  BeginWith(2);
  for (const char* id : {"a", "b", "c", "d"}) Echo(Create(id), "12345");
  RawClient open = Connect(registry_->Get("d")->message());
  RunUntil([this] { return num_connections() == 1; });
  const Scraped scraped = Scrape();
  EXPECT_EQ(scraped.Listeners(), (Ids{"_other", "a", "b"}));
  EXPECT_EQ(scraped.Get("metrics_listeners_folded"), 2);
  EXPECT_EQ(scraped.OfListener("accepted_total", "_other"), 3);
  EXPECT_EQ(scraped.OfListener("connections", "_other"), 1);
  EXPECT_EQ(scraped.OfListener("max_connections", "_other"),
            2 * DefaultMaxConnections());
  EXPECT_EQ(scraped.OfListener("received_bytes_total", "_other"), 10);
  EXPECT_EQ(scraped.Closed("_other", "peer_closed"), 2);
  EXPECT_EQ(scraped.SumOf("listener_accepted_total"), 5);
  EXPECT_EQ(scraped.Get("listeners{state=\"listening\"}"), 4);
  // One of them by itself.
  EXPECT_EQ(Scrape({"d"}).OfListener("accepted_total", "d"), 2);
}

TEST_F(MetricsStepsTest, WhatIsSummedStaysWhenItsListenersGo) {
  BeginWith(1);
  for (const char* id : {"a", "b", "c"}) Echo(Create(id), "12345");
  EXPECT_EQ(Scrape().OfListener("accepted_total", "_other"), 2);
  Delete("b");
  EXPECT_EQ(Scrape().OfListener("accepted_total", "_other"), 2);
  EXPECT_EQ(Scrape().Closed("_other", "peer_closed"), 2);
  EXPECT_EQ(Scrape().Get("metrics_listeners_folded"), 1);
  // The place that is free is a new listener's.
  Delete("a");
  EXPECT_EQ(Scrape().Listeners(), Ids{"_other"});
  Create("e");
  EXPECT_EQ(Scrape().Listeners(), (Ids{"_other", "e"}));
  Delete("c");
  const Scraped scraped = Scrape();
  EXPECT_EQ(scraped.OfListener("accepted_total", "_other"), 2);
  EXPECT_EQ(scraped.OfListener("max_connections", "_other"), 0);
  EXPECT_EQ(scraped.Get("metrics_listeners_folded"), 0);
}

TEST_F(MetricsStepsTest, HistogramsAreThoseOfListenersOrOfTheDaemon) {
  registry_->CountInHistograms(HistogramScope::kDaemon);
  Begin();
  Echo(Create("a"), "12345");
  Echo(Create("b"), "12345");
  Scraped scraped = Scrape();
  EXPECT_EQ(scraped.Get("connection_duration_seconds_count"), 2);
  EXPECT_EQ(scraped.Get("connection_bytes_sum{direction=\"sent\"}"), 10);
  EXPECT_FALSE(scraped.Mentions("seconds_count{listener="));
  EXPECT_FALSE(Scrape({"a"}).Mentions("connection_duration_seconds"));
  // The daemon's go on without the listener.
  Delete("a");
  EXPECT_EQ(Scrape().Get("connection_duration_seconds_count"), 2);
}

TEST_F(MetricsStepsTest, HistogramsOfListenersEndWithThemOrAreSummed) {
  registry_->CountInHistograms(HistogramScope::kListener);
  MetricsSource::Options options;
  options.max_listeners = 1;
  options.histograms_of_listeners = true;
  Begin(std::move(options));
  for (const char* id : {"a", "b", "c"}) Echo(Create(id), "12345");
  const auto count_of = [](const Scraped& scraped, const std::string& id) {
    return scraped.Get("connection_duration_seconds_count{listener=\"" + id +
                       "\"}");
  };
  Scraped scraped = Scrape();
  EXPECT_EQ(count_of(scraped, "a"), 1);
  EXPECT_EQ(count_of(scraped, "_other"), 2);
  EXPECT_EQ(scraped.SumOf("connection_duration_seconds_count"), 3);
  EXPECT_EQ(scraped.Get("connection_duration_seconds_count"), std::nullopt);
  EXPECT_EQ(count_of(Scrape({"b"}), "b"), 1);
  Delete("b");
  EXPECT_EQ(count_of(Scrape(), "_other"), 2);
  Delete("a");
  EXPECT_EQ(count_of(Scrape(), "a"), std::nullopt);
  Delete("c");
  EXPECT_EQ(count_of(Scrape(), "_other"), 2);
}

TEST_F(MetricsStepsTest, WhereNothingHasHistogramsThereAreNone) {
  registry_->CountInHistograms(HistogramScope::kOff);
  Begin();
  Echo(Create("a"), "12345");
  const Scraped scraped = Scrape();
  EXPECT_FALSE(scraped.Mentions("connection_duration_seconds"));
  EXPECT_FALSE(scraped.Mentions("connection_bytes"));
}

// Neither lost, which would look like a restart, nor counted twice.
TEST_F(MetricsStepsTest, TheSumIsRightWhileListenersAreDeletedBetweenSteps) {
  BeginWith(0);
  CreateMany(600);
  for (int number : {3, 400, 599}) {
    Echo(registry_->Get(Id(number))->message(), "x");
  }
  CloseAll({Id(3), Id(400), Id(599)});
  EXPECT_EQ(Scrape().OfListener("accepted_total", "_other"), 3);
  EXPECT_TRUE(DeleteNow(*registry_, Id(3)).ok());
  const auto answer = StartScrape();
  EXPECT_TRUE(Step());
  EXPECT_TRUE(DeleteNow(*registry_, Id(400)).ok());
  EXPECT_TRUE(DeleteNow(*registry_, Id(599)).ok());
  EXPECT_EQ(End(answer).OfListener("accepted_total", "_other"), 3);
  EXPECT_EQ(Scrape().OfListener("accepted_total", "_other"), 3);
}

}  // namespace
}  // namespace portreeve::server
