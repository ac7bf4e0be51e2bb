// StreamPolicy under every short sequence of events, against the contract
// (proto/portreeve/v1/connection.proto).
#include "server/remote/stream_policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace portreeve::server {
namespace {

using Frame = StreamPolicy::Frame;

enum class Event {
  // The client.
  kData,
  kEof,
  kDone,
  kReset,
  kRaised,
  kNonsense,
  kStreamEnd,
  kBreak,
  kEofTaken,
  // The peer.
  kPeerEnd,
  kPeerReset,
  kStall,  // It stops reading: the kernel takes nothing.
  kSip,    // The kernel takes half a frame of what waits.
  kDrain,  // The kernel takes all, and whatever comes.
  // Others.
  kCallClose,
  kCallReset,
  kShutDown,
  kAge,    // The buffer age limit.
  kForce,  // The end of the 30 s.
  kMove,   // There is a next process.
};
constexpr int kNumEvents = 20;
constexpr size_t kFrameBytes = 10;

// What waits for the peer.
struct Buffer {
  bool stalled = false;
  size_t waiting = 0;

  void Write() { waiting += stalled || waiting > 0 ? kFrameBytes : 0; }
  void Sip() { waiting -= std::min(waiting, kFrameBytes / 2); }
  void Drain() { *this = Buffer(); }
};

// What everybody has seen of a connection.
struct Outcome {
  bool reset = false;  // The peer, an RST,
  bool fin = false;    // ... or a FIN.
  bool closed = false;
  CloseReason reason = CloseReason::kNone;
  std::string told;       // The client, of `e`of, `E`of by reset, `c`losed.
  bool failed = false;    // Its stream, with an error.
  std::string ended;      // Of the handler: once `d`one or `r`aised.
  bool flushing = false;  // The 30 s run.
  bool readable = true;   // The client's next frame is read.
  bool moving = false;    // The client is told so.
  bool leaves = false;    // It can leave now.

  void Note(CloseReason why) {
    if (reason == CloseReason::kNone) reason = why;
  }

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

std::string ToText(const Outcome& outcome) {
  return std::string(outcome.reset ? "RST " : "") +
         (outcome.fin ? "FIN " : "") + (outcome.closed ? "closed " : "") +
         (outcome.failed ? "failed " : "") +
         (outcome.flushing ? "flushing " : "") +
         (outcome.readable ? "readable " : "") +
         (outcome.moving ? "moving " : "") + (outcome.leaves ? "leaves " : "") +
         "told:" + outcome.told + " ended:" + outcome.ended +
         " reason:" + std::to_string(static_cast<int>(outcome.reason));
}

// A connection that does what the policy says, as Session and the server do.
class Driven {
 public:
  const Outcome& outcome() const { return outcome_; }
  const Buffer& buffer() const { return buffer_; }
  bool may_read() const { return policy_.may_read(); }

  void Step(Event event) {
    switch (event) {
      case Event::kData:
        Do(policy_.OnFrame(Frame::kData));
        break;
      case Event::kEof:
        Do(policy_.OnFrame(Frame::kEof));
        break;
      case Event::kDone:
        Do(policy_.OnFrame(Frame::kDone));
        break;
      case Event::kReset:
        Do(policy_.OnFrame(Frame::kReset));
        break;
      case Event::kRaised:
        Do(policy_.OnFrame(Frame::kRaised));
        break;
      case Event::kNonsense:
        Do(policy_.OnFrame(Frame::kNonsense));
        break;
      case Event::kStreamEnd:
        Do(policy_.OnStreamEnd());
        break;
      case Event::kBreak:
        Do(policy_.OnBroken(outcome_.fin));
        break;
      case Event::kEofTaken:
        Do(policy_.OnEofTaken());
        break;
      case Event::kPeerEnd:
        outcome_.Note(CloseReason::kPeerClosed);
        Do(policy_.OnPeerEnd());
        break;
      case Event::kPeerReset:
        Do(policy_.OnPeerReset());
        break;
      case Event::kStall:
        buffer_.stalled = true;
        break;
      case Event::kSip:
        buffer_.Sip();
        break;
      case Event::kDrain:
        buffer_.Drain();
        break;
      case Event::kCallClose:
        Flush(CloseReason::kCalled);
        break;
      case Event::kCallReset:
        Reset(CloseReason::kCalled);
        break;
      case Event::kShutDown:  // As CutStream() does.
        if (outcome_.flushing || outcome_.fin) {
          Flush(CloseReason::kShutdown);
        } else {
          Reset(CloseReason::kShutdown);
        }
        break;
      case Event::kAge:
        outcome_.reason = CloseReason::kBufferAge;
        Reset(CloseReason::kNone);
        break;
      case Event::kForce:
        outcome_.reason = CloseReason::kForced;
        Reset(CloseReason::kNone);
        break;
      case Event::kMove:
        outcome_.moving |= policy_.OnMove();
        break;
    }
    AfterBuffer();
    outcome_.leaves = policy_.may_leave();
    outcome_.failed = policy_.has_failed();
    outcome_.readable = policy_.may_read();
  }

