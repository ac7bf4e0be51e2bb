#include "client/cli/top_view.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "client/cli/printable.h"
#include "portreeve/v1/stats.pb.h"

namespace portreeve::cli {
namespace {

using Action = TopView::Action;

TopModel ModelOf(int listeners) {
  TopModel model;
  for (int second : {10, 11}) {
    v1::WatchStatsResponse message;
    message.mutable_time()->set_seconds(second);
    for (int i = 0; i < listeners; ++i) {
      v1::ListenerStats& stats = *message.add_listeners();
      stats.set_name("listeners/l" + std::to_string(100 + i));
      stats.set_max_connections(10'000);
      v1::ListenerStatus& status = *stats.mutable_status();
      status.set_state(v1::LISTENER_STATE_LISTENING);
      status.mutable_listening_on()->mutable_inet();
      status.set_accepted_total(second * 1000 * i);
      status.set_bytes_received_total(int64_t{second} * 3'000'000 * i);
    }
    message.mutable_daemon()->set_num_connections(7);
    model.Take(message);
  }
  return model;
}

// What is seen of a line: escape sequences for colours take no place.
std::string Seen(const std::string& line) {
  std::string seen;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\x1b') {
      i = line.find('m', i);
    } else {
      seen += line[i];
    }
  }
  return seen;
}

class TopViewTest : public ::testing::Test {
 protected:
  void Draw(TopView::Size size = {80, 24}) {
    lines_ = view_.Draw(model_, "portreeve here", size);
    ASSERT_LE(lines_.size(), size.rows);
    for (const std::string& line : lines_) {
      ASSERT_LE(Seen(line).size(), size.columns) << line;
    }
  }
  // The ids of the rows.
  std::vector<std::string> Ids() {
    std::vector<std::string> ids;
    for (size_t i = 4; i + 1 < lines_.size(); ++i) {
      const std::string line = Seen(lines_[i]);
      ids.push_back(line.substr(0, line.find(' ')));
    }
    return ids;
  }
  std::string Line(size_t i) { return Seen(lines_[i]); }

