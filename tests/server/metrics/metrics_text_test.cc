// The text that Prometheus reads.
#include "server/metrics/metrics_text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
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
