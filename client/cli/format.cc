#include "client/cli/format.h"

#include <algorithm>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "client/address.h"
#include "client/cli/printable.h"
#include "client/cli/text_table.h"
#include "google/protobuf/descriptor.h"

namespace portreeve::cli {
namespace {

using Row = TextTable::Row;

std::string OrDash(const std::string& text) {
  return text.empty() ? "-" : text;
}

std::string View(const std::vector<std::pair<std::string, std::string>>& rows) {
  size_t width = 0;
  for (const auto& [key, value] : rows) width = std::max(width, key.size());
  std::string view;
  for (const auto& [key, value] : rows) {
    absl::StrAppend(&view, key, ":", std::string(width - key.size() + 1, ' '),
                    Printable(value), "\n");
  }
  return view;
}

std::string YesNo(bool value) { return value ? "yes" : "no"; }

std::string WhereText(const v1::WhereToListen& where) {
  std::string text = OrDash(client::ToText(where));
  if (where.has_inet()) {
    absl::StrAppend(
        &text, " reuse-address=", YesNo(where.inet().reuse_address()),
        " reuse-port=", YesNo(where.inet().reuse_port()),
        " dual-stack=", YesNo(where.inet().dual_stack()),
        " bind-to-interface=", OrDash(where.inet().bind_to_interface()));
  } else if (where.unix_socket().has_mode()) {
    absl::StrAppend(&text,
                    absl::StrFormat(" mode=%04o", where.unix_socket().mode()));
  }
  return text;
}

// With every field, unlike HandlerText.
std::string HandlerView(const v1::Handler& handler) {
  std::string text = HandlerText(handler);
  if (handler.has_forward()) {
    const v1::Handler::Forward& forward = handler.forward();
    absl::StrAppend(
        &text, " connect-timeout=", DurationText(forward.connect_timeout()));
    const v1::WhereToConnect::Inet& inet = forward.upstream().inet();
    if (!inet.bind_to_address().empty()) {
      absl::StrAppend(&text, " bind-to-address=", inet.bind_to_address());
    }
    if (inet.bind_to_port() != 0) {
      absl::StrAppend(&text, " bind-to-port=", inet.bind_to_port());
    }
  } else if (handler.has_remote()) {
    absl::StrAppend(&text, " claim-timeout=",
                    DurationText(handler.remote().claim_timeout()));
  }
  return text;
}

std::string TimeOrDash(bool set, const google::protobuf::Timestamp& time) {
  return set ? TimeText(time) : "-";
}

absl::Time InstantOf(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) +
         absl::Nanoseconds(time.nanos());
}

std::string ClosesText(const v1::ListenerStatus& status) {
  const std::map<std::string, int64_t> sorted(status.closed_by_reason().begin(),
                                              status.closed_by_reason().end());
  return OrDash(absl::StrJoin(sorted, " ", absl::PairFormatter("=")));
}

std::string ReasonText(v1::CloseReason reason) {
  return reason == v1::CLOSE_REASON_UNSPECIFIED ? "-" : EnumText(reason);
}

std::string CauseText(v1::CloseCause cause) {
  return cause == v1::CLOSE_CAUSE_UNSPECIFIED ? "-" : EnumText(cause);
}

}  // namespace

std::string EnumText(const google::protobuf::EnumDescriptor& type, int value) {
  const auto* known = type.FindValueByNumber(value);
  if (known == nullptr) return absl::StrCat(value);
  const std::string& zero = type.FindValueByNumber(0)->name();
  return known->name().substr(zero.size() - std::string("UNSPECIFIED").size());
}

std::string DurationText(const google::protobuf::Duration& duration) {
  return absl::FormatDuration(absl::Seconds(duration.seconds()) +
                              absl::Nanoseconds(duration.nanos()));
}

std::string SinceText(const google::protobuf::Timestamp& time, absl::Time now) {
  const absl::Duration age =
      std::max(now - InstantOf(time), absl::ZeroDuration());
  return absl::FormatDuration(absl::Trunc(age, absl::Seconds(1)));
}

std::string AgoText(const google::protobuf::Timestamp& time, absl::Time now) {
  return absl::StrCat(SinceText(time, now), " ago");
}

std::string CountText(int64_t count, const std::string& what) {
  return absl::StrCat(count, " ", what, count == 1 ? "" : "s");
}

std::string TimeText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", InstantOf(time),
                          absl::UTCTimeZone());
}

