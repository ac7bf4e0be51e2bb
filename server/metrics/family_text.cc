#include "server/metrics/family_text.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "lib/base/check.h"

namespace portreeve::server {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr char kBucket[] = "_bucket";

absl::string_view NameOf(MetricType type) {
  switch (type) {
    case MetricType::Counter:
      return "counter";
    case MetricType::Gauge:
      return "gauge";
    case MetricType::Histogram:
      return "histogram";
    case MetricType::Summary:
    case MetricType::Untyped:
      break;
  }
  PORTREEVE_CHECK(false);
  return "";
}

void AppendEscaped(absl::string_view value, std::string& text) {
  for (const char c : value) {
    if (c == '\n') {
      text += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') text += '\\';
    text += c;
  }
}

void AppendNumber(double value, std::string& text) {
  if (std::isnan(value)) {
    text += "Nan";
    return;
  }
  if (std::isinf(value)) {
    text += value < 0 ? "-Inf" : "+Inf";
    return;
  }
  // Nearly all are whole numbers, whose digits are the same either way.
  constexpr double kMostDigits = 1e15;
  if (std::fabs(value) < kMostDigits && value == std::trunc(value) &&
      !(value == 0 && std::signbit(value))) {
    absl::StrAppend(&text, static_cast<int64_t>(value));
    return;
  }
  char digits[32];
  const auto [end, error] = std::to_chars(
      digits, digits + sizeof digits, value, std::chars_format::general,
      std::numeric_limits<double>::max_digits10 - 1);
  PORTREEVE_CHECK(error == std::errc());
  text.append(digits, end);
}

// Adds a line up to its value.  `bound` is that of a bucket, or null.
void AppendName(const MetricFamily& family, absl::string_view suffix,
                const ClientMetric& metric, const double* bound,
                std::string& text) {
  absl::StrAppend(&text, family.name, suffix);
  char before = '{';
  for (const ClientMetric::Label& label : metric.label) {
    text += before;
    text += label.name;
    text += "=\"";
    AppendEscaped(label.value, text);
    text += '"';
    before = ',';
  }
  if (bound != nullptr) {
    text += before;
    text += "le=\"";
    AppendNumber(*bound, text);
    text += '"';
    before = ',';
  }
  text += before == '{' ? " " : "} ";
}

void AppendLine(const MetricFamily& family, absl::string_view suffix,
                const ClientMetric& metric, double value, std::string& text,
                const double* bound = nullptr) {
  AppendName(family, suffix, metric, bound, text);
  AppendNumber(value, text);
  text += '\n';
}

void AppendCount(const MetricFamily& family, absl::string_view suffix,
                 const ClientMetric& metric, uint64_t value, std::string& text,
                 const double* bound = nullptr) {
  AppendName(family, suffix, metric, bound, text);
  absl::StrAppend(&text, value, "\n");
}

void AppendHistogram(const MetricFamily& family, const ClientMetric& metric,
                     std::string& text) {
  const ClientMetric::Histogram& histogram = metric.histogram;
  AppendCount(family, "_count", metric, histogram.sample_count, text);
  AppendLine(family, "_sum", metric, histogram.sample_sum, text);
  double last = -std::numeric_limits<double>::infinity();
  for (const ClientMetric::Bucket& bucket : histogram.bucket) {
    last = bucket.upper_bound;
    AppendCount(family, kBucket, metric, bucket.cumulative_count, text, &last);
  }
  constexpr double kAll = std::numeric_limits<double>::infinity();
  if (last == kAll) return;
  AppendCount(family, kBucket, metric, histogram.sample_count, text, &kAll);
}

}  // namespace

void AppendFamily(const MetricFamily& family, std::string& text) {
  if (!family.help.empty()) {
    absl::StrAppend(&text, "# HELP ", family.name, " ", family.help, "\n");
  }
  absl::StrAppend(&text, "# TYPE ", family.name, " ", NameOf(family.type),
                  "\n");
  for (const ClientMetric& metric : family.metric) {
    if (family.type == MetricType::Histogram) {
      AppendHistogram(family, metric, text);
      continue;
    }
    const bool counts = family.type == MetricType::Counter;
    AppendLine(family, "", metric,
               counts ? metric.counter.value : metric.gauge.value, text);
  }
}

}  // namespace portreeve::server
