// The names by which Prometheus sees the labels of listeners.
#include "server/metrics/metrics_labels.h"

#include <gtest/gtest.h>
#include <prometheus/check_names.h>

#include <string>
#include <vector>

namespace portreeve::server {
namespace {

// Gives the names, or the error, of these keys.
std::string NamesOf(const std::vector<std::string>& keys) {
  std::vector<MetricsLabel> labels;
  std::string names;
  for (const std::string& key : keys) {
    if (const auto s = AddMetricsLabel(key, labels); !s.ok()) {
      return "error: " + std::string(s.message());
    }
    EXPECT_EQ(labels.back().key, key);
    EXPECT_TRUE(prometheus::CheckLabelName(labels.back().name));
    names += labels.back().name + " ";
  }
  return names;
}

TEST(MetricsLabelsTest, EveryKeyHasAValidName) {
  EXPECT_EQ(NamesOf({"team", "app.kubernetes.io/name", "9", "a\"\n\xc3\xa4"}),
            "label_team label_app_kubernetes_io_name label_9 label_a____ ");
  EXPECT_EQ(NamesOf({std::string(128, 'k')}),
            "label_" + std::string(128, 'k') + " ");
}

TEST(MetricsLabelsTest, AKeyThatNoListenerHasIsRefused) {
  EXPECT_EQ(NamesOf({""}), "error: expected the key of a label, 1-128 bytes");
  EXPECT_EQ(NamesOf({std::string(129, 'k')}),
            "error: expected the key of a label, 1-128 bytes");
}

TEST(MetricsLabelsTest, TwoKeysOfOneNameAreRefused) {
  EXPECT_EQ(NamesOf({"a.b", "c", "a-b"}),
            "error: Prometheus would see it as label_a_b, as \"a.b\"");
  EXPECT_EQ(NamesOf({"team", "team"}), "error: is there twice");
}

}  // namespace
}  // namespace portreeve::server