std::string AgeText(const v1::Connection& connection) {
  if (!connection.has_create_time() || !connection.has_close_time()) return "-";
  return absl::FormatDuration(absl::Trunc(
      InstantOf(connection.close_time()) - InstantOf(connection.create_time()),
      absl::Microseconds(1)));
}

std::string FailureText(const v1::Connection& connection) {
  if (!connection.has_failure()) return "-";
  return absl::StrCat(connection.failure().reason(), ": ",
                      connection.failure().message());
}

std::string HandlerText(const v1::Handler& handler) {
  switch (handler.kind_case()) {
    case v1::Handler::kEcho:
      return "echo";
    case v1::Handler::kDiscard:
      return "discard";
    case v1::Handler::kForward:
      return absl::StrCat("forward=",
                          client::ToText(handler.forward().upstream()));
    case v1::Handler::kRemote:
      return "remote";
    case v1::Handler::KIND_NOT_SET:
      break;
  }
  return "-";
}

std::string BufferAgeLimitText(const v1::BufferAgeLimit& limit) {
  if (limit.has_unlimited()) return "unlimited";
  return limit.has_at_most() ? DurationText(limit.at_most()) : "-";
}

std::string LabelsText(const v1::ListenerSpec& spec) {
  const std::map<std::string, std::string> sorted(spec.labels().begin(),
                                                  spec.labels().end());
  return OrDash(absl::StrJoin(sorted, ",", absl::PairFormatter("=")));
}

std::string AccessLogText(const v1::AccessLog& log) {
  if (log.mode() == v1::ACCESS_LOG_MODE_UNSPECIFIED) return "-";
  std::string text = EnumText(log.mode());
  if (log.has_every()) {
    absl::StrAppend(&text, ",every=", DurationText(log.every()));
  }
  return text;
}

std::string AddressText(const v1::Address& address) {
  return OrDash(client::ToText(address));
}

std::string ListeningText(const v1::Listener& listener) {
  return listener.status().has_listening_on()
             ? AddressText(listener.status().listening_on())
             : OrDash(client::ToText(listener.spec().where_to_listen()));
}

std::string StateText(const v1::ListenerStatus& status) {
  std::string state = EnumText(status.state());
  if (!status.has_failure()) return state;
  return absl::StrCat(state, "(", status.failure().reason(), ")");
}

bool HasBacklog(const v1::ListenerStatus& status) {
  return status.listening_on().has_inet() &&
         status.state() == v1::LISTENER_STATE_LISTENING;
}

int64_t ClosedTotal(const v1::ListenerStatus& status) {
  int64_t total = 0;
  for (const auto& [reason, count] : status.closed_by_reason()) {
    // What has a slash is a part of another one.
    if (absl::StrContains(reason, '/')) continue;
    // The numbers are whatever the daemon has sent.
    if (__builtin_add_overflow(total, count, &total)) {
      return std::numeric_limits<int64_t>::max();
    }
  }
  return total;
}

std::string FailureText(const v1::ListenerStatus& status) {
  if (!status.has_failure()) return "-";
  const v1::ListenerFailure& failure = status.failure();
  return absl::StrCat(
      failure.reason(), ": ", failure.message(),
      " (attempts: ", failure.attempts(), ", next: ",
      TimeOrDash(failure.has_next_attempt_time(), failure.next_attempt_time()),
      ")");
}

std::string ConnectionTable(const v1::ListConnectionsResponse& response) {
  std::vector<Row> rows = {{"NAME", "LISTENER", "DIRECTION", "STATE", "PEER",
                            "LOCAL", "UPSTREAM", "RECEIVED", "SENT", "WAITING",
                            "SINCE"}};
  for (const v1::Connection& connection : response.connections()) {
    rows.push_back(
        {Cell(connection.name()), Cell(connection.listener()),
         EnumText(connection.direction()), EnumText(connection.state()),
         Cell(client::ToText(connection.peer())),
         Cell(client::ToText(connection.local())),
         Cell(client::ToText(connection.upstream())),
         absl::StrCat(connection.bytes_received()),
         absl::StrCat(connection.bytes_sent()),
         absl::StrCat(connection.bytes_to_write()),
         TimeOrDash(connection.has_create_time(), connection.create_time())});
  }
  return TextTable().Lines(rows);
}

