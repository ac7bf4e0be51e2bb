#include "client/cli/top_view.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "client/cli/format.h"
#include "client/cli/printable.h"

namespace portreeve::cli {
namespace {

constexpr absl::string_view kBold = "\x1b[1m";
constexpr absl::string_view kReverse = "\x1b[7m";
constexpr absl::string_view kRed = "\x1b[31m";
constexpr absl::string_view kYellow = "\x1b[33m";
constexpr absl::string_view kPlain = "\x1b[0m";

constexpr absl::string_view kUp = "\x1b[A";
constexpr absl::string_view kDown = "\x1b[B";
constexpr char kEscape = '\x1b';

constexpr absl::string_view kKeys =
    "s order  / filter  Up, Down select  Enter details  q quit";

// Without its name, a listener takes so many columns.
constexpr size_t kWithoutName = 64;
constexpr size_t kLeastName = 16;

// Around the rows of listeners: three lines and titles above, keys below.
constexpr size_t kOtherLines = 5;

std::string Scaled(double value, double thousand,
                   const std::array<const char*, 5>& units) {
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < units.size()) {
    value /= thousand;
    ++unit;
  }
  // A whole number needs no point.
  const bool is_exact = unit == 0 && value == std::floor(value);
  const int digits = value < 99.95 && !is_exact ? 1 : 0;
  return absl::StrFormat("%.*f%s", digits, value, units[unit]);
}

std::string Number(double value) {
  return Scaled(value, 1000, {"", "k", "M", "G", "T"});
}
std::string Bytes(double value) {
  return Scaled(value, 1024, {"", "K", "M", "G", "T"});
}

std::string Id(const std::string& name) {
  return std::string(absl::StripPrefix(name, "listeners/"));
}

absl::string_view OrderText(TopOrder order) {
  switch (order) {
    case TopOrder::kAccepts:
      return "accepts";
    case TopOrder::kOpen:
      return "open";
    case TopOrder::kIn:
      return "in";
    case TopOrder::kOut:
      return "out";
    case TopOrder::kName:
      break;
  }
  return "name";
}

std::string Line(const std::string& name, const std::string& state,
                 const std::string& open, const std::string& backlog,
                 const std::string& accepts, const std::string& closes,
                 const std::string& in, const std::string& out,
                 size_t name_width) {
  return absl::StrFormat("%-*s %-9s %11s %7s %7s %7s %8s %8s",
                         static_cast<int>(name_width),
                         CutToFit(name, name_width), state, open, backlog,
                         accepts, closes, in, out);
}

std::string Titles(size_t name_width) {
  return Line("NAME", "STATE", "OPEN/MAX", "BACKLOG", "ACC/S", "CLOSE/S",
              "IN/S", "OUT/S", name_width);
}

std::string RowText(const TopRow& row, size_t name_width) {
  const auto rate = [&row](double TopRates::*field, auto text) {
    return row.rates ? text((*row.rates).*field) : std::string("-");
  };
  return Line(
      Printable(Id(row.name)), EnumText(row.status.state()),
      absl::StrCat(row.status.num_connections(), "/", row.max_connections),
      HasBacklog(row.status) ? absl::StrCat(row.status.backlog_connections())
                             : "-",
      rate(&TopRates::accepts, Number), rate(&TopRates::closes, Number),
      rate(&TopRates::in, Bytes), rate(&TopRates::out, Bytes), name_width);
}

absl::string_view ColourOf(const TopRow& row) {
  if (row.status.state() == v1::LISTENER_STATE_FAILED) return kRed;
  const bool is_at_limit = row.status.state() == v1::LISTENER_STATE_LISTENING &&
                           row.status.num_connections() >= row.max_connections;
  return is_at_limit ? kYellow : "";
}

std::string DaemonLine(const TopTotals& totals) {
  const v1::DaemonStats& daemon = totals.daemon;
  const double lag_ms = 1e3 * static_cast<double>(daemon.loop_lag().seconds()) +
                        1e-6 * daemon.loop_lag().nanos();
  return absl::StrFormat(
      "%d listeners, %d open, fds %d/%d, cpu %.1f%%, mem %s, lag %.1fms",
      totals.listeners, daemon.num_connections(), daemon.open_fds(),
      daemon.max_fds(), 100 * totals.cpu,
      Bytes(static_cast<double>(daemon.resident_bytes())), lag_ms);
}

}  // namespace

