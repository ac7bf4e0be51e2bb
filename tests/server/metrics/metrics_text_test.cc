// The text that Prometheus reads.
#include "server/metrics/metrics_text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "tests/server/metrics/whole_snapshot.h"

namespace portreeve::server {
namespace {

std::vector<std::string> LinesOf(const std::string& text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

bool Has(const std::string& text, const std::string& line) {
  const auto lines = LinesOf(text);
  return std::find(lines.begin(), lines.end(), line) != lines.end();
}

// Gives the line of listener_info of a listener that is like this.
std::string InfoOf(const ListenerValues& listener) {
  MetricsSnapshot snapshot;
  snapshot.listeners.push_back(listener);
  for (const std::string& line : LinesOf(MetricsText(snapshot))) {
    if (absl::StartsWith(line, "portreeve_listener_info{")) return line;
  }
  return "";
}

// all_metrics.prom is what the tests of docs/MONITORING.md and of deploy/ know
// the metrics by, and what promtool judges.
TEST(MetricsTextTest, IsThatOfTheFile) {
  const std::string text = MetricsText(WholeSnapshot());
  std::ifstream file("tests/server/metrics/all_metrics.prom");
  const std::string expected{std::istreambuf_iterator<char>(file), {}};
  const char* const outputs = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR");
  if (text != expected && outputs != nullptr) {
    std::ofstream(std::string(outputs) + "/all_metrics.prom") << text;
  }
  EXPECT_EQ(text, expected)
      << "if it is right: bazel-testlogs has it in the test's outputs.zip";
}

TEST(MetricsTextTest, OfListenersThatWereAskedForThereIsNothingElse) {
  MetricsSnapshot snapshot;
  EXPECT_EQ(MetricsText(snapshot), "");
  snapshot.listeners.push_back(WholeRemote());
  for (const std::string& line : LinesOf(MetricsText(snapshot))) {
    EXPECT_TRUE(absl::StartsWith(line, "# ") ||
                absl::StrContains(line, "{listener=\"web\""))
        << line;
  }
}

TEST(MetricsTextTest, TheSumHasNoInfo) {
  const std::string text = MetricsText(WholeSnapshot());
  EXPECT_TRUE(
      Has(text, "portreeve_listener_accepted_total{listener=\"_other\"} 12"));
  EXPECT_FALSE(absl::StrContains(text, "listener_info{listener=\"_other\""));
}

// Then there is no listener's, and no sum is doubled.
TEST(MetricsTextTest, TheDaemonMayHaveTheHistogramsOfAll) {
  MetricsSnapshot snapshot = WholeSnapshot();
  for (ListenerValues& listener : snapshot.listeners) {
    listener.histograms = nullptr;
  }
  snapshot.other_histograms.reset();
  const std::string none = MetricsText(snapshot);
  EXPECT_FALSE(absl::StrContains(none, "connection_duration_seconds"));
  EXPECT_FALSE(absl::StrContains(none, "connection_bytes"));
  EXPECT_FALSE(absl::StrContains(none, "upstream_connect_duration_seconds"));
  ConnectionHistograms& all = snapshot.daemon->histograms.emplace();
  const std::string empty = MetricsText(snapshot);
  EXPECT_TRUE(Has(empty, "portreeve_connection_duration_seconds_count 0"));
  EXPECT_TRUE(
      Has(empty, "portreeve_upstream_connect_duration_seconds_count 0"));
  all.CountEnd(5'000'000, 5, 6);
  all.connect.Count(200'000);
  const std::string text = MetricsText(snapshot);
  const std::string duration = "portreeve_connection_duration_seconds";
  EXPECT_TRUE(Has(text, duration + "_count 1"));
  EXPECT_TRUE(Has(text, duration + "_sum 0.005"));
  EXPECT_TRUE(Has(text, duration + "_bucket{le=\"0.004\"} 0"));
  EXPECT_TRUE(Has(text, duration + "_bucket{le=\"0.016\"} 1"));
  EXPECT_TRUE(Has(text, duration + "_bucket{le=\"+Inf\"} 1"));
  const std::string bytes = "portreeve_connection_bytes";
  EXPECT_TRUE(Has(text, bytes + "_sum{direction=\"received\"} 5"));
  EXPECT_TRUE(Has(text, bytes + "_sum{direction=\"sent\"} 6"));
  EXPECT_TRUE(
      Has(text, bytes + "_bucket{direction=\"sent\",le=\"17179869184\"} 1"));
  EXPECT_TRUE(
      Has(text, "portreeve_upstream_connect_duration_seconds_sum 0.0002"));
}

// One that has reached an upstream goes on to show that when it forwards no
// more.
TEST(MetricsTextTest, OnlyWhatForwardsHasConnectTimes) {
  const auto has_times = [](const ListenerValues& listener) {
    MetricsSnapshot snapshot;
    snapshot.listeners.push_back(listener);
    return absl::StrContains(MetricsText(snapshot),
                             "upstream_connect_duration_seconds");
  };
  EXPECT_FALSE(has_times(WholeRemote()));
  ListenerValues listener = WholeForward();
  EXPECT_TRUE(has_times(listener));
  listener.handler = "echo";
  EXPECT_TRUE(has_times(listener));
  listener.handler = "forward";
  listener.histograms = std::make_shared<const ConnectionHistograms>();
  EXPECT_TRUE(has_times(listener));
}

TEST(MetricsTextTest, OnlyReasonsThatWereSeenAreThere) {
  const std::string text = MetricsText(WholeSnapshot());
  EXPECT_FALSE(absl::StrContains(text, "peer_reset"));
  EXPECT_FALSE(absl::StrContains(text, "connect_timeout"));
  EXPECT_FALSE(absl::StrContains(text, "method=\"WatchEvents\""));
}

TEST(MetricsTextTest, LabelValuesAreEscaped) {
  ListenerValues listener = WholeRemote();
  listener.labels = {{"label_team", "say \"hi\"\\\nbye"}};
  EXPECT_EQ(InfoOf(listener),
            "portreeve_listener_info{listener=\"web\",address="
            "\"unix:/run/web.sock\",handler=\"remote\","
            "label_team=\"say \\\"hi\\\"\\\\\\nbye\"} 1");
}

// The file of a unix socket is called whatever somebody has called it.
TEST(MetricsTextTest, TheTextIsUtf8) {
  ListenerValues listener = WholeRemote();
  listener.address = "unix:/run/\xc3\xa4\xff\"\n";
  EXPECT_EQ(InfoOf(listener),
            "portreeve_listener_info{listener=\"web\",address=\"unix:/run/"
            "\xc3\xa4\\\\xff\\\"\\n\",handler=\"remote\"} 1");
}

}  // namespace
}  // namespace portreeve::server
