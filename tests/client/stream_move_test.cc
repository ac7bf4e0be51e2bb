#include "client/stream_move.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace portreeve::client {
namespace {

using Frame = StreamMove::Frame;
using Turn = StreamMove::Turn;

// What happens to a stream, one letter each:
//   d e x  the user wants to send data, `eof` or an end
//   + -    the frame that is being sent was, or was not
//   m a c  `moved`, data or `eof`, and `closed` come from the daemon
//   o b    the leg ends: with OK behind the half-close, or otherwise
//   O L    the next leg has opened, or there is none
constexpr std::string_view kEvents = "dex+-macobOL";

// All that has happened, with what came of it behind it:
//   s w r  a frame is sent, waits, or is refused
//   h      this direction of the leg is ended
//   n      the connection goes on with the next leg
using History = std::string;

bool Has(std::string_view history, std::string_view what) {
  return history.find(what) != std::string_view::npos;
}

std::string_view Leg(std::string_view history) {
  const size_t begin = history.rfind('O');
  return begin == std::string_view::npos ? history : history.substr(begin);
}

// `eof` that is said again on the next leg is being sent, too.
bool IsSending(std::string_view history) {
  const size_t begun = history.find_last_of("sO");
  if (begun == std::string_view::npos) return false;
  if (history[begun] == 'O' && !Has(history, "es")) return false;
  return history.find_first_of("+-", begun) == std::string_view::npos;
}

bool IsBetween(std::string_view history) {
  return Has(Leg(history), "n") && !Has(history, "L");
}

bool IsOver(std::string_view history) {
  const std::string_view leg = Leg(history);
  return Has(history, "c") || Has(history, "L") ||
         (!Has(leg, "n") && (Has(leg, "o") || Has(leg, "b")));
}

bool MayHappen(std::string_view history, char event) {
  const bool has_ended = IsBetween(history) || IsOver(history);
  switch (event) {
    case 'd':
    case 'e':
    case 'x':
      return true;
    case '+':
    case '-':
      return IsSending(history);
    case 'O':
    case 'L':
      return IsBetween(history);
    case 'o':
    case 'b':
      return !has_ended && !IsSending(history);
    default:
      return !has_ended;
  }
}

// What the contract has come of `event`.
std::string Expected(std::string_view history, char event) {
  const std::string_view leg = Leg(history);
  const bool has_moved = Has(leg, "m");
  const size_t moved = leg.find('m');
  const bool is_ending =
      has_moved && !IsBetween(history) && Has(leg.substr(moved), "a");
  // A refusal counts only where what was refused may be missing.
  const std::string_view open = leg.substr(0, leg.find('c'));
  const bool has_lost =
      Has(leg, "-") || Has(open, "dr") || Has(open, "er") || Has(open, "xr");
  switch (event) {
    case 'd':
    case 'e':
    case 'x':
      if (Has(history, "xs") || (event != 'x' && Has(history, "es"))) return "";
      if (IsOver(history)) return "r";
      if (!has_moved) return IsSending(history) ? "w" : "s";
      return is_ending ? "r" : "w";
    case '+':
      return has_moved && !has_lost && !Has(leg, "h") ? "h" : "";
    case 'm':
      return !IsSending(history) && !has_lost && !Has(leg, "h") ? "h" : "";
    case 'o':
      return Has(leg, "h") && !has_lost && !Has(history, "xs") ? "n" : "";
    default:
      return "";
  }
}

std::string TextOf(Turn turn) {
  switch (turn) {
    case Turn::kNow:
      return "s";
    case Turn::kLater:
      return "w";
    case Turn::kOver:
      return "r";
    case Turn::kAfterEnd:
      return "";
  }
}

std::string HalfClosed(StreamMove& move, bool shall) {
  if (!shall) return "";
  EXPECT_TRUE(move.is_sending());
  move.OnHalfClosed();
  return "h";
}

std::string Do(StreamMove& move, std::string_view history, char event) {
  switch (event) {
    case 'd':
      return TextOf(move.Begin(Frame::kData));
    case 'e':
      return TextOf(move.Begin(Frame::kEof));
    case 'x':
      return TextOf(move.Begin(Frame::kEnd));
    case '+':
    case '-':
      return HalfClosed(move, move.OnSent(event == '+'));
    case 'm':
      return HalfClosed(move, move.OnMoved());
    case 'a':
      move.OnData();
      return "";
    case 'c':
      move.OnClosed();
      return "";
    case 'o':
    case 'b':
      return move.OnEnd(event == 'o') ? "n" : "";
    case 'O':
      // It is said again, and nothing else is.
      EXPECT_EQ(move.OnOpened(), Has(history, "es")) << history;
      return "";
    default:
      move.OnLost();
      return "";
  }
}

void ForEverySequence(const StreamMove& move, const History& history,
                      int more) {
  ASSERT_EQ(move.is_sending(), IsSending(history)) << history;
  if (more == 0) return;
  for (const char event : kEvents) {
    if (!MayHappen(history, event)) continue;
    StreamMove next = move;
    const std::string came = Do(next, history, event);
    ASSERT_EQ(came, Expected(history, event)) << history << ' ' << event;
    ForEverySequence(next, history + event + came, more - 1);
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(StreamMoveTest, OfEverySequence) { ForEverySequence({}, "", 7); }

// The same behind a first leg, which takes five events at least.
TEST(StreamMoveTest, OfEverySequenceOnTheNextLeg) {
  for (const std::string_view first :
       {"moO", "d+moO", "e+moO+", "me", "dm+o"}) {
    StreamMove move;
    History history;
    for (const char event : first) {
      const std::string came = Do(move, history, event);
      ASSERT_EQ(came, Expected(history, event)) << history << ' ' << event;
      history += event + came;
    }
    ForEverySequence(move, history, 6);
  }
}

TEST(StreamMoveTest, WhatIsSentIsTheLastOfItsLeg) {
  StreamMove move;
  EXPECT_EQ(move.Begin(Frame::kData), Turn::kNow);
  EXPECT_FALSE(move.OnMoved());
  EXPECT_TRUE(move.OnSent(true));
  move.OnHalfClosed();
  EXPECT_EQ(move.Begin(Frame::kData), Turn::kLater);
  EXPECT_TRUE(move.OnEnd(true));
  EXPECT_EQ(move.Begin(Frame::kData), Turn::kLater);
  EXPECT_FALSE(move.OnOpened());
  EXPECT_EQ(move.Begin(Frame::kData), Turn::kNow);
}

TEST(StreamMoveTest, WhatWasCutDoesNotGoOn) {
  StreamMove move;
  EXPECT_EQ(move.Begin(Frame::kData), Turn::kNow);
  EXPECT_FALSE(move.OnMoved());
  EXPECT_FALSE(move.OnSent(false));
  EXPECT_FALSE(move.OnEnd(true));
  EXPECT_EQ(move.Begin(Frame::kData), Turn::kOver);
}

}  // namespace
}  // namespace portreeve::client
