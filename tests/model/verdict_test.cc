#include "tests/model/verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace portreeve::model {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using End = SideHistory::End;
using Kind = SideHistory::Kind;
using Left = SideHistory::Left;

// A pair that talked, and ended in order.
PairHistory Forwarded() {
  PairHistory pair;
  pair.handler = Handler::kForwardTcp;
  pair.near.kind = Kind::kTcp;
  pair.near.sent = 100;
  pair.near.received = 2000;
  pair.near.fin = true;
  pair.near.end = End::kFin;
  pair.far.kind = Kind::kTcp;
  pair.far.sent = 2000;
  pair.far.received = 100;
  pair.far.fin = true;
  pair.far.end = End::kFin;
  pair.connection =
      ConnectionHistory{v1::CLOSE_REASON_UPSTREAM_CLOSED, 100, 2000};
  return pair;
}

PairHistory Echoed() {
  PairHistory pair = Forwarded();
  pair.handler = Handler::kEcho;
  pair.near.sent = 2000;
  pair.far = SideHistory();
  pair.connection = ConnectionHistory{v1::CLOSE_REASON_PEER_CLOSED, 2000, 2000};
  return pair;
}

// The client of the stream sent all, and `done` after the peer's end.
PairHistory Attached() {
  PairHistory pair = Forwarded();
  pair.handler = Handler::kRemote;
  pair.far.kind = Kind::kStream;
  pair.far.fin = false;
  pair.far.end = End::kNone;
  pair.far.opened = true;
  pair.far.saw_eof = true;
  pair.far.done = true;
  pair.far.closed = v1::CLOSE_REASON_PEER_CLOSED;
  pair.far.status = 0;
  pair.connection->reason = v1::CLOSE_REASON_PEER_CLOSED;
  return pair;
}

// The upstream sent 300 bytes, or what of them arrived, and reset.
PairHistory UpstreamReset(int64_t arrived, End seen) {
  PairHistory pair = Forwarded();
  pair.near.fin = false;
  pair.near.received = arrived;
  pair.near.end = seen;
  pair.far.sent = 300;
  pair.far.fin = false;
  pair.far.left = Left::kReset;
  pair.far.end = End::kNone;
  pair.connection =
      ConnectionHistory{v1::CLOSE_REASON_UPSTREAM_RESET, 100, arrived};
  return pair;
}

TEST(VerdictTest, AnOrderlyEndIsRight) {
  EXPECT_THAT(Judge(Forwarded()), IsEmpty());
  EXPECT_THAT(Judge(Echoed()), IsEmpty());
  EXPECT_THAT(Judge(Attached()), IsEmpty());
}

TEST(VerdictTest, AWrongByteIsWrong) {
  PairHistory pair = Forwarded();
  pair.far.first_wrong = 7;
  EXPECT_THAT(Judge(pair), ElementsAre("the far side received a wrong byte"));
}

TEST(VerdictTest, MoreThanWasSentIsWrong) {
  PairHistory pair = Forwarded();
  pair.near.received = 2001;
  pair.connection->bytes_sent = 2001;
  EXPECT_THAT(Judge(pair), Contains(HasSubstr("received more than was sent")));
}

// Resets.

TEST(VerdictTest, AResetIsAReset) {
  EXPECT_THAT(Judge(UpstreamReset(300, End::kReset)), IsEmpty());
  EXPECT_THAT(Judge(UpstreamReset(120, End::kReset)), IsEmpty());
}

TEST(VerdictTest, AResetIsNoEnd) {
  const auto wrong = ElementsAre(
      "the near side saw FIN, but the other side never ended in "
      "order");
  EXPECT_THAT(Judge(UpstreamReset(300, End::kFin)), wrong);
  EXPECT_THAT(Judge(UpstreamReset(120, End::kFin)), wrong);
}

