#include "server/metrics/metrics_labels.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "server/api/checked_spec.h"

namespace portreeve::server {
namespace {

std::string NameOf(const std::string& key) {
  std::string name = absl::StrCat("label_", key);
  for (char& c : name) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

}  // namespace

absl::Status AddMetricsLabel(const std::string& key,
                             std::vector<MetricsLabel>& labels) {
  if (key.empty() || key.size() > kMaxLabelKeyBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected the key of a label, 1-",
                     static_cast<size_t>(kMaxLabelKeyBytes), " bytes"));
  }
  std::string name = NameOf(key);
  for (const MetricsLabel& label : labels) {
    if (label.key == key) return absl::InvalidArgumentError("is there twice");
    if (label.name != name) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "Prometheus would see it as ", name, ", as \"", label.key, "\""));
  }
  labels.push_back({key, std::move(name)});
  return absl::OkStatus();
}

}  // namespace portreeve::server