 private:
  void Do(const StreamPolicy::Action& action) {
    if (action.write) {
      buffer_.Write();
      policy_.OnWritten(kFrameBytes, buffer_.waiting);
    }
    if (action.lost && !outcome_.closed) outcome_.reason = CloseReason::kForced;
    half_closed_ |= action.half_close;
    if (action.send_eof) outcome_.told += "e";
    if (action.close == StreamPolicy::Close::kReset) Reset(action.reason);
    if (action.close == StreamPolicy::Close::kInOrder) Flush(action.reason);
    if (action.end == StreamPolicy::End::kNo) return;
    const bool raised = action.end == StreamPolicy::End::kRaised;
    outcome_.ended += raised ? "r" : "d";
    Flush(raised ? CloseReason::kHandlerError : CloseReason::kHandlerDone);
  }

  void Flush(CloseReason reason) {
    if (outcome_.closed) return;
    outcome_.Note(reason);
    outcome_.flushing = true;
    policy_.OnCloseBegun();
  }
  void Reset(CloseReason reason) {
    if (outcome_.closed) return;
    outcome_.Note(reason);
    outcome_.reset = true;
    Close();
  }
  void Close() {
    outcome_.closed = true;
    outcome_.flushing = false;
    buffer_ = Buffer();
    Do(policy_.OnClosed());
    const auto farewell = policy_.FarewellOf(outcome_.reason);
    if (farewell.eof) outcome_.told += farewell.eof_is_reset ? "E" : "e";
    if (farewell.closed) outcome_.told += "c";
  }
  void AfterBuffer() {
    if (outcome_.closed) return;
    if (buffer_.waiting < kFrameBytes) policy_.OnBegun();
    if (buffer_.waiting > 0) return;
    outcome_.fin |= half_closed_ || outcome_.flushing;
    if (outcome_.flushing) Close();
  }

  StreamPolicy policy_{CloseReason::kClientGone};
  Buffer buffer_;
  bool half_closed_ = false;
  Outcome outcome_;
};

// The same by the sentences of the contract, from all that has happened.
class Contract {
 public:
  // What `events` come to.
  static Outcome Of(const std::vector<Event>& events) {
    Contract contract;
    for (const Event event : events) contract.Step(event);
    return contract.Result();
  }

