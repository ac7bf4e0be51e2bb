#include "server/upgrade/daemon_totals.h"

#include <vector>

#include "server/events/saved_totals.h"
#include "server/metrics/request_totals.h"

namespace portreeve::server {
internal::v1::DaemonTotals SaveTotals(const UpgradeParts& parts) {
  internal::v1::DaemonTotals totals;
  *totals.mutable_dials() = parts.registry.dialler().SaveTotals();
  if (const auto* const histograms = parts.registry.histograms()) {
    *totals.mutable_connections() = ToTotals(*histograms);
  }
  if (parts.metrics != nullptr) {
    *totals.mutable_metrics() = parts.metrics->SaveTotals();
  }
  if (parts.requests != nullptr) {
    for (const auto& method : parts.requests->Read()) {
      *totals.add_requests() = ToTotals(method);
    }
  }
  if (parts.lost_events) totals.set_events_lost_total(parts.lost_events());
  if (parts.access_lines) {
    const UpgradeParts::AccessLines lines = parts.access_lines();
    totals.set_access_lines_total(lines.lines);
    totals.set_access_dropped_total(lines.dropped);
  }
  return totals;
}

void RestoreTotals(const internal::v1::DaemonTotals& totals,
                   const UpgradeParts& parts) {
  parts.registry.dialler().RestoreTotals(totals.dials());
  if (totals.has_connections()) {
    parts.registry.RestoreHistograms(FromTotals(totals.connections()));
  }
  if (parts.metrics != nullptr && totals.has_metrics()) {
    parts.metrics->RestoreTotals(totals.metrics());
  }
  if (parts.requests != nullptr) {
    std::vector<RequestCounts::Method> methods;
    for (const auto& method : totals.requests()) {
      methods.push_back(FromTotals(method));
    }
    parts.requests->Add(methods);
  }
  if (parts.add_lost_events) parts.add_lost_events(totals.events_lost_total());
  if (parts.add_access_lines) {
    parts.add_access_lines(
        {totals.access_lines_total(), totals.access_dropped_total()});
  }
}

}  // namespace portreeve::server
