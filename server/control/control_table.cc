#include "server/control/control_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/log.h"

namespace portreeve::server {
namespace {

// How often the busiest is looked for while too many calls are pending, or
// unseen: what is ended takes a while to end.
constexpr int kPendingStep = 128;

// Who has half the activity of the busiest is as busy.
constexpr int64_t kAsBusy = 2;

// What one that carries connections may have sent for each.
constexpr int64_t kActivityOfCarrying = 512 << 10;

}  // namespace

void ControlTable::Add(std::shared_ptr<ControlConnection> connection) {
  const std::lock_guard<std::mutex> lock(mutex_);
  connections_[connection->key()] = std::move(connection);
}

void ControlTable::OnEnded(
    const std::shared_ptr<ControlConnection>& connection) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ended_.push_back(connection);
  if (ended_.size() <= kMostEnded) return;
  const auto oldest = ended_.front().lock();
  ended_.pop_front();
  if (oldest == nullptr) return;
  const auto it = connections_.find(oldest->key());
  if (it != connections_.end() && it->second == oldest) connections_.erase(it);
}

std::shared_ptr<ControlConnection> ControlTable::Find(
    const std::string& key) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto it = connections_.find(key);
  return it == connections_.end() ? nullptr : it->second;
}

void ControlTable::OnCallTakenIn() {
  const int unseen = ++unseen_;
  if (unseen > kMostUnseen && unseen % kPendingStep == 0) {
    ShutDownBusiest(Whom::kBusiest, "too many calls to keep up with");
  }
  const int pending = ++pending_;
  int most = most_pending_;
  if (pending <= most) return;
  // One thread looks.
  if (!most_pending_.compare_exchange_strong(most, pending + kPendingStep)) {
    return;
  }
  ShutDownBusiest(Whom::kBusiest, "too many calls to begin them");
}

void ControlTable::OnCallBegun() {
  if (--pending_ == 0) most_pending_ = kMostPending;
}

void ControlTable::ShutDown(ControlConnection& connection,
                            const std::string& why) {
  if (!connection.ShutDown()) return;
  const int64_t count = ++num_shut_down_;
  if (!MayLog()) return;
  // Who() might block.
  const std::string client =
      connection.is_unix() ? connection.Identity() : connection.Who();
  Log(absl::StrCat("OVERLOADED: the control connection of ", client,
                   " is shut down: ", why, " (", count, " since the start)"));
}

bool ControlTable::MayLog() {
  const auto now = std::chrono::steady_clock::now();
  const std::lock_guard<std::mutex> lock(mutex_);
  if (logged_ && now - *logged_ < std::chrono::seconds(1)) return false;
  logged_ = now;
  return true;
}

void ControlTable::ShutDownBusiest(Whom whom, const std::string& why) {
  const std::vector<Busy> busy = BusyOnes(whom == Whom::kEvenThoseThatCarry);
  for (const Busy& one : busy) {
    if (one.activity < busy.front().activity / kAsBusy) break;
    ShutDown(*one.connection, why);
    if (whom == Whom::kBusiest) break;
  }
}

int64_t ControlTable::num_carrying() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  int64_t sum = 0;
  for (const auto& [key, connection] : connections_) {
    sum += connection->carrying();
  }
  return sum;
}

std::vector<ControlTable::Busy> ControlTable::BusyOnes(
    bool even_those_that_carry) const {
  std::vector<Busy> busy;
  std::vector<Busy> carrying;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [key, connection] : connections_) {
      if (!connection->is_open()) continue;
      const int carried = connection->carried();
      const int64_t activity =
          connection->Activity() - carried * kActivityOfCarrying;
      if (activity < kLeastActivity) continue;
      (carried > 0 ? carrying : busy).push_back({connection, activity});
    }
  }
  if (busy.empty() && even_those_that_carry) busy = std::move(carrying);
  const auto is_busier = [](const Busy& a, const Busy& b) {
    return a.activity > b.activity;
  };
  std::sort(busy.begin(), busy.end(), is_busier);
  return busy;
}

}  // namespace portreeve::server
