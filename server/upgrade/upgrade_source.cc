#include "server/upgrade/upgrade_source.h"

#include <future>
#include <memory>
#include <utility>

#include "lib/base/guarded.h"
#include "lib/net/any_connection.h"
#include "server/api/convert.h"
#include "server/api/timestamp.h"
#include "server/handover/predecessor_policy.h"
#include "server/registry/frozen_records.h"
#include "server/upgrade/daemon_totals.h"

namespace portreeve::server {

using internal::v1::HandoverConnection;
using internal::v1::HandoverControlSocket;
using internal::v1::HandoverCounters;
using internal::v1::HandoverListener;
using internal::v1::HandoverRequest;
using internal::v1::HandoverStore;

void UpgradeSource::OnHello(const internal::v1::HandoverHello& hello) {
  takes_connections_ =
      hello.max_version() >= kFirstVersionThatMoves && options_.may_move;
}

int64_t UpgradeSource::CountDescriptors() {
  // The events and the lock of the state, and sockets of the daemon's own.
  constexpr int64_t kOthers = 32;
  const auto count = [this] {
    return static_cast<int64_t>(parts_.registry.num_wanted()) +
           parts_.registry.num_connection_descriptors();
  };
  return parts_.loop.Run(count).get() + kOthers;
}

absl::Status UpgradeSource::Freeze(TimePoint deadline) {
  suspended_ = true;
  if (auto s = Suspend(deadline); !s.ok()) return s;
  auto frozen = parts_.loops.Freeze(deadline);
  if (!frozen.ok()) return frozen.status();
  frozen_.emplace(*std::move(frozen));
  sockets_ = parts_.sockets.Freeze();
  requests_ = parts_.registry.FreezeRequests();
  next_listener_ = parts_.registry.listeners().begin();
  next_connection_ = parts_.registry.connections().entries().begin();
  return absl::OkStatus();
}

absl::Status UpgradeSource::Suspend(TimePoint deadline) {
  // Both have it, since it may come too late.
  const auto done = std::make_shared<std::promise<absl::Status>>();
  std::future<absl::Status> suspended = done->get_future();
  parts_.loop.Post([&registry = parts_.registry, done] {
    registry.Suspend([done](const absl::Status& s) { done->set_value(s); });
  });
  if (suspended.wait_until(deadline) != std::future_status::ready) {
    return absl::DeadlineExceededError("the state does not come to rest");
  }
  return suspended.get();
}

absl::StatusOr<HandoverCounters> UpgradeSource::Counters() {
  HandoverCounters counters;
  counters.set_instance_id(parts_.events.instance_id());
  counters.set_generation(parts_.life.generation);
  counters.set_last_connection_id(AnyConnection::NextId() - 1);
  const Registry::Numbers numbers = parts_.registry.numbers();
  counters.set_last_request_number(numbers.last_request);
  counters.set_last_close_number(numbers.last_closed);
  counters.set_page_key(numbers.page_key);
  *counters.mutable_start_time() = parts_.life.start_time;
  counters.set_drain_nanos(options_.drain.count());
  const std::vector<uint64_t> opened = parts_.life.opened.Save();
  counters.mutable_opened_listeners()->Add(opened.begin(), opened.end());
  internal::v1::DaemonTotals& totals = *counters.mutable_totals();
  totals = SaveTotals(parts_);
  // There may be more of these than one message takes.
  for (const std::string& uid : totals.metrics().own_uids()) {
    series_[uid] = HandoverListener::SERIES_OWN;
  }
  for (const std::string& uid : totals.metrics().folded_uids()) {
    series_[uid] = HandoverListener::SERIES_FOLDED;
  }
  if (totals.has_metrics()) {
    totals.mutable_metrics()->clear_own_uids();
    totals.mutable_metrics()->clear_folded_uids();
  }
  return counters;
}

absl::StatusOr<std::optional<SourceRecord<HandoverListener>>>
UpgradeSource::NextListener() {
  if (next_listener_ == parts_.registry.listeners().end()) return std::nullopt;
  const ListenerResource& listener = *(next_listener_++)->second;
  SourceRecord<HandoverListener> next;
  next.record = parts_.registry.Freeze(listener);
  if (const auto found = series_.find(listener.uid()); found != series_.end()) {
    next.record.set_series(found->second);
  }
  if (next.record.has_listening_descriptor()) {
    next.descriptors.push_back(listener.listening_descriptor());
  }
  return next;
}

absl::StatusOr<std::optional<SourceRecord<HandoverControlSocket>>>
UpgradeSource::NextControlSocket() {
  if (next_socket_ == sockets_.size()) return std::nullopt;
  const OwnSocket& own = sockets_[next_socket_++];
  SourceRecord<HandoverControlSocket> next;
  next.record.set_kind(own.kind);
  next.record.set_flag(own.flag);
  *next.record.mutable_address() = ToProto(own.socket.address);
  PutSocket(own.socket, next.record);
  next.descriptors.push_back(own.socket.descriptor);
  return next;
}

absl::StatusOr<std::optional<SourceRecord<HandoverRequest>>>
UpgradeSource::NextRequest() {
  if (next_request_ == requests_.size()) return std::nullopt;
  SourceRecord<HandoverRequest> next;
  next.record = std::move(requests_[next_request_++]);
  return next;
}

absl::StatusOr<std::optional<SourceRecord<HandoverConnection>>>
UpgradeSource::NextConnection() {
  const auto& entries = parts_.registry.connections().entries();
  while (next_connection_ != entries.end()) {
    auto frozen = parts_.registry.Freeze(*(next_connection_++)->second,
                                         takes_connections_);
    if (!frozen) continue;
    if (frozen->moving) {
      moving_.push_back(*std::move(frozen->moving));
      ++num_moving_;
    } else {
      ++num_held_;
    }
    SourceRecord<HandoverConnection> next;
    next.record = std::move(frozen->record);
    next.descriptors = std::move(frozen->descriptors);
    return next;
  }
  return std::nullopt;
}

absl::StatusOr<HandoverSource::Events> UpgradeSource::TakeEvents() {
  const EventLog& log = parts_.events;
  auto file = log.Save();
  if (!file.ok()) return file.status();
  Events events;
  events.record.set_first_revision(log.first_revision());
  events.record.set_last_revision(log.last_revision());
  for (int kind = 1; kind < v1::EventKind_ARRAYSIZE; ++kind) {
    const int64_t total = log.total(static_cast<v1::EventKind>(kind));
    if (total > 0) (*events.record.mutable_totals())[kind] = total;
  }
  events.memfd = *std::move(file);
  return events;
}

absl::StatusOr<std::optional<SourceRecord<HandoverStore>>>
UpgradeSource::Store() {
  const int lock = parts_.registry.state_lock();
  if (lock < 0) return std::nullopt;
  SourceRecord<HandoverStore> store;
  if (options_.state) *store.record.mutable_directory() = *options_.state;
  store.record.set_daemon_id(parts_.life.daemon_id);
  store.descriptors.push_back(lock);
  return store;
}

void UpgradeSource::Thaw(HandoverStep, const std::string&) noexcept {
  moving_.clear();  // Before the loops run, to which they belong.
  if (std::exchange(suspended_, false)) {
    Guarded([this] {
      if (frozen_) {
        parts_.registry.Resume();
      } else {
        parts_.loop.Post([&registry = parts_.registry] { registry.Resume(); });
      }
    });
  }
  frozen_.reset();
}

void UpgradeSource::HandedOver() noexcept {
  Guarded([this] { parts_.sockets.HandOver(); });
  Guarded([this] { parts_.registry.HandOver(options_.successor); });
  // Whatever fails, none of these may be read here any more.
  for (const Registry::Moving& moved : moving_) parts_.registry.LetGo(moved);
  moving_.clear();
  Guarded([this] {
    if (options_.on_handed_over) options_.on_handed_over();
  });
  Guarded([this] {
    parts_.loop.Post(
        [&registry = parts_.registry] { registry.FinishHandOver(); });
  });
  frozen_.reset();
}

}  // namespace portreeve::server