TopView::Action TopView::OnInput(absl::string_view bytes) {
  Action action = Action::kNone;
  while (!bytes.empty() && action != Action::kQuit &&
         action != Action::kDetails) {
    if (absl::ConsumePrefix(&bytes, kUp)) {
      Move(-1);
      action = Action::kRedraw;
      continue;
    }
    if (absl::ConsumePrefix(&bytes, kDown)) {
      Move(1);
      action = Action::kRedraw;
      continue;
    }
    const char key = bytes.front();
    bytes.remove_prefix(1);
    if (typing_filter_) {
      action = OnFilterKey(key);
      continue;
    }
    if (key == 'q') {
      action = Action::kQuit;
    } else if (key == '\r' || key == '\n') {
      action = selected_.empty() ? Action::kNone : Action::kDetails;
    } else if (key == 's') {
      order_ = order_ == TopOrder::kName
                   ? TopOrder::kAccepts
                   : static_cast<TopOrder>(static_cast<int>(order_) + 1);
      action = Action::kRedraw;
    } else if (key == '/') {
      typing_filter_ = true;
      action = Action::kRedraw;
    } else if (key == kEscape) {
      filter_.clear();
      action = Action::kRedraw;
    } else if (key == 'j' || key == 'k') {
      Move(key == 'j' ? 1 : -1);
      action = Action::kRedraw;
    }
  }
  return action;
}

TopView::Action TopView::OnFilterKey(char key) {
  if (key == '\r' || key == '\n') {
    typing_filter_ = false;
  } else if (key == kEscape) {
    typing_filter_ = false;
    filter_.clear();
  } else if (key == '\b' || key == '\x7f') {
    if (!filter_.empty()) filter_.pop_back();
  } else if (key > ' ' && key < '\x7f') {
    filter_ += key;
  }
  return Action::kRedraw;
}

void TopView::Move(int by) {
  if (shown_.empty()) return;
  const auto found = std::find(shown_.begin(), shown_.end(), selected_);
  const auto last = static_cast<int>(shown_.size()) - 1;
  const int at =
      found == shown_.end()
          ? 0
          : std::clamp(static_cast<int>(found - shown_.begin()) + by, 0, last);
  selected_ = shown_[static_cast<size_t>(at)];
}

std::vector<std::string> TopView::Draw(const TopModel& model,
                                       const std::string& headline, Size size) {
  const size_t name_width =
      std::max(kLeastName, size.columns - std::min(size.columns, kWithoutName));
  const TopTotals totals = model.Totals();
  const std::vector<TopRow> rows = model.Rows(order_, filter_);
  shown_.clear();
  for (const TopRow& row : rows) shown_.push_back(row.name);
  auto found = std::find(shown_.begin(), shown_.end(), selected_);
  if (found == shown_.end()) {
    selected_ = shown_.empty() ? "" : shown_.front();
    found = shown_.begin();
  }
  // The selected one is on the screen.
  const size_t room =
      size.rows > kOtherLines ? size.rows - kOtherLines : size_t{1};
  const auto at = static_cast<size_t>(found - shown_.begin());
  first_row_ = std::min(first_row_, at);
  if (at >= first_row_ + room) first_row_ = at - room + 1;
  if (shown_.size() <= room) first_row_ = 0;

  std::vector<std::string> lines;
  const auto add = [&](absl::string_view style, const std::string& text) {
    const std::string cut = CutToFit(text, size.columns);
    lines.push_back(style.empty() ? cut : absl::StrCat(style, cut, kPlain));
  };
  add(kBold, Printable(headline));
  add("", DaemonLine(totals));
  const bool has_filter = typing_filter_ || !filter_.empty();
  add("", absl::StrCat(
              model.has_rates()
                  ? absl::StrCat("accepts ", Number(totals.rates.accepts),
                                 "/s, closes ", Number(totals.rates.closes),
                                 "/s, in ", Bytes(totals.rates.in), "/s, out ",
                                 Bytes(totals.rates.out), "/s; ")
                  : std::string(),
              "by ", OrderText(order_), has_filter ? ", /" : "", filter_,
              typing_filter_ ? "_" : ""));
  add(kReverse, Titles(name_width));
  const size_t end = std::min(rows.size(), first_row_ + room);
  for (size_t i = first_row_; i < end; ++i) {
    const bool is_selected = rows[i].name == selected_;
    const std::string style =
        absl::StrCat(ColourOf(rows[i]), is_selected ? kReverse : "");
    add(style, RowText(rows[i], name_width));
  }
  add("", std::string(kKeys));
  return lines;
}

std::string TopView::Table(const TopModel& model, size_t most) const {
  std::vector<TopRow> rows = model.Rows(order_, filter_);
  if (rows.size() > most) rows.resize(most);
  size_t name_width = kLeastName;
  for (const TopRow& row : rows) {
    name_width = std::max(name_width, Printable(Id(row.name)).size());
  }
  std::string table =
      absl::StrCat(DaemonLine(model.Totals()), "\n", Titles(name_width), "\n");
  for (const TopRow& row : rows) {
    absl::StrAppend(&table, RowText(row, name_width), "\n");
  }
  return table;
}

}  // namespace portreeve::cli