  TopModel model_ = ModelOf(3);
  TopView view_{TopOrder::kName};
  std::vector<std::string> lines_;
};

using List = std::vector<std::string>;

TEST_F(TopViewTest, ShowsTheDaemonAndARowForEachListener) {
  Draw();
  EXPECT_EQ(Line(0), "portreeve here");
  EXPECT_TRUE(absl::StrContains(Line(1), "3 listeners, 7 open"));
  EXPECT_TRUE(absl::StrContains(Line(2), "accepts 3.0k/s"));
  EXPECT_EQ(
      Line(3),
      "NAME             STATE        OPEN/MAX BACKLOG   ACC/S CLOSE/S     IN/S "
      "   OUT/S");
  EXPECT_EQ(
      Line(5),
      "l101             LISTENING     0/10000       0    1.0k       0     2.9M "
      "       0");
  EXPECT_EQ(Ids(), (List{"l100", "l101", "l102"}));
}

TEST_F(TopViewTest, SOrdersByTheNextColumn) {
  Draw();
  EXPECT_EQ(view_.OnInput("s"), Action::kRedraw);  // By accepts.
  Draw();
  EXPECT_EQ(Ids(), (List{"l102", "l101", "l100"}));
  EXPECT_EQ(view_.OnInput("ssss"), Action::kRedraw);  // By name again.
  Draw();
  EXPECT_EQ(Ids(), (List{"l100", "l101", "l102"}));
}

TEST_F(TopViewTest, AFilterIsTypedAndKept) {
  EXPECT_EQ(view_.OnInput("/"), Action::kRedraw);
  EXPECT_EQ(view_.OnInput("1q"), Action::kRedraw);  // q is a letter there.
  EXPECT_EQ(view_.OnInput("\x7f"), Action::kRedraw);
  EXPECT_EQ(view_.OnInput("01\r"), Action::kRedraw);
  Draw();
  EXPECT_EQ(Ids(), List{"l101"});
  EXPECT_EQ(view_.OnInput("\x1b"), Action::kRedraw);
  Draw();
  EXPECT_EQ(Ids().size(), 3u);
  view_.OnInput("/nothing");
  Draw();
  EXPECT_EQ(Ids(), List{});
  EXPECT_EQ(view_.selected(), "");
  view_.OnInput("\r");
  EXPECT_EQ(view_.OnInput("\r"), Action::kNone);  // There is none to show.
}

TEST_F(TopViewTest, ArrowsSelectAndEnterAsksForDetails) {
  Draw();
  EXPECT_EQ(view_.selected(), "listeners/l100");
  EXPECT_EQ(view_.OnInput("\x1b[B"), Action::kRedraw);
  EXPECT_EQ(view_.selected(), "listeners/l101");
  view_.OnInput("jjjj");
  EXPECT_EQ(view_.selected(), "listeners/l102");
  view_.OnInput("\x1b[A");
  view_.OnInput("k");
  view_.OnInput("k");
  EXPECT_EQ(view_.selected(), "listeners/l100");
  EXPECT_EQ(view_.OnInput("\r"), Action::kDetails);
  EXPECT_EQ(view_.OnInput("q"), Action::kQuit);
}

TEST_F(TopViewTest, TheSelectedListenerStaysSelectedAndOnTheScreen) {
  model_ = ModelOf(100);
  const TopView::Size size{80, 15};  // Ten rows.
  Draw(size);
  EXPECT_EQ(Ids().size(), 10u);
  view_.OnInput(std::string(15, 'j'));
  Draw(size);
  EXPECT_EQ(Ids().front(), "l106");
  EXPECT_EQ(Ids().back(), "l115");
  view_.OnInput("s");
  Draw(size);
  EXPECT_EQ(view_.selected(), "listeners/l115");
  const List ids = Ids();
  EXPECT_NE(std::find(ids.begin(), ids.end(), "l115"), ids.end());
  model_ = ModelOf(5);  // It is gone.
  Draw(size);
  EXPECT_EQ(view_.selected(), "listeners/l104");
}

TEST_F(TopViewTest, NoScreenIsTooSmall) {
  model_ = ModelOf(100);
  for (size_t columns = 1; columns < 120; ++columns) {
    for (size_t rows = 6; rows < 12; ++rows) Draw({columns, rows});
  }
}

TEST_F(TopViewTest, WhatTheDaemonSaysCannotSteerTheTerminal) {
  v1::WatchStatsResponse message;
  message.mutable_time()->set_seconds(12);
  message.add_listeners()->set_name("listeners/\x1b[2J");
  model_.Take(message);
  Draw({200, 24});
  for (size_t i = 4; i < lines_.size(); ++i) {
    EXPECT_FALSE(absl::StrContains(lines_[i], "\x1b[2J"));
  }
}

TEST_F(TopViewTest, FailedAndFullOnesHaveColours) {
  v1::WatchStatsResponse message;
  message.mutable_time()->set_seconds(12);
  v1::ListenerStats& failed = *message.add_listeners();
  failed.set_name("listeners/l100");
  failed.mutable_status()->set_state(v1::LISTENER_STATE_FAILED);
  v1::ListenerStats& full = *message.add_listeners();
  full.set_name("listeners/l101");
  full.set_max_connections(2);
  full.mutable_status()->set_state(v1::LISTENER_STATE_LISTENING);
  full.mutable_status()->set_num_connections(2);
  model_.Take(message);
  Draw();
  EXPECT_TRUE(absl::StartsWith(lines_[4], "\x1b[31m"));
  EXPECT_TRUE(absl::StartsWith(lines_[5], "\x1b[33m"));
  EXPECT_FALSE(absl::StrContains(lines_[6], "\x1b["));
}

TEST_F(TopViewTest, ATableHasNoEscapesAndAsManyRowsAsAreWanted) {
  const std::string table = view_.Table(model_, 2);
  EXPECT_FALSE(absl::StrContains(table, "\x1b"));
  EXPECT_TRUE(absl::StrContains(table, "\nl101 "));
  EXPECT_FALSE(absl::StrContains(table, "\nl102 "));
}

// Neither is told how many wait.
TEST_F(TopViewTest, UnixOnesAndThoseThatDoNotListenHaveNoBacklog) {
  v1::WatchStatsResponse message;
  message.mutable_time()->set_seconds(12);
  v1::ListenerStats& unix_one = *message.add_listeners();
  unix_one.set_name("listeners/l100");
  unix_one.mutable_status()->set_state(v1::LISTENER_STATE_LISTENING);
  unix_one.mutable_status()->mutable_listening_on()->mutable_unix_socket();
  v1::ListenerStats& closed = *message.add_listeners();
  closed.set_name("listeners/l101");
  closed.mutable_status()->set_state(v1::LISTENER_STATE_CLOSED);
  closed.mutable_status()->mutable_listening_on()->mutable_inet();
  v1::ListenerStats& full = *message.add_listeners();
  full.set_name("listeners/l102");
  full.mutable_status()->set_state(v1::LISTENER_STATE_LISTENING);
  full.mutable_status()->mutable_listening_on()->mutable_inet();
  full.mutable_status()->set_backlog_connections(7);
  model_.Take(message);
  Draw();
  const std::string first = "             LISTENING         0/0       ";
  EXPECT_TRUE(absl::StartsWith(Line(4), "l100" + first + "-")) << Line(4);
  EXPECT_TRUE(absl::StartsWith(
      Line(5), "l101             CLOSED            0/0       -"))
      << Line(5);
  EXPECT_TRUE(absl::StartsWith(Line(6), "l102" + first + "7")) << Line(6);
}

TEST_F(TopViewTest, NoCharacterIsCutInHalf) {
  v1::WatchStatsResponse message;
  message.mutable_time()->set_seconds(12);
  // Of two, three and four bytes.
  message.add_listeners()->set_name("listeners/a\u00fc\u20ac\U0001f600zzzzzzz");
  model_.Take(message);
  for (size_t columns = 1; columns < 30; ++columns) {
    Draw({columns, 24});
    for (size_t i = 0; i < lines_.size(); ++i) {
      // What is no UTF-8 would be changed.
      EXPECT_EQ(Printable(Line(i)), Line(i)) << columns;
    }
    const std::string row = Line(4);
    const size_t kWhole[] = {1, 3, 6, 10};
    for (const size_t whole : kWhole) {
      if (columns >= whole) EXPECT_GE(row.size(), whole) << columns;
    }
  }
}

TEST_F(TopViewTest, NoNumberIsTooLarge) {
  for (const int second : {12, 13}) {
    v1::WatchStatsResponse message;
    message.mutable_time()->set_seconds(12);
    message.mutable_time()->set_nanos(second == 12 ? 0 : 100'000'000);
    v1::ListenerStats& stats = *message.add_listeners();
    stats.set_name("listeners/l100");
    stats.mutable_status()->set_accepted_total(
        second == 12 ? 0 : std::numeric_limits<int64_t>::min());
    model_.Take(message);
  }
  // The rate is no int64.
  const std::string table = view_.Table(model_, 1);
  EXPECT_TRUE(absl::StrContains(table, " -9223372036854")) << table;
  EXPECT_FALSE(absl::StrContains(table, ".0 ")) << table;
}

}  // namespace
}  // namespace portreeve::cli
