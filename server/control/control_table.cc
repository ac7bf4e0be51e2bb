#include "server/control/control_table.h"

#include <algorithm>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/guarded.h"
#include "lib/base/log.h"

namespace portreeve::server {
namespace {

// After how many more calls the busiest is looked for again while too many are
// pending, or unseen: a connection that is shut down takes a while to end.
constexpr int kPendingStep = 128;

// A client with a half of the busiest one's activity counts as equally busy.
constexpr int64_t kAsBusy = 2;

// What a client that carries connections may have sent for each: a message of
// which a part has come, and windows of HTTP/2.
constexpr int64_t kActivityOfCarrying = FloodPolicy::kBytesOfCarrying;

// What a stream may at least have sent from which no message has come.
constexpr int64_t kOneWindow = 64 << 10;

// How many times as much as others a client must hold, beyond what is expected
// for the connections that it carries, to be ended before them.
constexpr int64_t kFarMore = 16;

}  // namespace

void ControlTable::Add(std::shared_ptr<ControlConnection> connection) {
  const MutexLock lock(mutex_);
  connections_[connection->key()] = std::move(connection);
}

void ControlTable::OnEnded(
    const std::shared_ptr<ControlConnection>& connection) {
  const MutexLock lock(mutex_);
  std::shared_ptr<ControlConnection> oldest;
  try {
    ended_.push_back(connection);
    if (ended_.size() <= kMostEnded) return;
    oldest = ended_.front().lock();
    ended_.pop_front();
  } catch (const std::bad_alloc&) {
    oldest = connection;
  }
  if (oldest == nullptr) return;
  const auto it = connections_.find(oldest->key());
  if (it != connections_.end() && it->second == oldest) connections_.erase(it);
}

std::shared_ptr<ControlConnection> ControlTable::Find(
    const std::string& key) const {
  const MutexLock lock(mutex_);
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
  // Only one thread looks.
  if (!most_pending_.compare_exchange_strong(most, pending + kPendingStep)) {
    return;
  }
  ShutDownBusiest(Whom::kBusiest, "too many calls to begin them");
}

void ControlTable::OnCallBegun() {
  if (--pending_ == 0) most_pending_ = kMostPending;
}

void ControlTable::ShutDown(ControlConnection& connection, const char* why) {
  if (!connection.ShutDown()) return;
  const int64_t count = ++num_shut_down_;
  if (!MayLog()) return;
  // The others that are to be ended are ended without memory for this, too.
  Guarded([&] {
    // Who() might block for a unix socket.
    const std::string client =
        connection.is_unix() ? connection.Identity() : connection.Who();
    Log(LogLevel::kWarning,
        absl::StrCat("OVERLOADED: the control connection of ", client,
                     " is shut down: ", why, " (", count, " since the start)"));
  });
}

bool ControlTable::MayLog() {
  const auto now = std::chrono::steady_clock::now();
  const MutexLock lock(mutex_);
  if (logged_ && now - *logged_ < std::chrono::seconds(1)) return false;
  logged_ = now;
  return true;
}

bool ControlTable::IsBusier(const Busy& a, const Busy& b) {
  return a.activity > b.activity;
}

std::vector<ControlTable::Busy> ControlTable::Found(Whom whom) const {
  switch (whom) {
    case Whom::kBusiest:
    case Whom::kAllAsBusy:
      return BusyOnes(kOneWindow);
    case Whom::kAllBeyondCredit:
      return BusyOnes(kActivityOfCarrying);
    case Whom::kWhoSendsMuch:
      return SendingOnes();
    case Whom::kEvenThoseThatCarry:
      return HoldingOnes();
  }
  return {};
}

void ControlTable::ShutDownBusiest(Whom whom, const char* why) {
  const std::vector<Busy> busy = Found(whom);
  for (const Busy& one : busy) {
    if (one.activity < busy.front().activity / kAsBusy) break;
    ShutDown(*one.connection, why);
    if (whom == Whom::kBusiest) break;
  }
}

int64_t ControlTable::num_carrying() const {
  const MutexLock lock(mutex_);
  int64_t carrying = 0;
  int64_t coming = 0;
  int64_t expected = 0;
  for (const auto& [key, connection] : connections_) {
    const int carried = connection->carrying();
    carrying += carried;
    coming += connection->carrying_soon() - carried;
    expected = std::max<int64_t>(expected, connection->expected());
  }
  // Each of them comes once, whoever asks for it.
  return carrying + std::min(coming, expected);
}

std::vector<std::shared_ptr<ControlConnection>> ControlTable::OpenOnes() const {
  std::vector<std::shared_ptr<ControlConnection>> open;
  const MutexLock lock(mutex_);
  for (const auto& [key, connection] : connections_) {
    if (connection->is_open()) open.push_back(connection);
  }
  return open;
}

std::vector<ControlTable::Busy> ControlTable::BusyOnes(
    int64_t of_carrying) const {
  const TimePoint now = clock_();
  std::vector<Busy> busy;
  std::vector<Busy> carrying;
  for (const auto& connection : OpenOnes()) {
    const int carried = connection->Carried(now);
    if (carried == 0) {
      const int64_t activity = connection->Activity(now);
      if (activity >= kLeastActivity) busy.push_back({connection, activity});
      continue;
    }
    const int64_t more = connection->SentOfLate(now) - carried * of_carrying;
    if (more >= kLeastOfCarrying) carrying.push_back({connection, more});
  }
  if (busy.empty()) busy = std::move(carrying);
  std::sort(busy.begin(), busy.end(), &IsBusier);
  return busy;
}

std::vector<ControlTable::Busy> ControlTable::SendingOnes() const {
  const TimePoint now = clock_();
  std::vector<Busy> sending;
  for (const auto& connection : OpenOnes()) {
    const int64_t more = connection->SentOfLate(now) -
                         connection->Carried(now) * kActivityOfCarrying;
    if (more >= kMuch) sending.push_back({connection, more});
  }
  std::sort(sending.begin(), sending.end(), &IsBusier);
  return sending;
}

std::vector<ControlTable::Busy> ControlTable::HoldingOnes() const {
  const TimePoint now = clock_();
  std::vector<Busy> holding;
  std::vector<Busy> carrying;
  std::vector<Busy> in_all;
  for (const auto& connection : OpenOnes()) {
    const int64_t held =
        std::max(connection->Held(now), connection->Unexplained());
    const int64_t expected = connection->Carried(now) * kActivityOfCarrying;
    if (held - expected >= kLeastHeld) {
      (expected > 0 ? carrying : holding)
          .push_back({connection, held - expected});
    }
    if (held >= kLeastHeld) in_all.push_back({connection, held});
  }
  for (auto* each : {&holding, &carrying, &in_all}) {
    std::sort(each->begin(), each->end(), &IsBusier);
  }
  const bool is_carrier =
      !carrying.empty() &&
      (holding.empty() ||
       carrying.front().activity > kFarMore * holding.front().activity);
  if (is_carrier) return carrying;
  return holding.empty() ? in_all : holding;
}

}  // namespace portreeve::server
