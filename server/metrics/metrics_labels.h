// MetricsLabels: the labels of listeners that Prometheus sees
// (--metrics-label).
#ifndef PORTREEVE_SERVER_METRICS_METRICS_LABELS_H_
#define PORTREEVE_SERVER_METRICS_METRICS_LABELS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace portreeve::server {

// A label of a listener's spec, and what Prometheus calls it: "label_", and the
// key with "_" for every character that Prometheus does not allow.
struct MetricsLabel {
  std::string key;
  std::string name;
};

// Adds the label of this key.
// Errors, one line about the key: INVALID_ARGUMENT where no listener has such a
// key, and where one that is there already has the same name.
absl::Status AddMetricsLabel(const std::string& key,
                             std::vector<MetricsLabel>& labels);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_METRICS_METRICS_LABELS_H_
