// What a daemon's next process tells Prometheus.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "portreeve/internal/v1/totals.pb.h"
#include "tests/server/metrics/metrics_fixture.h"

namespace portreeve::server {
namespace {

using Ids = std::vector<std::string>;

class MetricsTotalsTest : public MetricsTest {
 protected:
  MetricsTotalsTest() {
    registry_->CountInHistograms(HistogramScope::kListener);
    BeginWith(2);
  }

  void BeginWith(size_t max_listeners) {
    MetricsSource::Options options;
    options.max_listeners = max_listeners;
    options.histograms_of_listeners = true;
    Begin(std::move(options));
  }
  // Another process has the same listeners.
  void GoOn(size_t max_listeners = 2) {
    internal::v1::MetricsTotals totals;
    ASSERT_TRUE(
        totals.ParseFromString(source().SaveTotals().SerializeAsString()));
    EndSource();
    BeginWith(max_listeners);
    source().RestoreTotals(totals);
  }
};

TEST_F(MetricsTotalsTest, TheListenersThatWereFoldedStaySo) {
  const v1::Listener b = Create("b");
  Create("c");
  EXPECT_EQ(Scrape().Listeners(), (Ids{"b", "c"}));
  const v1::Listener a = Create("a");
  Echo(a, "hello");
  const Scraped before = Scrape();
  EXPECT_EQ(before.Listeners(), (Ids{"_other", "b", "c"}));
  for (const size_t max_listeners : {size_t{2}, size_t{1}, size_t{9}}) {
    GoOn(max_listeners);
    const Scraped after = Scrape();
    EXPECT_EQ(after.Listeners(), (Ids{"_other", "b", "c"}));
    EXPECT_EQ(after.OfListener("accepted_total", "_other"), 1);
    EXPECT_EQ(after.Get("metrics_listeners_folded"), 1);
  }
}

TEST_F(MetricsTotalsTest, WhatThoseHadCountedThatAreDeletedStays) {
  Create("b");
  Create("c");
  (void)Scrape();
  const v1::Listener a = Create("a");
  Echo(a, "hello");
  (void)Scrape();
  Delete("a");
  const Scraped before = Scrape();
  ASSERT_EQ(before.OfListener("received_bytes_total", "_other"), 5);
  GoOn();
  const Scraped after = Scrape();
  EXPECT_EQ(after.OfListener("received_bytes_total", "_other"), 5);
  EXPECT_EQ(after.OfListener("sent_bytes_total", "_other"), 5);
  EXPECT_EQ(after.OfListener("accepted_total", "_other"), 1);
  EXPECT_EQ(after.SumOf("listener_connections_closed_total"), 1);
  EXPECT_EQ(after.Get("connection_duration_seconds_count{listener=\"_other\"}"),
            1);
  // And once more.
  GoOn();
  EXPECT_EQ(Scrape().OfListener("received_bytes_total", "_other"), 5);
  EXPECT_EQ(Scrape().Get("metrics_listeners_folded"), 0);
}

TEST_F(MetricsTotalsTest, WhereNothingWasFoldedNothingIs) {
  Create("b");
  (void)Scrape();
  GoOn();
  EXPECT_EQ(Scrape().Listeners(), Ids{"b"});
}

}  // namespace
}  // namespace portreeve::server
