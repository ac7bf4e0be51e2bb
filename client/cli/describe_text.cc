#include "client/cli/describe_text.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
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
      {"waiting to be accepted",
       absl::StrCat(status.backlog_connections(), " of at most ",
                    status.effective_backlog())},
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

}  // namespace

std::string DescribeListener(const v1::Listener& listener,
                             const std::vector<v1::Event>& events,
                             absl::Time now) {
  std::string text = absl::StrCat(Printable(listener.name()), "\n");
  const std::vector<std::string> hints = HintsOf(listener, events, now);
  for (const std::string& hint : hints) {
    absl::StrAppend(&text, "  ! ", hint, "\n");
  }
  Append("status", StatusRows(listener), text);
  Append("spec", SpecRows(listener.spec()), text);
  const Rows closes = CloseRows(listener.status());
  if (!closes.empty()) Append("closes by reason", closes, text);
  absl::StrAppend(&text, "newest events\n");
  for (const v1::Event& event : events) {
    absl::StrAppend(&text, "  ", EventText(event), "\n");
  }
  if (events.empty()) absl::StrAppend(&text, "  none\n");
  return text;
}

}  // namespace portreeve::cli