TEST(VerdictTest, AResetBehindFinMayBeEither) {
  for (const End seen : {End::kFin, End::kReset}) {
    PairHistory pair = UpstreamReset(300, seen);
    pair.far.fin = true;
    EXPECT_THAT(Judge(pair), IsEmpty());
  }
  PairHistory cut = UpstreamReset(299, End::kFin);
  cut.far.fin = true;
  EXPECT_THAT(Judge(cut),
              ElementsAre("the near side saw FIN, but not all bytes"));
}

TEST(VerdictTest, ACloseMayBeEither) {
  for (const End seen : {End::kFin, End::kReset}) {
    for (const auto reason :
         {v1::CLOSE_REASON_UPSTREAM_CLOSED, v1::CLOSE_REASON_UPSTREAM_RESET}) {
      PairHistory pair = UpstreamReset(300, seen);
      pair.far.left = Left::kEither;
      pair.connection->reason = reason;
      EXPECT_THAT(Judge(pair), IsEmpty());
    }
  }
}

TEST(VerdictTest, TheNearSidesResetIsNoEndForTheFarSide) {
  PairHistory pair = Forwarded();
  pair.near.fin = false;
  pair.near.left = Left::kReset;
  pair.near.end = End::kNone;
  pair.far.fin = false;
  pair.connection->reason = v1::CLOSE_REASON_PEER_RESET;
  EXPECT_THAT(Judge(pair),
              ElementsAre("the far side saw FIN, but the other side never "
                          "ended in order"));
  pair.far.end = End::kReset;
  EXPECT_THAT(Judge(pair), IsEmpty());
}

TEST(VerdictTest, ReasonsOfAResetNeedOne) {
  PairHistory pair = UpstreamReset(300, End::kReset);
  pair.connection->reason = v1::CLOSE_REASON_UPSTREAM_CLOSED;
  EXPECT_THAT(Judge(pair),
              Contains("CLOSE_REASON_UPSTREAM_CLOSED, for which there was no "
                       "cause"));
  pair.connection->reason = v1::CLOSE_REASON_PEER_RESET;
  EXPECT_THAT(Judge(pair), ElementsAre("CLOSE_REASON_PEER_RESET, for which "
                                       "there was no cause"));
}

// A reset towards a unix side looks like an end; but what is said to be whole
// is whole.
TEST(VerdictTest, AUnixSideSeesAnEndEitherWay) {
  PairHistory pair = UpstreamReset(120, End::kFin);
  pair.near.kind = Kind::kUnix;
  EXPECT_THAT(Judge(pair), IsEmpty());
  pair.near.received = 119;
  EXPECT_THAT(Judge(pair), ElementsAre("the near side saw an end, but not all "
                                       "of bytes_sent"));

  PairHistory ended = Forwarded();
  ended.near.kind = Kind::kUnix;
  ended.near.end = End::kReset;
  EXPECT_THAT(Judge(ended), IsEmpty());
  ended.near.received = 1999;
  ended.connection->bytes_sent = 1999;
  EXPECT_THAT(Judge(ended), ElementsAre("the near side has not received all "
                                        "that was sent"));
}

// Ends from above.

PairHistory Closed(v1::CloseReason reason) {
  PairHistory pair = Forwarded();
  pair.close_called = true;
  pair.closed_one = true;
  pair.near.fin = false;
  pair.near.received = 500;
  pair.far.fin = false;
  pair.far.received = 90;
  pair.connection = ConnectionHistory{reason, 90, 500};
  return pair;
}

TEST(VerdictTest, CloseMayCutButNotLose) {
  EXPECT_THAT(Judge(Closed(v1::CLOSE_REASON_CALLED)), IsEmpty());
  PairHistory lost = Closed(v1::CLOSE_REASON_CALLED);
  lost.near.received = 499;
  EXPECT_THAT(Judge(lost), ElementsAre("the near side saw an end, but not all "
                                       "of bytes_sent"));
}

TEST(VerdictTest, CloseIsNoReset) {
  PairHistory pair = Closed(v1::CLOSE_REASON_CALLED);
  pair.near.end = End::kReset;
  EXPECT_THAT(Judge(pair),
              ElementsAre("the near side saw a reset, but nobody reset"));
  pair.reset_called = true;
  EXPECT_THAT(Judge(pair), IsEmpty());
}