std::string ListenerView(const v1::Listener& listener) {
  const v1::ListenerSpec& spec = listener.spec();
  const v1::ListenerStatus& status = listener.status();
  return View({
      {"name", listener.name()},
      {"uid", OrDash(listener.uid())},
      {"state", EnumText(status.state())},
      {"failure", FailureText(status)},
      {"source", EnumText(status.source())},
      {"listening on", ListeningText(listener)},
      {"asked for", WhereText(spec.where_to_listen())},
      {"handler", HandlerView(spec.handler())},
      {"on handler error", EnumText(spec.on_handler_error())},
      {"connections", absl::StrCat(status.num_connections())},
      {"max connections", absl::StrCat(spec.max_connections())},
      {"max pending connections",
       absl::StrCat(spec.max_pending_connections(), " (effective ",
                    status.effective_backlog(), ")")},
      {"max accepts per batch", absl::StrCat(spec.max_accepts_per_batch())},
      {"buffer age limit", BufferAgeLimitText(spec.buffer_age_limit())},
      {"drop incoming connections", YesNo(spec.drop_incoming_connections())},
      {"labels", LabelsText(spec)},
      {"access log", AccessLogText(spec.access_log())},
      {"accepted", absl::StrCat(status.accepted_total())},
      {"dropped", absl::StrCat(status.dropped_total())},
      {"handler errors", absl::StrCat(status.handler_errors_total())},
      {"closed by reason", ClosesText(status)},
      {"bytes received", absl::StrCat(status.bytes_received_total())},
      {"bytes sent", absl::StrCat(status.bytes_sent_total())},
      {"created", TimeOrDash(status.has_create_time(), status.create_time())},
      {"opened", TimeOrDash(status.has_opened_time(), status.opened_time())},
      {"closed", TimeOrDash(status.has_close_time(), status.close_time())},
      {"close cause", CauseText(status.close_cause())},
      {"is closed", YesNo(status.is_closed())},
      {"close finished", YesNo(status.close_finished())},
      {"handlers determined", YesNo(status.handlers_determined())},
  });
}

std::string ConnectionView(const v1::Connection& connection) {
  return View({
      {"name", connection.name()},
      {"listener", OrDash(connection.listener())},
      {"direction", EnumText(connection.direction())},
      {"state", EnumText(connection.state())},
      {"peer", AddressText(connection.peer())},
      {"local", AddressText(connection.local())},
      {"upstream", AddressText(connection.upstream())},
      {"failure", FailureText(connection)},
      {"bytes received", absl::StrCat(connection.bytes_received())},
      {"bytes sent", absl::StrCat(connection.bytes_sent())},
      {"bytes to write", absl::StrCat(connection.bytes_to_write())},
      {"created",
       TimeOrDash(connection.has_create_time(), connection.create_time())},
      {"closed",
       TimeOrDash(connection.has_close_time(), connection.close_time())},
      {"close reason", ReasonText(connection.close_reason())},
  });
}

namespace {

std::string PredecessorText(const v1::Daemon& daemon) {
  if (!daemon.has_predecessor()) return "-";
  const v1::Daemon::Predecessor& former = daemon.predecessor();
  return absl::StrCat(former.pid(), " (", former.version(), ") has ",
                      former.connections(), " of the connections, until ",
                      TimeOrDash(former.has_deadline(), former.deadline()));
}

}  // namespace

std::string DaemonView(const v1::Daemon& daemon) {
  const v1::Daemon::Store& store = daemon.store();
  return View({
      {"daemon id", OrDash(daemon.daemon_id())},
      {"instance id", daemon.instance_id()},
      {"upgrades", absl::StrCat(daemon.generation())},
      {"pid", absl::StrCat(daemon.pid())},
      {"version", daemon.version()},
      {"started", TimeOrDash(daemon.has_start_time(), daemon.start_time())},
      {"former process", PredecessorText(daemon)},
      {"listeners failed", absl::StrCat(daemon.listeners_failed())},
      {"state", OrDash(store.directory())},
      {"state healthy",
       daemon.has_store() ? std::string(YesNo(store.healthy())) : "-"},
      {"state failure", OrDash(store.message())},
      {"state bytes", daemon.has_store() ? absl::StrCat(store.bytes()) : "-"},
      {"state records",
       daemon.has_store() ? absl::StrCat(store.records()) : "-"},
      {"state written",
       TimeOrDash(store.has_last_commit_time(), store.last_commit_time())},
  });
}

}  // namespace portreeve::cli
