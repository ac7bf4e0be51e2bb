#include "server/upgrade/upgrade_sink.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/guarded.h"
#include "server/api/errors.h"
#include "server/api/names.h"
#include "server/handover/handover_records.h"
#include "server/registry/frozen_records.h"
#include "server/state/state_directory.h"
#include "server/state/state_store.h"
#include "server/upgrade/daemon_totals.h"

namespace portreeve::server {
namespace {

using internal::v1::HandoverListener;

// Gives the descriptor that a record of a socket names; a closed one where it
// names none.
template <typename Record>
absl::StatusOr<Descriptor> SocketIn(const Record& record,
                                    std::vector<Descriptor>& descriptors) {
  if (!record.has_listening_descriptor()) return Descriptor();
  return TakeDescriptor(descriptors, record.listening_descriptor());
}

}  // namespace

UpgradeSink::~UpgradeSink() {
  if (serves_ || !frozen_) return;
  Guarded([this] { parts_.sockets.GiveUp(); });
  Guarded([this] { parts_.registry.GiveUp(); });
}

absl::Status UpgradeSink::TakeAccepted(
    const internal::v1::HandoverAccepted& accepted) {
  predecessor_ = accepted;
  auto frozen = parts_.loops.Freeze(
      After(std::chrono::steady_clock::now(), options_.most_freezing));
  if (!frozen.ok()) return frozen.status();
  frozen_.emplace(*std::move(frozen));
  return absl::OkStatus();
}

absl::Status UpgradeSink::TakeCounters(
    const internal::v1::HandoverCounters& counters) {
  if (counters.last_connection_id() < 0) {
    return HandoverDamaged("the ids of connections are none");
  }
  if (auto s = parts_.registry.SetNumbers({counters.last_request_number(),
                                           counters.last_close_number(),
                                           counters.page_key()});
      !s.ok()) {
    return s;
  }
  last_connection_ = counters.last_connection_id();
  options_.set_next_id(last_connection_ + 1);
  totals_ = counters.totals();
  parts_.life.generation = counters.generation() + 1;
  parts_.life.start_time = counters.start_time();
  constexpr std::chrono::hours kLongest{24 * 365 * 100};
  drain_ = std::clamp<Duration>(Duration(counters.drain_nanos()),
                                Duration::zero(), kLongest);
  parts_.life.opened.Restore(
      {counters.opened_listeners().begin(), counters.opened_listeners().end()});
  return absl::OkStatus();
}

absl::Status UpgradeSink::TakeListener(HandoverListener record,
                                       std::vector<Descriptor> descriptors) {
  auto socket = SocketIn(record, descriptors);
  if (!socket.ok()) return socket.status();
  const std::string& uid = record.record().uid();
  if (record.series() == HandoverListener::SERIES_OWN) {
    totals_.mutable_metrics()->add_own_uids(uid);
  } else if (record.series() == HandoverListener::SERIES_FOLDED) {
    totals_.mutable_metrics()->add_folded_uids(uid);
  }
  return parts_.registry.TakeListener(record, *std::move(socket));
}

absl::Status UpgradeSink::TakeControlSocket(
    internal::v1::HandoverControlSocket record,
    std::vector<Descriptor> descriptors) {
  auto descriptor = SocketIn(record, descriptors);
  if (!descriptor.ok()) return descriptor.status();
  if (!descriptor->is_open()) {
    return HandoverDamaged("a socket of the daemon's own is missing");
  }
  auto address = BoundAddressOf(descriptor->get());
  if (!address.ok()) return address.status();
  OwnSocket own;
  own.kind = record.kind();
  own.flag = record.flag();
  own.socket = SocketOf(record, *std::move(address), 0);
  return parts_.sockets.Take(own, *std::move(descriptor));
}

absl::Status UpgradeSink::TakeRequest(internal::v1::HandoverRequest record) {
  return parts_.registry.TakeRequest(record);
}

absl::Status UpgradeSink::TakeConnection(
    internal::v1::HandoverConnection record,
    std::vector<Descriptor> descriptors) {
  const std::string& name = record.connection().name();
  const auto number = ParseConnectionName(name, "name");
  // The next one that is accepted would have it, too.
  if (number.ok() && *number > last_connection_) {
    return HandoverDamaged(
        absl::StrCat(name, ": its number is above the last one"));
  }
  return parts_.registry.TakeConnection(record, std::move(descriptors));
}

absl::Status UpgradeSink::TakeEvents(internal::v1::HandoverEvents record,
                                     Descriptor memfd) {
  if (auto s = parts_.events.Load(memfd); !s.ok()) return s;
  if (parts_.events.last_revision() != record.last_revision()) {
    return HandoverDamaged(absl::StrCat("the last event is ",
                                        parts_.events.last_revision(),
                                        ", and not ", record.last_revision()));
  }
  return absl::OkStatus();
}

absl::Status UpgradeSink::TakeStore(internal::v1::HandoverStore record,
                                    Descriptor lock) {
  auto directory = StateDirectory::Adopt(options_.state, std::move(lock));
  if (!directory.ok()) return directory.status();
  has_state_ = true;
  parts_.life.daemon_id = record.daemon_id();
  return parts_.registry.TakeState({*std::move(directory), record.daemon_id()},
                                   options_.version, options_.on_health);
}

absl::Status UpgradeSink::Check() {
  if (!has_state_ && !options_.state.empty()) {
    return HandoverDamaged("there is no state");
  }
  RestoreTotals(totals_, parts_);
  if (auto s = parts_.sockets.Complete(); !s.ok()) return s;
  return options_.on_complete ? options_.on_complete() : absl::OkStatus();
}

void UpgradeSink::BeginToServe() noexcept {
  serves_ = true;
  Guarded([this] { parts_.registry.Own(); });
  Guarded([this] { parts_.sockets.Own(); });
  Guarded([this] {
    if (options_.on_serve) options_.on_serve(*this);
  });
  frozen_.reset();
}

}  // namespace portreeve::server
