#include "client/cli/describe_text.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/connection_hints.h"
#include "client/cli/event_text.h"
#include "client/cli/format.h"
#include "client/cli/listener_hints.h"
#include "client/cli/printable.h"

namespace portreeve::cli {
namespace {

using Rows = std::vector<std::pair<std::string, std::string>>;

void Append(const std::string& title, const Rows& rows, std::string& text) {
  absl::StrAppend(&text, title, "\n");
  size_t width = 0;
  for (const auto& [key, value] : rows) width = std::max(width, key.size());
  for (const auto& [key, value] : rows) {
    absl::StrAppend(&text, "  ", key, std::string(width - key.size() + 2, ' '),
                    Printable(value), "\n");
  }
}

// A value that the listener would have anyway.
std::string OrDefault(const std::string& value, const std::string& by_default) {
  return value == by_default ? absl::StrCat(value, " (default)") : value;
}

std::string TimeOrDash(bool is_set, const google::protobuf::Timestamp& time) {
  return is_set ? TimeText(time) : "-";
}

Rows SpecRows(const v1::ListenerSpec& spec) {
  Rows rows = {
      {"handler", HandlerText(spec.handler())},
      {"max connections",
       OrDefault(absl::StrCat(spec.max_connections()), "10000")},
      {"max pending connections",
       OrDefault(absl::StrCat(spec.max_pending_connections()), "4096")},
      {"max accepts per batch",
       OrDefault(absl::StrCat(spec.max_accepts_per_batch()), "1")},
      {"buffer age limit",
       OrDefault(BufferAgeLimitText(spec.buffer_age_limit()), "2m")},
      {"on handler error",
       OrDefault(EnumText(spec.on_handler_error()), "RAISE")},
      {"drop incoming connections",
       OrDefault(spec.drop_incoming_connections() ? "yes" : "no", "no")},
      {"access log", AccessLogText(spec.access_log())},
      {"labels", LabelsText(spec)}};
  if (spec.handler().has_forward()) {
    rows.insert(
        rows.begin() + 1,
        {"connect timeout",
         OrDefault(DurationText(spec.handler().forward().connect_timeout()),
                   "30s")});
  } else if (spec.handler().has_remote()) {
    rows.insert(
        rows.begin() + 1,
        {"claim timeout",
         OrDefault(DurationText(spec.handler().remote().claim_timeout()),
                   "10s")});
  }
  return rows;
}

std::string BacklogText(const v1::ListenerStatus& status) {
  if (status.effective_backlog() == 0) return "-";
  return absl::StrCat(
      HasBacklog(status) ? absl::StrCat(status.backlog_connections()) : "-",
      " of at most ", status.effective_backlog());
}

Rows StatusRows(const v1::Listener& listener) {
  const v1::ListenerStatus& status = listener.status();
  Rows rows = {
      {"state", StateText(status)},
      {"listening on", ListeningText(listener)},
      {"source", EnumText(status.source())},
      {"created", TimeOrDash(status.has_create_time(), status.create_time())},
      {"opened", TimeOrDash(status.has_opened_time(), status.opened_time())},
      {"connections", absl::StrCat(status.num_connections(), " of at most ",
                                   listener.spec().max_connections())},
      {"waiting to be accepted", BacklogText(status)},
      {"accepted", absl::StrCat(status.accepted_total())},
      {"dropped", absl::StrCat(status.dropped_total())},
      {"handler errors", absl::StrCat(status.handler_errors_total())},
      {"bytes received", absl::StrCat(status.bytes_received_total())},
      {"bytes sent", absl::StrCat(status.bytes_sent_total())}};
  if (listener.spec().handler().has_remote()) {
    rows.push_back({"clients that serve it", absl::StrCat(status.workers())});
  }
  if (status.has_close_time()) {
    rows.push_back({"closed", TimeText(status.close_time())});
  }
  return rows;
}

Rows CloseRows(const v1::ListenerStatus& status) {
  const std::map<std::string, int64_t> sorted(status.closed_by_reason().begin(),
                                              status.closed_by_reason().end());
  Rows rows;
  for (const auto& [reason, count] : sorted) {
    rows.push_back({Printable(reason), absl::StrCat(count)});
  }
  return rows;
}

std::string WithAge(const google::protobuf::Timestamp& time, absl::Time now) {
  return absl::StrCat(TimeText(time), " (", AgoText(time, now), ")");
}

// The listener, and what it does with connections.
std::string ListenerText(const v1::Connection& connection,
                         const v1::Listener* listener) {
  if (connection.listener().empty()) return "-";
  if (listener == nullptr) {
    return absl::StrCat(connection.listener(), " (deleted)");
  }
  return absl::StrCat(connection.listener(), " (",
                      HandlerText(listener->spec().handler()), ")");
}

Rows ConnectionRows(const v1::Connection& connection,
                    const v1::Listener* listener, absl::Time now) {
  Rows rows = {{"state", EnumText(connection.state())},
               {"direction", EnumText(connection.direction())},
               {"listener", ListenerText(connection, listener)},
               {"peer", AddressText(connection.peer())},
               {"local", AddressText(connection.local())},
               {"upstream", AddressText(connection.upstream())},
               {"created", connection.has_create_time()
                               ? WithAge(connection.create_time(), now)
                               : "-"},
               {"bytes received", absl::StrCat(connection.bytes_received())},
               {"bytes sent", absl::StrCat(connection.bytes_sent())},
               {"bytes to write", absl::StrCat(connection.bytes_to_write())}};
  if (connection.has_failure()) {
    rows.push_back({"failure", FailureText(connection)});
  }
  if (connection.close_reason() != v1::CLOSE_REASON_UNSPECIFIED) {
    rows.push_back({"close reason", EnumText(connection.close_reason())});
  }
  if (connection.has_close_time()) {
    rows.push_back({"closed", WithAge(connection.close_time(), now)});
  }
  return rows;
}

Rows TcpRows(const v1::TcpInfo& tcp) {
  return {
      {"state", tcp.state()},
      {"round trip", absl::StrCat(DurationText(tcp.rtt()), ", varies by ",
                                  DurationText(tcp.rtt_variation()))},
      {"retransmits", absl::StrCat(tcp.retransmits_total(), " (",
                                   tcp.retransmits(), " on the way now)")},
      {"congestion window",
       absl::StrCat(CountText(tcp.congestion_window(), "segment"), " of ",
                    CountText(tcp.segment_size(), "byte"))},
      {"unsent", CountText(tcp.unsent_bytes(), "byte")},
      {"unacknowledged", CountText(tcp.unacknowledged_segments(), "segment")},
      {"acknowledged", CountText(tcp.acknowledged_bytes(), "byte")},
      {"received", CountText(tcp.received_bytes(), "byte")},
      {"last sent", absl::StrCat(DurationText(tcp.since_sent()), " ago")},
      {"last received",
       absl::StrCat(DurationText(tcp.since_received()), " ago")}};
}

void AppendTitle(const std::string& name, const std::vector<std::string>& hints,
                 std::string& text) {
  absl::StrAppend(&text, Printable(name), "\n");
  for (const std::string& hint : hints) {
    absl::StrAppend(&text, "  ! ", hint, "\n");
  }
}

void AppendEvents(const std::vector<v1::Event>& events, std::string& text) {
  absl::StrAppend(&text, "newest events\n");
  for (const v1::Event& event : events) {
    absl::StrAppend(&text, "  ", EventText(event), "\n");
  }
  if (events.empty()) absl::StrAppend(&text, "  none\n");
}

}  // namespace

std::string DescribeListener(const v1::Listener& listener,
                             const std::vector<v1::Event>& events,
                             absl::Time now) {
  std::string text;
  AppendTitle(listener.name(), HintsOf(listener, events, now), text);
  Append("status", StatusRows(listener), text);
  Append("spec", SpecRows(listener.spec()), text);
  const Rows closes = CloseRows(listener.status());
  if (!closes.empty()) Append("closes by reason", closes, text);
  AppendEvents(events, text);
  return text;
}

std::string DescribeConnection(const v1::Connection& connection,
                               const v1::Listener* listener,
                               const std::vector<v1::Event>& events,
                               absl::Time now) {
  std::string text;
  AppendTitle(connection.name(), HintsOf(connection, listener, now), text);
  Append("connection", ConnectionRows(connection, listener, now), text);
  if (connection.has_tcp_info()) {
    Append("TCP, as the kernel sees it", TcpRows(connection.tcp_info()), text);
  }
  AppendEvents(events, text);
  return text;
}

}  // namespace portreeve::cli