 private:
  void Step(Event event) {
    switch (event) {
      case Event::kData:
        // "data after eof or done: ... counts as broken".
        if (said_eof_ || said_end_) return BreakRules();
        // Closed under the client: "frames that the daemon had not read are
        // lost, and then the reason is FORCED".
        asked_ ? void(lost_ = CloseReason::kForced) : buffer_.Write();
        break;
      case Event::kEof:
        said_eof_ = true;
        break;
      case Event::kStreamEnd:
        // "The client's end of stream without `done` is `eof`", but after
        // `moved` "that was all".
        said_eof_ |= !moving_;
        ended_stream_ = true;
        break;
      case Event::kDone:
        SayEnd("d", CloseReason::kHandlerDone);
        break;
      case Event::kRaised:
        SayEnd("r", CloseReason::kHandlerError);
        break;
      case Event::kReset:
        if (!said_end_) ended_ = "d";
        Cut(CloseReason::kHandlerDone);
        break;
      case Event::kNonsense:
        return BreakRules();
      case Event::kBreak:
        // "A stream that breaks resets the connection"; "but after `done` or
        // `raised`, and once everything up to the `eof` is flushed ...".
        broken_ = true;
        if (asked_) break;
        ended_ = "d";
        PeerHasAll() ? Ask(CloseReason::kClientGone)
                     : Cut(CloseReason::kClientGone);
        break;
      case Event::kEofTaken:
        eof_taken_ = true;
        break;
      case Event::kPeerEnd:
        peer_ended_ = true;
        Cause(CloseReason::kPeerClosed);
        break;
      case Event::kPeerReset:
        Cut(CloseReason::kPeerReset);
        break;
      case Event::kStall:
        buffer_.stalled = true;
        break;
      case Event::kSip:
        buffer_.Sip();
        break;
      case Event::kDrain:
        buffer_.Drain();
        break;
      case Event::kCallClose:
        closing_ |= ended_.empty();
        Ask(CloseReason::kCalled);
        break;
      case Event::kCallReset:
        Cut(CloseReason::kCalled);
        break;
      case Event::kShutDown:
        closing_ |= ended_.empty() && (asked_ || PeerHasAll());
        asked_ || PeerHasAll() ? Ask(CloseReason::kShutdown)
                               : Cut(CloseReason::kShutdown);
        break;
      case Event::kAge:
        lost_ = CloseReason::kBufferAge;
        Cut(CloseReason::kNone);
        break;
      case Event::kForce:
        lost_ = CloseReason::kForced;
        Cut(CloseReason::kNone);
        break;
      case Event::kMove:
        moving_ = !asked_ && !cut_ && !broken_;
        break;
    }
    // "once the peer's eof was delivered too, it is `done`".
    if (ended_stream_ && eof_taken_ && !moving_) {
      SayEnd("d", CloseReason::kHandlerDone);
    }
    held_ = event == Event::kData ? buffer_.waiting >= kFrameBytes
                                  : held_ && buffer_.waiting >= kFrameBytes;
    held_ &= !moving_;
  }

  Outcome Result() const {
    Outcome outcome;
    outcome.reset = cut_;
    outcome.fin = fin_was_sent_ || (!cut_ && PeerHasAll());
    outcome.closed = cut_ || (asked_ && buffer_.waiting == 0);
    outcome.failed = failed_;
    outcome.flushing = asked_ && !outcome.closed;
    // "The first cause wins ...; FORCED and BUFFER_AGE overrule".
    outcome.reason = lost_ != CloseReason::kNone ? lost_
                     : causes_.empty()           ? CloseReason::kNone
                                                 : causes_.front();
    outcome.ended = ended_.empty() && outcome.closed ? "d" : ended_;
    outcome.moving = moving_;
    // "That was all", and nothing has ended the connection, or is about to.
    outcome.leaves = moving_ && ended_stream_ && !asked_ && !cut_ && !broken_;
    outcome.readable = !failed_ && !broken_ && !ended_stream_ &&
                       (outcome.closed || closing_ || !held_);
    if (peer_ended_) outcome.told += "e";
    if (outcome.closed && !failed_) {
      if (outcome.reason == CloseReason::kPeerReset) outcome.told += "E";
      outcome.told += "c";
    }
    return outcome;
  }

  // All that there will be is with the kernel, and the FIN.
  bool PeerHasAll() const {
    return (said_eof_ || asked_) && buffer_.waiting == 0;
  }
  void Cause(CloseReason reason) {
    if (reason != CloseReason::kNone) causes_.push_back(reason);
  }
  // A flush is asked for.
  void Ask(CloseReason reason) {
    asked_ = true;
    Cause(reason);
  }
  void SayEnd(const char* how, CloseReason reason) {
    if (ended_.empty()) {
      ended_ = how;
      Ask(reason);
    }
    said_end_ = true;
  }
  void Cut(CloseReason reason) {
    fin_was_sent_ = PeerHasAll();
    cut_ = true;
    Cause(reason);
  }
  void BreakRules() {
    failed_ = true;
    Cut(CloseReason::kClientGone);
  }

