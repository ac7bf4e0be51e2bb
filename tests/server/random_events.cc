#include "tests/server/random_events.h"

#include <algorithm>
#include <array>
#include <set>

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "portreeve/v1/event.pb.h"
#include "server/api/connection_failure.h"
#include "server/events/close_counts.h"
#include "server/events/connection_record.h"
#include "server/events/listener_record.h"

namespace portreeve::testing {
namespace {

using server::ConnectionFailure;
using server::ConnectionRecord;
using server::EventLog;
using server::SharedName;

AnyAddress Tcp(const std::string& address, uint16_t port) {
  return Inet::Address(asio::ip::make_address(address), port);
}

}  // namespace

RandomEvents::RandomEvents(uint32_t seed, int num_listeners)
    : random_(seed),
      addresses_{Tcp("127.0.0.1", 80),
                 Tcp("203.0.113.255", 65'535),
                 Tcp("::1", 1),
                 Tcp("fe80::1%7", 4711),
                 Unix::Address(),
                 Unix::Address("/run/x.sock"),
                 Unix::Address(std::string("\0abstract", 9)),
                 Unix::Address(std::string(kMaxUnixPathBytes, 'u'))} {
  for (int i = 0; i < num_listeners; ++i) {
    names_.push_back(
        std::make_shared<const std::string>(absl::StrCat("listeners/", i)));
  }
}

int RandomEvents::Below(int bound) {
  return static_cast<int>(random_() % static_cast<unsigned>(bound));
}

int64_t RandomEvents::Number() {
  constexpr std::array<int64_t, 4> kNumbers = {0, 1, 300, int64_t{1} << 50};
  return kNumbers[static_cast<size_t>(Below(4))];
}

SharedName RandomEvents::Name() {
  const int i = Below(static_cast<int>(names_.size()) + 1);
  return i == 0 ? nullptr : names_[static_cast<size_t>(i - 1)];
}

const AnyAddress* RandomEvents::Address() {
  const int i = Below(static_cast<int>(addresses_.size()) + 1);
  return i == 0 ? nullptr : &addresses_[static_cast<size_t>(i - 1)];
}

void RandomEvents::Append(EventLog& log) {
  switch (Below(5)) {
    case 0:
      return AppendMessage(log);
    case 1:
      return AppendListener(log);
    default:
      return AppendConnection(log);
  }
}

void RandomEvents::AppendMessage(EventLog& log) {
  // Any kind of Event, though no log has those that are made for a watcher.
  const auto* const kinds = v1::Event::descriptor()->FindOneofByName("kind");
  v1::Event event;
  event.GetReflection()->MutableMessage(
      &event, kinds->field(Below(kinds->field_count())));
  if (event.has_gap()) event.mutable_limit_reached();
  if (event.has_handler_error()) {
    event.mutable_handler_error()->set_message(
        std::string(static_cast<size_t>(Below(600)), 'e'));
  }
  const SharedName name = Name();
  log.Append(std::move(event), name ? *name : "");
}

void RandomEvents::AppendListener(EventLog& log) {
  server::CloseCounts closes;
  closes.Count(v1::CLOSE_REASON_FORCED);
  const SharedName name =
      names_[static_cast<size_t>(Below(static_cast<int>(names_.size())))];
  server::ListenerRecord record;
  record.name = *name;
  record.uid = "a-uid";
  record.spec = "";
  record.state = v1::LISTENER_STATE_LISTENING;
  record.accepted_total = Number();
  record.create_time = 1'700'000'000'000'000'000;
  record.closes = &closes;
  log.AppendListener(Below(2) == 0 ? v1::EVENT_KIND_LISTENER_CREATED
                                   : v1::EVENT_KIND_LISTENER_DELETED,
                     record, name);
}

void RandomEvents::AppendConnection(EventLog& log) {
  constexpr std::array<v1::EventKind, 3> kKinds = {
      v1::EVENT_KIND_CONNECTION_ACCEPTED, v1::EVENT_KIND_CONNECTION_CLOSED,
      v1::EVENT_KIND_CONNECTION_DROPPED};
  const ConnectionFailure failure{
      static_cast<Reason>(Below(static_cast<int>(Reason::kOther) + 1)),
      std::string(static_cast<size_t>(Below(100)), 'f'), Below(200)};
  ConnectionRecord record;
  record.id = 1 + Below(1'000'000);
  record.direction = v1::DIRECTION_INBOUND;
  record.state = v1::CONNECTION_STATE_CLOSED;
  record.close_reason = v1::CLOSE_REASON_PEER_CLOSED;
  record.peer = Address();
  record.local = Address();
  record.upstream = Address();
  record.bytes_received = Number();
  record.bytes_sent = Number();
  record.bytes_to_write = Number();
  record.create_time = 1'700'000'000'000'000'000 + Below(1'000'000);
  record.close_time = Below(2) == 0 ? 0 : record.create_time + Below(1'000);
  record.failure = Below(4) == 0 ? &failure : nullptr;
  log.AppendConnection(kKinds[static_cast<size_t>(Below(3))], record, Name());
}

std::string AllOf(const EventLog& log, const std::vector<SharedName>& names) {
  std::string all =
      absl::StrCat(log.instance_id(), " ", log.first_revision(), " to ",
                   log.last_revision(), " of ", log.capacity(), "\n");
  for (int kind = 0; kind < v1::EventKind_ARRAYSIZE; ++kind) {
    absl::StrAppend(&all, log.total(static_cast<v1::EventKind>(kind)), " ");
  }
  for (int64_t i = log.first_revision(); i <= log.last_revision(); ++i) {
    const server::EventRing::Entry entry = log.at(i);
    absl::StrAppend(&all, "\n", int{entry.kind}, " ",
                    static_cast<int>(entry.form), " ", entry.listener_name,
                    " ");
    all.append(entry.bytes.data(), entry.bytes.size());
    log.AppendTo(all, i);
  }
  std::vector<std::set<std::string>> filters = {{}, {"listeners/nobody's"}};
  for (const SharedName& name : names) filters.push_back({*name});
  all += "\n";
  const int64_t first = log.first_revision();
  for (const auto& listeners : filters) {
    for (int kind = 0; kind <= v1::EventKind_ARRAYSIZE; ++kind) {
      server::EventKinds kinds;  // The last time there are none, which is all.
      if (kind < v1::EventKind_ARRAYSIZE) kinds.set(static_cast<size_t>(kind));
      for (int64_t i = 1; i <= first;
           i += std::max<int64_t>(1, (first - i) / 3)) {
        all += log.HasLost(i, listeners, kinds) ? '1' : '0';
      }
    }
  }
  return all;
}

}  // namespace portreeve::testing
