// It writes what the library writes.
#include "server/metrics/family_text.h"

#include <gtest/gtest.h>
#include <prometheus/text_serializer.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace portreeve::server {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Limits = std::numeric_limits<double>;

const std::vector<double> kValues = {
    0,
    -0.0,
    1,
    -1,
    42,
    0.1,
    -0.25,
    1.0 / 3,
    1e-7,
    123456.789,
    999'999'999'999'999,
    1e15,
    1e15 + 1,
    1e16,
    -1e15,
    9007199254740992,
    1.7976931348623157e308,
    5e-324,
    1701234567.123,
    Limits::infinity(),
    -Limits::infinity(),
    Limits::quiet_NaN(),
};
const std::vector<std::vector<ClientMetric::Label>> kLabels = {
    {},
    {{"a", "b"}},
    {{"a", ""}, {"b", "two words"}},
    {{"text", "a \"quote\", a \\ and\na line"}, {"z", "\xc3\xa4"}},
};

void ExpectSame(const MetricFamily& family) {
  std::string text = "before\n";
  AppendFamily(family, text);
  EXPECT_EQ(text,
            "before\n" + prometheus::TextSerializer().Serialize({family}));
}

TEST(FamilyTextTest, NumbersAndLabels) {
  for (const MetricType type : {MetricType::Counter, MetricType::Gauge}) {
    MetricFamily family{"a_name_total", "What it is.", type, {}};
    ExpectSame(family);
    for (const auto& labels : kLabels) {
      for (const double value : kValues) {
        ClientMetric metric;
        metric.label = labels;
        metric.counter.value = value;
        metric.gauge.value = value;
        family.metric.push_back(metric);
      }
    }
    ExpectSame(family);
    family.help = "";
    ExpectSame(family);
  }
}

TEST(FamilyTextTest, Histograms) {
  for (const bool has_last : {true, false}) {
    MetricFamily family{"sizes", "How large.", MetricType::Histogram, {}};
    for (const auto& labels : kLabels) {
      for (const double sum : kValues) {
        ClientMetric metric;
        metric.label = labels;
        ClientMetric::Histogram& histogram = metric.histogram;
        histogram.sample_count = std::numeric_limits<uint64_t>::max();
        histogram.sample_sum = sum;
        histogram.bucket = {{0, 0.005}, {3, 1}, {1'000'000'000'000, 1e6}};
        if (has_last) {
          histogram.bucket.push_back(
              {histogram.sample_count, Limits::infinity()});
        }
        family.metric.push_back(metric);
      }
    }
    ExpectSame(family);
    family.metric.resize(1);
    family.metric[0].histogram.bucket.clear();
    ExpectSame(family);
  }
}

}  // namespace
}  // namespace portreeve::server