TEST(VerdictTest, CloseGivesUpAConnectionAttempt) {
  PairHistory pair = Closed(v1::CLOSE_REASON_CALLED);
  pair.far.end = End::kReset;
  EXPECT_THAT(Judge(pair),
              ElementsAre("the far side saw a reset, but nobody reset"));
  pair.near.received = 0;
  pair.far.received = 0;
  pair.connection = ConnectionHistory{v1::CLOSE_REASON_CALLED, 0, 0};
  EXPECT_THAT(Judge(pair), IsEmpty());
}

TEST(VerdictTest, AForcedCloseIsAReset) {
  PairHistory pair = Closed(v1::CLOSE_REASON_FORCED);
  pair.lasted = std::chrono::seconds(31);
  EXPECT_THAT(Judge(pair), ElementsAre("the near side saw FIN, but the other "
                                       "side never ended in order"));
  pair.near.end = End::kReset;
  EXPECT_THAT(Judge(pair), IsEmpty());
  pair.lasted = std::chrono::seconds(29);
  EXPECT_THAT(Judge(pair), ElementsAre("CLOSE_REASON_FORCED, for which there "
                                       "was no cause"));
}

TEST(VerdictTest, NobodyCalled) {
  PairHistory pair = Closed(v1::CLOSE_REASON_CALLED);
  pair.close_called = false;
  pair.closed_one = false;
  EXPECT_THAT(Judge(pair), Contains("CLOSE_REASON_CALLED, for which there was "
                                    "no cause"));
}

TEST(VerdictTest, WhatTheDaemonEndsByItselfIsReset) {
  for (const auto reason :
       {v1::CLOSE_REASON_BUFFER_AGE, v1::CLOSE_REASON_SHUTDOWN}) {
    PairHistory pair = Closed(reason);
    pair.close_called = false;
    pair.closed_one = false;
    pair.age_limited = true;
    pair.shut_down = true;
    EXPECT_THAT(Judge(pair), ElementsAre(HasSubstr("near side saw FIN"),
                                         HasSubstr("far side saw FIN")));
    pair.near.end = End::kReset;
    pair.far.end = End::kReset;
    EXPECT_THAT(Judge(pair), IsEmpty());
  }
}

TEST(VerdictTest, EchoEndsAsTheOriginal) {
  PairHistory pair = Echoed();
  pair.near.fin = false;
  pair.near.received = 1200;
  pair.age_limited = true;
  pair.connection = ConnectionHistory{v1::CLOSE_REASON_BUFFER_AGE, 1500, 1200};
  EXPECT_THAT(Judge(pair), IsEmpty());
  pair.age_limited = false;
  EXPECT_THAT(Judge(pair), ElementsAre("CLOSE_REASON_BUFFER_AGE, for which "
                                       "there was no cause"));
}

// Byte counts.

TEST(VerdictTest, CountsAreTrue) {
  PairHistory pair = Forwarded();
  pair.connection->bytes_sent = 1999;
  EXPECT_THAT(Judge(pair),
              Contains("bytes_sent is less than the near side received"));
  pair.connection->bytes_sent = 2001;
  EXPECT_THAT(Judge(pair),
              Contains("bytes_sent is more than the other side sent"));
  pair.connection->bytes_sent = 2000;
  pair.connection->bytes_received = 101;
  EXPECT_THAT(Judge(pair),
              ElementsAre("bytes_received is more than the near side sent"));
  pair.near.urgent = true;
  EXPECT_THAT(Judge(pair), IsEmpty());
  pair.connection->bytes_received = 99;
  EXPECT_THAT(Judge(pair),
              ElementsAre("bytes_received is less than the far side received"));
}

TEST(VerdictTest, PeerClosedIsBehindAllBytes) {
  PairHistory pair = Echoed();
  pair.connection->bytes_received = 1990;
  EXPECT_THAT(Judge(pair), ElementsAre("PEER_CLOSED, but bytes_received is "
                                       "less than the peer sent"));
}