  Buffer buffer_;
  bool held_ = false;  // Nothing of the last frame was taken.
  bool said_eof_ = false;
  bool said_end_ = false;
  bool ended_stream_ = false;
  bool broken_ = false;
  bool eof_taken_ = false;
  bool peer_ended_ = false;
  bool asked_ = false;
  bool closing_ = false;  // By others, before the client has ended.
  bool cut_ = false;
  bool fin_was_sent_ = false;
  bool failed_ = false;
  bool moving_ = false;
  std::string ended_;
  std::vector<CloseReason> causes_;
  CloseReason lost_ = CloseReason::kNone;
};

class Explorer {
 public:
  void Explore(int length) { Extend(Driven(), length); }
  int64_t num_sequences() const { return num_sequences_; }

 private:
  void Extend(const Driven& before, int length) {
    if (length == 0 || before.outcome().closed) return;
    for (int i = 0; i < kNumEvents; ++i) {
      const Event event = static_cast<Event>(i);
      if (!IsPossible(event, before)) continue;
      sequence_.push_back(event);
      ++num_sequences_;
      Driven after = before;
      after.Step(event);
      Check(before, after);
      if (::testing::Test::HasFailure()) return;
      Extend(after, length - 1);
      if (::testing::Test::HasFailure()) return;
      sequence_.pop_back();
    }
  }

  bool Had(Event event) const {
    return std::find(sequence_.begin(), sequence_.end(), event) !=
           sequence_.end();
  }

  bool IsPossible(Event event, const Driven& driven) const {
    const Outcome& outcome = driven.outcome();
    switch (event) {
      case Event::kData:
      case Event::kEof:
      case Event::kDone:
      case Event::kReset:
      case Event::kRaised:
      case Event::kNonsense:
      case Event::kStreamEnd:
        return driven.may_read();
      case Event::kBreak:
        return !Had(Event::kBreak);
      case Event::kEofTaken:
        return outcome.told == "e" && !Had(Event::kEofTaken) &&
               !Had(Event::kBreak) && !outcome.moving;
      case Event::kPeerEnd:
        // Nothing is read from the peer once it moves.
        return outcome.told.empty() && !outcome.moving;
      case Event::kMove:
        return !Had(Event::kMove);
      case Event::kStall:
        return !driven.buffer().stalled;
      case Event::kDrain:
        return driven.buffer().stalled;
      case Event::kSip:
      case Event::kAge:
        return driven.buffer().waiting > 0;
      case Event::kForce:
        return outcome.flushing;
      case Event::kPeerReset:
      case Event::kCallClose:
      case Event::kCallReset:
      case Event::kShutDown:
        return true;
    }
    return false;
  }

  void Check(const Driven& before, const Driven& after) {
    const Outcome& outcome = after.outcome();
    const Outcome expected = Contract::Of(sequence_);
    EXPECT_EQ(outcome, expected) << Text() << "\n is " << ToText(outcome)
                                 << "\nnot " << ToText(expected);
    // Whatever the table says:
    const Event event = sequence_.back();
    // What ends the connection at once, or starts the 30 s, needs no peer.
    if (event == Event::kReset || event == Event::kNonsense) {
      EXPECT_TRUE(outcome.closed) << Text();
    }
    if (event == Event::kDone || event == Event::kRaised) {
      EXPECT_TRUE(outcome.closed || outcome.flushing) << Text();
    }
    // No cut looks whole.
    if (outcome.closed && before.buffer().waiting > 0 &&
        event != Event::kDrain && event != Event::kSip) {
      EXPECT_TRUE(outcome.reset) << Text();
    }
    if (outcome.fin) {
      EXPECT_EQ(after.buffer().waiting, 0u) << Text();
    }
    // The bound on memory: a rest, and a frame.
    if (!outcome.moving) {
      EXPECT_LT(after.buffer().waiting, 2 * kFrameBytes) << Text();
    }
    if (outcome.leaves) {
      EXPECT_FALSE(outcome.flushing || outcome.closed || outcome.failed)
          << Text();
      EXPECT_EQ(outcome.ended, "") << Text();
    }
    // Nobody is told twice, and the handler ends once.
    EXPECT_LE(outcome.ended.size(), 1u) << Text();
    EXPECT_LE(std::count(outcome.told.begin(), outcome.told.end(), 'c'), 1)
        << Text();
    if (outcome.closed) {
      EXPECT_EQ(outcome.ended.size(), 1u) << Text();
      EXPECT_NE(outcome.failed, outcome.told.find('c') != std::string::npos)
          << Text();
    }
  }

