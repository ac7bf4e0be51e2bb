#include "server/registry/moved_records.h"

#include <chrono>
#include <optional>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "server/api/convert.h"
#include "server/api/errors.h"
#include "server/registry/frozen_records.h"

namespace portreeve::server {
namespace {

// How many ages of what waits are told.
constexpr size_t kMostAges = 500;

using internal::v1::HandoverConnection;
using internal::v1::HandoverFlow;
using internal::v1::HandoverMoved;

void Put(const FrozenFlow& flow, HandoverFlow& record) {
  const FrozenPump& pump = flow.pump;
  record.set_blocked(flow.blocked);
  record.set_ended(flow.ended);
  record.set_shut(flow.shut);
  record.set_received(pump.received);
  record.set_copy(pump.copy);
  record.set_in_pipe(pump.in_pipe);
  if (pump.held_since) record.set_held_since_nanos(NanosOf(*pump.held_since));
  record.set_readable(pump.readable);
  record.set_hung_up(pump.hung_up);
  record.set_source_failed(pump.source_failed);
  record.set_met_eof(pump.met_eof);
  record.set_bulk(pump.bulk);
  record.set_looks_later(pump.looks_later);
  record.set_splices(pump.splices);
  record.set_short_reads_are_all(pump.short_reads_are_all);
  record.set_target_failed(pump.target_failed);
  record.set_has_sent(pump.has_sent);
  record.set_no_delay(pump.no_delay);
  record.set_out_of_memory(pump.out_of_memory);
}

FrozenFlow FlowOf(const HandoverFlow& record) {
  FrozenFlow flow;
  flow.blocked = record.blocked();
  flow.ended = record.ended();
  flow.shut = record.shut();
  FrozenPump& pump = flow.pump;
  pump.received = record.received();
  pump.copy = record.copy();
  pump.in_pipe = record.in_pipe();
  if (record.has_held_since_nanos()) {
    pump.held_since = TimeOfNanos(record.held_since_nanos());
  }
  pump.readable = record.readable();
  pump.hung_up = record.hung_up();
  pump.source_failed = record.source_failed();
  pump.met_eof = record.met_eof();
  pump.bulk = record.bulk();
  pump.looks_later = record.looks_later();
  pump.splices = record.splices();
  pump.short_reads_are_all = record.short_reads_are_all();
  pump.target_failed = record.target_failed();
  pump.has_sent = record.has_sent();
  pump.no_delay = record.no_delay();
  pump.out_of_memory = record.out_of_memory();
  return flow;
}

// Both kinds of record have such a limit.
template <typename Record>
void PutAgeLimit(const BufferAgeLimit& limit, Record& record) {
  if (limit.at_most()) {
    record.set_buffer_age_limit_nanos(limit.at_most()->count());
  }
}
template <typename Record>
BufferAgeLimit AgeLimitOf(const Record& record) {
  if (!record.has_buffer_age_limit_nanos()) return BufferAgeLimit::Unlimited();
  return BufferAgeLimit::AtMost(
      std::chrono::nanoseconds(record.buffer_age_limit_nanos()));
}

// Whether no number of it is one that there cannot be.
bool IsPossible(const v1::Connection& connection, const HandoverMoved& moved) {
  const internal::v1::HandoverUpstream& upstream = moved.upstream();
  const internal::v1::HandoverConnecting& connecting = upstream.connecting();
  return connection.bytes_received() >= 0 && connection.bytes_sent() >= 0 &&
         connection.bytes_to_write() >= 0 &&
         moved.buffer_age_limit_nanos() >= 0 &&
         upstream.buffer_age_limit_nanos() >= 0 &&
         upstream.connect_nanos() >= 0 && connecting.connect_by_nanos() >= 0 &&
         connecting.connect_timeout_nanos() >= 0;
}

absl::StatusOr<FrozenForward> ForwardOf(const HandoverMoved& moved) {
  if (moved.flows_size() != 2 || !moved.has_upstream()) {
    return HandoverDamaged("a forward connection lacks a part");
  }
  FrozenForward forward;
  forward.to_upstream = FlowOf(moved.flows(0));
  forward.to_client = FlowOf(moved.flows(1));
  const internal::v1::HandoverUpstream& upstream = moved.upstream();
  forward.is_unix = upstream.is_unix();
  forward.upstream_age_limit = AgeLimitOf(upstream);
  forward.keepalive_is_due = upstream.keepalive_is_due();
  if (upstream.has_connect_nanos()) {
    forward.connect_time = std::chrono::nanoseconds(upstream.connect_nanos());
  }
  if (upstream.has_connecting()) {
    const internal::v1::HandoverConnecting& connecting = upstream.connecting();
    forward.connecting = FrozenConnecting{
        TimeOfNanos(connecting.connect_by_nanos()), connecting.has_socket(),
        connecting.upstream(),
        std::chrono::nanoseconds(connecting.connect_timeout_nanos())};
  }
  return forward;
}

}  // namespace

bool PutMoved(const FrozenConnection& frozen, HandoverConnection& record) {
  size_t held = 0;
  for (const FrozenFlow* flow : FlowsOf(frozen)) held += flow->pump.copy.size();
  if (held > kMostMovedBytes) return false;
  HandoverMoved& moved = *record.mutable_moved();
  PutAgeLimit(frozen.direct.buffer_age_limit, moved);
  moved.set_sets_no_delay(frozen.direct.sets_no_delay);
  moved.set_watches_writable(frozen.direct.watches_writable);
  if (frozen.direct.force_close_at) {
    moved.set_force_close_at_nanos(NanosOf(*frozen.direct.force_close_at));
  }
  for (const FrozenFlow* flow : FlowsOf(frozen)) {
    Put(*flow, *moved.add_flows());
  }
  if (std::holds_alternative<FrozenEcho>(frozen.handler)) {
    record.set_handler(HandoverConnection::HANDLER_ECHO);
  } else if (const auto* d = std::get_if<FrozenDiscard>(&frozen.handler)) {
    record.set_handler(HandoverConnection::HANDLER_DISCARD);
    moved.set_reads_to_the_end(d->reads_to_the_end);
  } else {
    record.set_handler(HandoverConnection::HANDLER_FORWARD);
    const auto& forward = std::get<FrozenForward>(frozen.handler);
    internal::v1::HandoverUpstream& upstream = *moved.mutable_upstream();
    upstream.set_is_unix(forward.is_unix);
    PutAgeLimit(forward.upstream_age_limit, upstream);
    upstream.set_keepalive_is_due(forward.keepalive_is_due);
    if (forward.connect_time) {
      upstream.set_connect_nanos(forward.connect_time->count());
    }
    if (forward.connecting) {
      auto& connecting = *upstream.mutable_connecting();
      connecting.set_connect_by_nanos(NanosOf(forward.connecting->connect_by));
      connecting.set_has_socket(forward.connecting->has_socket);
      connecting.set_upstream(forward.connecting->upstream);
      connecting.set_connect_timeout_nanos(
          forward.connecting->connect_timeout.count());
    }
  }
  return true;
}

absl::StatusOr<FrozenConnection> MovedOf(const HandoverConnection& record,
                                         int64_t id, AnyAddress peer,
                                         AnyAddress local) {
  const v1::Connection& connection = record.connection();
  const HandoverMoved& moved = record.moved();
  if (!IsPossible(connection, moved)) {
    return HandoverDamaged("a number of a connection that moves is none");
  }
  FrozenConnection frozen;
  FrozenDirect& direct = frozen.direct;
  direct.id = id;
  direct.peer = std::move(peer);
  direct.local = std::move(local);
  direct.buffer_age_limit = AgeLimitOf(moved);
  direct.sets_no_delay = moved.sets_no_delay();
  direct.bytes_received = connection.bytes_received();
  direct.bytes_sent = connection.bytes_sent();
  direct.bytes_to_write = static_cast<size_t>(connection.bytes_to_write());
  direct.reason = FromProto(connection.close_reason());
  direct.watches_writable = moved.watches_writable();
  if (moved.has_force_close_at_nanos()) {
    direct.force_close_at = TimeOfNanos(moved.force_close_at_nanos());
  }
  switch (record.handler()) {
    case HandoverConnection::HANDLER_ECHO:
      if (moved.flows_size() != 1) {
        return HandoverDamaged("an echo connection lacks a part");
      }
      frozen.handler = FrozenEcho{FlowOf(moved.flows(0))};
      return frozen;
    case HandoverConnection::HANDLER_DISCARD:
      frozen.handler = FrozenDiscard{moved.reads_to_the_end()};
      return frozen;
    case HandoverConnection::HANDLER_FORWARD: {
      auto forward = ForwardOf(moved);
      if (!forward.ok()) return forward.status();
      frozen.handler = *std::move(forward);
      return frozen;
    }
    default:
      return HandoverDamaged("a connection moves that has no such handler");
  }
}

internal::v1::HandoverMovedOn MovedOnOf(int64_t id,
                                        const FrozenStream& frozen) {
  internal::v1::HandoverMovedOn record;
  record.set_id(id);
  record.set_bytes_received(frozen.bytes_received);
  record.set_bytes_sent(frozen.bytes_sent);
  record.set_close_reason(ToProto(frozen.reason));
  // As many as a message takes; of more every second one is left out, so that
  // no byte is taken for older than it is.
  std::vector<FrozenWriter::Age> ages = frozen.writer.ages;
  while (ages.size() > kMostAges) {
    const bool is_odd = ages.size() % 2 == 1;
    for (size_t i = 0; i < ages.size() / 2; ++i) ages[i] = ages[2 * i + 1];
    if (is_odd) ages[ages.size() / 2] = ages.back();
    ages.resize((ages.size() + 1) / 2);
  }
  for (const FrozenWriter::Age& age : ages) {
    auto& part = *record.add_ages();
    part.set_end(age.end);
    part.set_written_nanos(NanosOf(age.written));
  }
  record.set_half_closed(frozen.writer.half_closed);
  if (const auto& limit = frozen.buffer_age_limit.at_most()) {
    record.set_buffer_age_limit_nanos(limit->count());
  }
  return record;
}

FrozenStream StreamOf(const internal::v1::HandoverMovedOn& record,
                      std::string to_write) {
  FrozenStream frozen;
  frozen.bytes_received = record.bytes_received();
  frozen.bytes_sent = record.bytes_sent();
  frozen.reason = FromProto(record.close_reason());
  frozen.buffer_age_limit =
      record.has_buffer_age_limit_nanos()
          ? BufferAgeLimit::AtMost(Duration(record.buffer_age_limit_nanos()))
          : BufferAgeLimit::Unlimited();
  frozen.writer.to_write = std::move(to_write);
  for (const auto& part : record.ages()) {
    frozen.writer.ages.push_back(
        {part.end(), TimeOfNanos(part.written_nanos())});
  }
  frozen.writer.half_closed = record.half_closed();
  return frozen;
}

}  // namespace portreeve::server