TEST(VerdictTest, AllThatWasSentArrives) {
  PairHistory pair = Forwarded();
  pair.far.received = 99;
  EXPECT_THAT(Judge(pair),
              ElementsAre("the far side saw FIN, but not all bytes",
                          "the far side has not received all that was sent"));
}

// Streams.

TEST(VerdictTest, AStreamsEndIsAnEnd) {
  PairHistory pair = Attached();
  pair.far.received = 99;
  EXPECT_THAT(Judge(pair),
              ElementsAre("`eof`, but not all bytes",
                          "the stream has not received all that was sent"));
  // It was through itself, and not interested.
  pair.far.through_before_eof = true;
  EXPECT_THAT(Judge(pair), IsEmpty());
}

TEST(VerdictTest, APeersResetIsEofAndClosed) {
  PairHistory pair = Attached();
  pair.near.fin = false;
  pair.near.left = Left::kReset;
  pair.near.end = End::kNone;
  pair.far.done = false;
  EXPECT_THAT(Judge(pair),
              ElementsAre("`eof`, but the peer never ended in order",
                          "CLOSE_REASON_PEER_CLOSED, for which there was no "
                          "cause"));
  pair.far.closed = v1::CLOSE_REASON_PEER_RESET;
  pair.connection->reason = v1::CLOSE_REASON_PEER_RESET;
  EXPECT_THAT(Judge(pair), IsEmpty());
}

TEST(VerdictTest, AnOpenedStreamEndsWithClosedAndOk) {
  PairHistory pair = Attached();
  pair.far.closed.reset();
  EXPECT_THAT(Judge(pair), ElementsAre("`closed` and the status do not agree"));
  pair.far.status = 14;
  EXPECT_THAT(Judge(pair), ElementsAre("an opened stream ended with an error"));
  pair.far.cancelled = true;
  EXPECT_THAT(Judge(pair), IsEmpty());
  pair.far.status.reset();
  EXPECT_THAT(Judge(pair), ElementsAre("the call is not over"));
}

TEST(VerdictTest, ClosedTellsTheReasonOfTheEvent) {
  PairHistory pair = Attached();
  pair.far.closed = v1::CLOSE_REASON_HANDLER_DONE;
  EXPECT_THAT(Judge(pair),
              ElementsAre("`closed` has another reason than the event"));
}

TEST(VerdictTest, ACancelledStreamIsAReset) {
  PairHistory pair = Attached();
  pair.near.fin = false;
  pair.far.done = false;
  pair.far.saw_eof = false;
  pair.far.cancelled = true;
  pair.far.closed.reset();
  pair.far.status = 1;
  pair.connection->reason = v1::CLOSE_REASON_CLIENT_GONE;
  EXPECT_THAT(Judge(pair), ElementsAre("the near side saw FIN, but the other "
                                       "side never ended in order"));
  pair.near.end = End::kReset;
  EXPECT_THAT(Judge(pair), IsEmpty());
  pair.handler = Handler::kDialTcp;
  EXPECT_THAT(Judge(pair), ElementsAre("CLOSE_REASON_CLIENT_GONE, for which "
                                       "there was no cause"));
}

// Those that were never served.

TEST(VerdictTest, NotServed) {
  PairHistory pair;
  pair.handler = Handler::kEcho;
  pair.near.kind = Kind::kTcp;
  pair.near.sent = 10;
  pair.near.fin = true;
  pair.near.end = End::kReset;
  EXPECT_THAT(Judge(pair), IsEmpty());
  pair.near.end = End::kFin;
  EXPECT_THAT(Judge(pair), ElementsAre("the near side was never served, but "
                                       "saw FIN"));
  pair.listener_closed = true;
  EXPECT_THAT(Judge(pair), IsEmpty());
  pair.near.received = 1;
  EXPECT_THAT(Judge(pair), ElementsAre(HasSubstr("never told of")));
}

}  // namespace
}  // namespace portreeve::model
