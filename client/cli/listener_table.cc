#include "client/cli/listener_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/cli/format.h"

namespace portreeve::cli {
namespace {

using Row = TextTable::Row;

Row Header(ListenerColumns columns) {
  Row row = {"NAME",        "STATE", "ADDRESS", "HANDLER",
             "CONNECTIONS", "MAX",   "ACCEPTED"};
  if (columns == ListenerColumns::kWide) {
    row.insert(row.end(), {"DROPPED", "ERRORS", "CLOSED", "RECEIVED", "SENT",
                           "BACKLOG", "UPTIME"});
  }
  row.push_back("LABELS");
  return row;
}

// "3/4096": those that wait, of how many that may.
std::string BacklogText(const v1::ListenerStatus& status, bool is_known) {
  if (status.effective_backlog() == 0) return "-";
  const bool is_set = is_known && HasBacklog(status);
  return absl::StrCat(is_set ? absl::StrCat(status.backlog_connections()) : "-",
                      "/", status.effective_backlog());
}

std::string UptimeText(const v1::ListenerStatus& status, absl::Time now) {
  if (status.state() != v1::LISTENER_STATE_LISTENING ||
      !status.has_opened_time()) {
    return "-";
  }
  return SinceText(status.opened_time(), now);
}

Row RowOf(const v1::Listener& listener, const std::string& state,
          ListenerColumns columns, bool knows_backlog, absl::Time now) {
  const v1::ListenerSpec& spec = listener.spec();
  const v1::ListenerStatus& status = listener.status();
  Row row = {Cell(listener.name()),
             Cell(state),
             Cell(ListeningText(listener)),
             Cell(HandlerText(spec.handler())),
             absl::StrCat(status.num_connections()),
             absl::StrCat(spec.max_connections()),
             absl::StrCat(status.accepted_total())};
  if (columns == ListenerColumns::kWide) {
    row.insert(row.end(),
               {absl::StrCat(status.dropped_total()),
                absl::StrCat(status.handler_errors_total()),
                absl::StrCat(ClosedTotal(status)),
                absl::StrCat(status.bytes_received_total()),
                absl::StrCat(status.bytes_sent_total()),
                BacklogText(status, knows_backlog), UptimeText(status, now)});
  }
  row.push_back(Cell(LabelsText(spec)));
  return row;
}

}  // namespace

std::string ListenerTable::Lines(const std::vector<v1::Listener>& listeners,
                                 bool knows_backlog, absl::Time now) {
  std::vector<Row> rows = {Header(columns_)};
  for (const v1::Listener& listener : listeners) {
    rows.push_back(RowOf(listener, StateText(listener.status()), columns_,
                         knows_backlog, now));
  }
  return table_.Lines(rows);
}

std::string ListenerTable::Line(const v1::Listener& listener,
                                absl::Time now) const {
  return table_.Line(
      RowOf(listener, StateText(listener.status()), columns_, false, now));
}

std::string ListenerTable::DeletedLine(const v1::Listener& listener,
                                       absl::Time now) const {
  return table_.Line(RowOf(listener, "DELETED", columns_, false, now));
}

bool ListenerTable::LookAlike(const v1::Listener& a, const v1::Listener& b) {
  const auto row_of = [](const v1::Listener& listener) {
    return RowOf(listener, StateText(listener.status()),
                 ListenerColumns::kUsual, false, absl::Time());
  };
  return row_of(a) == row_of(b);
}

}  // namespace portreeve::cli