  std::string Text() const {
    static const char* const kNames[kNumEvents] = {
        "data",      "eof",       "done",  "reset",    "raised",
        "nonsense",  "streamend", "break", "eoftaken", "peerend",
        "peerreset", "stall",     "sip",   "drain",    "callclose",
        "callreset", "shutdown",  "age",   "force",    "move"};
    std::string text;
    for (const Event event : sequence_) {
      text += std::string(kNames[static_cast<int>(event)]) + " ";
    }
    return text;
  }

  std::vector<Event> sequence_;
  int64_t num_sequences_ = 0;
};

TEST(StreamPolicy, HoldsUnderEveryShortSequenceOfEvents) {
  Explorer explorer;
  explorer.Explore(8);
  EXPECT_GT(explorer.num_sequences(), 100000);
}

class StreamPolicyTest : public ::testing::Test {
 protected:
  StreamPolicy policy_{CloseReason::kCancelled};
};

TEST_F(StreamPolicyTest, OneFrameIsReadAhead) {
  EXPECT_TRUE(policy_.OnFrame(Frame::kData).write);
  policy_.OnWritten(100, 1);  // The kernel has refused a byte.
  EXPECT_TRUE(policy_.may_read());
  EXPECT_TRUE(policy_.OnFrame(Frame::kData).write);
  policy_.OnWritten(50, 51);
  EXPECT_FALSE(policy_.may_read());
  policy_.OnBegun();
  EXPECT_TRUE(policy_.may_read());
}

TEST_F(StreamPolicyTest, AnEmptyFrameIsNeverHeld) {
  policy_.OnFrame(Frame::kData);
  policy_.OnWritten(0, 0);
  EXPECT_TRUE(policy_.may_read());
}

TEST_F(StreamPolicyTest, ABreakHasTheReasonOfItsOwner) {
  StreamPolicy::Action expected;
  expected.close = StreamPolicy::Close::kReset;
  expected.reason = CloseReason::kCancelled;
  expected.end = StreamPolicy::End::kDone;
  EXPECT_EQ(policy_.OnBroken(false), expected);
}

TEST_F(StreamPolicyTest, NothingIsCutAfterDone) {
  policy_.OnFrame(Frame::kDone);
  EXPECT_EQ(policy_.OnBroken(false), StreamPolicy::Action());
}

TEST_F(StreamPolicyTest, TheEofOfAResetSaysSo) {
  policy_.OnClosed();
  const auto farewell = policy_.FarewellOf(CloseReason::kPeerReset);
  EXPECT_TRUE(farewell.eof && farewell.eof_is_reset && farewell.closed);
  EXPECT_FALSE(policy_.FarewellOf(CloseReason::kPeerClosed).eof_is_reset);
  EXPECT_FALSE(policy_.FarewellOf(CloseReason::kCalled).eof);
}

// However much the client sends, what has to go along is bounded.
TEST_F(StreamPolicyTest, FramesAreHeldAgainWhereMuchIsOnTheWay) {
  EXPECT_TRUE(policy_.OnMove());
  EXPECT_FALSE(policy_.OnMove());
  EXPECT_TRUE(policy_.OnFrame(Frame::kData).write);
  policy_.OnWritten(100, StreamPolicy::kMostOnTheWay);
  EXPECT_TRUE(policy_.may_read());
  EXPECT_TRUE(policy_.OnFrame(Frame::kData).write);
  policy_.OnWritten(100, StreamPolicy::kMostOnTheWay + 100);
  EXPECT_FALSE(policy_.may_read());
  policy_.OnBegun();
  EXPECT_TRUE(policy_.may_read());
}

TEST(StreamPolicy, WhatWasEndedOnAStreamBeforeStaysSo) {
  StreamPolicy policy(CloseReason::kClientGone, true);
  EXPECT_FALSE(policy.takes_data());
  EXPECT_FALSE(policy.OnFrame(Frame::kEof).half_close);
  StreamPolicy other(CloseReason::kClientGone, true);
  (void)other.OnFrame(Frame::kData);
  EXPECT_TRUE(other.has_failed());
}

}  // namespace
}  // namespace portreeve::server
