#include "client/cli/top_model.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"

namespace portreeve::cli {
namespace {

template <typename T>  // google.protobuf's Timestamp or Duration.
double SecondsOf(const T& time) {
  return static_cast<double>(time.seconds()) + 1e-9 * time.nanos();
}

// The daemon tells less often.  Where no more has passed by its clock, that was
// set, and nobody knows how much has.
constexpr double kLeastSeconds = 1e-3;

// A total that has become less has begun anew.
double PerSecond(int64_t before, int64_t now, double seconds) {
  if (now < before) return static_cast<double>(now) / seconds;
  // Unsigned, the difference fits whatever the daemon has sent.
  const uint64_t more =
      static_cast<uint64_t>(now) - static_cast<uint64_t>(before);
  return static_cast<double>(more) / seconds;
}

double KeyOf(const TopRow& row, TopOrder order) {
  const TopRates rates = row.rates.value_or(TopRates());
  switch (order) {
    case TopOrder::kAccepts:
      return rates.accepts;
    case TopOrder::kOpen:
      return row.status.num_connections();
    case TopOrder::kIn:
      return rates.in;
    case TopOrder::kOut:
      return rates.out;
    case TopOrder::kName:
      break;
  }
  return 0;
}

}  // namespace

TopModel::Counts TopModel::CountsOf(const v1::ListenerStats& stats) {
  const v1::ListenerStatus& status = stats.status();
  return {status.accepted_total(), stats.closed_total(),
          status.bytes_received_total(), status.bytes_sent_total()};
}

void TopModel::Take(const v1::WatchStatsResponse& message) {
  if (message.instance_id() != instance_id_) {
    *this = TopModel();
    instance_id_ = message.instance_id();
  }
  const double time = SecondsOf(message.time());
  if (!time_ || *time_ != time || fresh_) BeginTime(message);
  time_ = time;
  for (const v1::ListenerStats& stats : message.listeners()) {
    Entry& entry = listeners_[stats.name()];
    entry.stats = stats;
    entry.was_told = true;
  }
  for (const std::string& name : message.deleted()) listeners_.erase(name);
}

// What was told before is the time before.
void TopModel::BeginTime(const v1::WatchStatsResponse& message) {
  if (telling_all_) DropUntold();
  telling_all_ = std::exchange(fresh_, false);
  const double cpu = SecondsOf(message.daemon().cpu_time());
  if (time_) {
    const double passed = SecondsOf(message.time()) - *time_;
    seconds_ = passed < kLeastSeconds ? 0 : passed;
    cpu_ = has_rates()
               ? std::max(0.0, cpu - SecondsOf(daemon_.cpu_time())) / seconds_
               : 0;
  }
  daemon_ = message.daemon();
  for (auto& [name, entry] : listeners_) {
    entry.before = CountsOf(entry.stats);
    entry.is_known = true;
    if (telling_all_) entry.was_told = false;
  }
}

// A new stream does not tell of what was deleted while there was none.
void TopModel::DropUntold() {
  for (auto it = listeners_.begin(); it != listeners_.end();) {
    it = it->second.was_told ? std::next(it) : listeners_.erase(it);
  }
}

std::optional<TopRates> TopModel::RatesOf(const Entry& entry) const {
  if (!has_rates() || !entry.is_known) return std::nullopt;
  const Counts now = CountsOf(entry.stats);
  const Counts& before = entry.before;
  return TopRates{PerSecond(before.accepted, now.accepted, seconds_),
                  PerSecond(before.closed, now.closed, seconds_),
                  PerSecond(before.in, now.in, seconds_),
                  PerSecond(before.out, now.out, seconds_)};
}

TopTotals TopModel::Totals() const {
  TopTotals totals;
  totals.daemon = daemon_;
  totals.cpu = cpu_;
  totals.listeners = static_cast<int>(listeners_.size());
  for (const auto& [name, entry] : listeners_) {
    const auto rates = RatesOf(entry);
    if (!rates) continue;
    totals.rates.accepts += rates->accepts;
    totals.rates.closes += rates->closes;
    totals.rates.in += rates->in;
    totals.rates.out += rates->out;
  }
  return totals;
}

std::vector<TopRow> TopModel::Rows(TopOrder order,
                                   const std::string& filter) const {
  std::vector<TopRow> rows;
  for (const auto& [name, entry] : listeners_) {
    if (!absl::StrContains(name, filter)) continue;
    rows.push_back({name, entry.stats.status(), entry.stats.max_connections(),
                    RatesOf(entry)});
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [order](const TopRow& a, const TopRow& b) {
                     return KeyOf(a, order) > KeyOf(b, order);
                   });
  return rows;
}

}  // namespace portreeve::cli
