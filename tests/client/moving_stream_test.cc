// Streams whose connection moves to the next process of the daemon, which is
// the next answer to Attach here.
#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "client/canceller.h"
#include "client/client.h"
#include "client/error.h"
#include "client/stream.h"
#include "tests/client/fake_daemon.h"
#include "tests/client/frames.h"

namespace portreeve::client {
namespace {

using absl::StatusCode;
using grpc::Status;

// One stream of the daemon, and what it has got.
struct Leg {
  FakeDaemon::Frames& frames;
  std::string& got;

  void Open() const { frames.Write(OpenedFrame("connections/7")); }
  void Say(const v1::ServerFrame& frame) const { frames.Write(frame); }
  void Give(const std::string& bytes) const { Say(DataFrame(bytes)); }
  // Takes one frame: its data, or a letter: e(of), d(one), r(eset).  False at
  // the end, which is a dot.
  bool Take() const {
    v1::ClientFrame frame;
    const bool has_one = frames.Read(&frame);
    if (!has_one) {
      got += '.';
    } else if (frame.has_data()) {
      got += frame.data();
    } else {
      got += frame.has_eof() ? 'E' : frame.has_done() ? 'D' : 'R';
    }
    return has_one;
  }
  void TakeAll() const {
    while (Take()) {
    }
  }
  // Says that it moves and takes all that was left.
  Status Move() const {
    Say(MovedFrame());
    TakeAll();
    return Status::OK;
  }
  // Serves until `done`.
  Status Close() const {
    while ((got.empty() || got.back() != 'D') && Take()) {
    }
    Say(ClosedFrame(v1::CLOSE_REASON_HANDLER_DONE));
    return Status::OK;
  }
};

Status Refused(grpc::StatusCode code, const std::string& reason) {
  return Refusal(code, "refused", reason);
}

using Play = std::function<Status(const Leg&)>;

class MovingStreamTest : public ::testing::Test {
 protected:
  MovingStreamTest() {
    const auto answer = [this](const auto&, FakeDaemon::Frames& frames) {
      return Serve(frames);
    };
    daemon_.attach.set_answer(answer);
    daemon_.dial.set_answer(answer);
  }
  ~MovingStreamTest() override {
    if (!end_.HasBeenNotified()) end_.Notify();
  }

  // What the next stream does.
  void Then(Play play) {
    std::lock_guard lock(mutex_);
    plays_.push_back(std::move(play));
  }
  // What each one does that comes then.
  void ThenAlways(Play play) {
    std::lock_guard lock(mutex_);
    last_play_ = std::move(play);
  }
  // The same, once it is opened.
  void ThenOpen(Play play) {
    Then([play = std::move(play)](const Leg& leg) {
      leg.Open();
      return play(leg);
    });
  }
  void ThenMove() {
    ThenOpen([](const Leg& leg) { return leg.Move(); });
  }
  void ThenClose() {
    ThenOpen([](const Leg& leg) { return leg.Close(); });
  }

  Stream Attached(const CallOptions& options = {}) {
    absl::StatusOr<Stream> stream = client_.Attach("connections/7", options);
    EXPECT_TRUE(stream.ok()) << stream.status();
    return *std::move(stream);
  }

  // What each stream has got.
  std::vector<std::string> got() {
    std::lock_guard lock(mutex_);
    return got_;
  }

  static void ExpectData(Stream& stream, const std::string& bytes) {
    std::string read;
    while (read.size() < bytes.size()) {
      const auto frame = stream.Read();
      ASSERT_TRUE(frame.ok()) << frame.status();
      ASSERT_TRUE(frame->has_data()) << frame->ShortDebugString();
      read += frame->data();
    }
    EXPECT_EQ(read, bytes);
  }
  static void ExpectClosed(Stream& stream) {
    for (int i = 0; i < 2; ++i) {
      const auto frame = stream.Read();
      ASSERT_TRUE(frame.ok()) << frame.status();
      EXPECT_TRUE(frame->has_closed()) << frame->ShortDebugString();
    }
    EXPECT_EQ(stream.Send("x").code(), StatusCode::kFailedPrecondition);
  }

  absl::Notification end_;  // Outlives the daemon's threads.

 private:
  Status Serve(FakeDaemon::Frames& frames) {
    Play play;
    size_t number = 0;
    {
      std::lock_guard lock(mutex_);
      number = got_.size();
      got_.emplace_back();
      play = last_play_;
      if (!plays_.empty()) {
        play = std::move(plays_.front());
        plays_.pop_front();
      }
    }
    std::string got;
    const Status status = play({frames, got});
    std::lock_guard lock(mutex_);
    got_[number] = got;
    return status;
  }

  std::mutex mutex_;
  std::deque<Play> plays_;
  Play last_play_ = [](const Leg&) {
    return Refused(grpc::StatusCode::NOT_FOUND, "NOT_FOUND");
  };
  std::vector<std::string> got_;

 protected:
  FakeDaemon daemon_;
  Client client_ = *Client::ForAddress(daemon_.address());
};

using Legs = std::vector<std::string>;

TEST_F(MovingStreamTest, BeforeAnyData) {
  ThenMove();
  ThenOpen([](const Leg& leg) {
    leg.Give("b");
    return leg.Close();
  });
  Stream stream = Attached();
  ExpectData(stream, "b");
  EXPECT_TRUE(stream.Send("x").ok());
  EXPECT_TRUE(stream.Done().ok());
  ExpectClosed(stream);
  EXPECT_EQ(got(), (Legs{".", "xD"}));
  const auto requests = daemon_.attach.requests();
  for (const v1::ClientFrame& first : requests) {
    EXPECT_EQ(first.ShortDebugString(),
              "attach { connection: \"connections/7\" can_move: true }");
  }
}

TEST_F(MovingStreamTest, ADialledOneIsAttachedByItsName) {
  ThenMove();
  ThenOpen([](const Leg& leg) {
    leg.Give("b");
    return leg.Close();
  });
  absl::StatusOr<Stream> stream = client_.Dial({});
  ASSERT_TRUE(stream.ok()) << stream.status();
  ExpectData(*stream, "b");
  EXPECT_TRUE(stream->Send("x").ok());
  EXPECT_TRUE(stream->Done().ok());
  ExpectClosed(*stream);
  EXPECT_EQ(got(), (Legs{".", "xD"}));
  EXPECT_TRUE(daemon_.dial.requests()[0].dial().can_move());
  EXPECT_EQ(daemon_.attach.requests()[0].attach().connection(),
            "connections/7");
}

TEST_F(MovingStreamTest, BetweenDataEachWayAndAgainAndAgain) {
  for (const char* bytes : {"a", "b", "c"}) {
    ThenOpen([bytes](const Leg& leg) {
      leg.Give(bytes);
      leg.Take();
      return leg.Move();
    });
  }
  ThenOpen([](const Leg& leg) {
    leg.Give("d");
    return leg.Close();
  });
  Stream stream = Attached();
  for (const char* bytes : {"a", "b", "c", "d"}) {
    ExpectData(stream, bytes);
    EXPECT_TRUE(stream.Send(bytes).ok());
  }
  EXPECT_TRUE(stream.Done().ok());
  ExpectClosed(stream);
  EXPECT_EQ(got(), (Legs{"a.", "b.", "c.", "dD"}));
}

// It has come, or crosses `moved`.
TEST_F(MovingStreamTest, TheUsersEofIsSaidAgain) {
  for (const bool crosses : {false, true}) {
    const size_t before = got().size();
    ThenOpen([crosses](const Leg& leg) {
      if (!crosses) leg.Take();
      return leg.Move();
    });
    ThenMove();
    ThenOpen([](const Leg& leg) {
      leg.Take();
      leg.Give("b");
      return leg.Close();
    });
    Stream stream = Attached();
    EXPECT_TRUE(stream.SendEof().ok());
    ExpectData(stream, "b");
    EXPECT_EQ(stream.Send("x").code(), StatusCode::kFailedPrecondition);
    EXPECT_EQ(stream.SendEof().code(), StatusCode::kFailedPrecondition);
    EXPECT_TRUE(stream.Done().ok());
    ExpectClosed(stream);
    const Legs all = got();
    EXPECT_EQ(Legs(all.begin() + static_cast<int>(before), all.end()),
              (Legs{"E.", "E.", "ED"}));
  }
}

TEST_F(MovingStreamTest, ThePeersEofIsToldOnce) {
  ThenOpen([](const Leg& leg) {
    leg.Give("a");
    leg.Say(EofFrame());
    return leg.Move();
  });
  ThenOpen([](const Leg& leg) {
    leg.Say(EofFrame());
    leg.Say(ClosedFrame(v1::CLOSE_REASON_CALLED));
    return Status::OK;
  });
  Stream stream = Attached();
  ExpectData(stream, "a");
  EXPECT_TRUE(stream.Read()->has_eof());
  ExpectClosed(stream);
}

TEST_F(MovingStreamTest, APeersResetIsToldAfterItsEof) {
  ThenOpen([](const Leg& leg) {
    leg.Say(EofFrame());
    return leg.Move();
  });
  ThenOpen([](const Leg& leg) {
    leg.Say(EofFrame());
    leg.Say(EofFrame(true));
    leg.Say(ClosedFrame(v1::CLOSE_REASON_PEER_RESET));
    return Status::OK;
  });
  Stream stream = Attached();
  EXPECT_FALSE(stream.Read()->eof().reset());
  EXPECT_TRUE(stream.Read()->eof().reset());
  ExpectClosed(stream);
}

std::string Varied(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i)
    text[i] = static_cast<char>('a' + i / 3 % 26);
  return text;
}

TEST_F(MovingStreamTest, WhileABigWriteIsOnItsWay) {
  const auto take_and_move = [](const Leg& leg) {
    while (leg.got.size() < 100'000 && leg.Take()) {
    }
    return leg.Move();
  };
  constexpr size_t kMoves = 4;
  for (size_t i = 0; i < kMoves; ++i) ThenOpen(take_and_move);
  ThenOpen([](const Leg& leg) {
    leg.Give("b");
    return leg.Close();
  });
  Stream stream = Attached();
  const std::string sent = Varied(40'000'000);
  auto sending =
      std::async(std::launch::async, [&] { return stream.Send(sent); });
  ExpectData(stream, "b");
  EXPECT_TRUE(sending.get().ok());
  EXPECT_TRUE(stream.Done().ok());
  ExpectClosed(stream);
  std::string all;
  const Legs legs = got();
  EXPECT_EQ(legs.size(), kMoves + 1);
  for (const std::string& leg : legs) {
    EXPECT_TRUE(leg.back() == '.' || leg.back() == 'D');
    all.append(leg, 0, leg.size() - 1);
  }
  EXPECT_TRUE(all == sent);
}

TEST_F(MovingStreamTest, BothWaysAtFullSpeed) {
  const std::string bytes = Varied(500'000);
  constexpr int kMoves = 20;
  const auto give_and_take = [&](const Leg& leg) {
    for (size_t at = 0; at < bytes.size(); at += 50'000) {
      leg.Give(bytes.substr(at, 50'000));
      leg.Take();
    }
  };
  for (int i = 0; i < kMoves; ++i) {
    ThenOpen([&](const Leg& leg) {
      give_and_take(leg);
      return leg.Move();
    });
  }
  ThenOpen([&](const Leg& leg) {
    give_and_take(leg);
    leg.Say(EofFrame());
    return leg.Close();
  });
  Stream stream = Attached();
  absl::Notification enough;
  std::string sent;
  auto sending = std::async(std::launch::async, [&] {
    absl::Status status;
    while (status.ok() && !enough.HasBeenNotified()) {
      sent += bytes;
      status = stream.Send(bytes);
    }
    return status;
  });
  std::string expected;
  for (int i = 0; i <= kMoves; ++i) expected += bytes;
  std::string read;
  auto frame = stream.Read();
  for (; frame.ok() && frame->has_data(); frame = stream.Read()) {
    read += frame->data();
  }
  EXPECT_TRUE(read == expected);
  ASSERT_TRUE(frame.ok()) << frame.status();
  EXPECT_TRUE(frame->has_eof());
  enough.Notify();
  EXPECT_TRUE(sending.get().ok());
  EXPECT_TRUE(stream.Done().ok());
  ExpectClosed(stream);
  std::string all;
  for (const std::string& leg : got()) all.append(leg, 0, leg.size() - 1);
  EXPECT_TRUE(all == sent);
}

// What is left of it comes as if it had not been said.
TEST_F(MovingStreamTest, AConnectionThatEndsBeforeItHasMoved) {
  ThenOpen([](const Leg& leg) {
    leg.Say(MovedFrame());
    leg.Give("a");
    leg.Say(EofFrame(true));
    leg.Say(ClosedFrame(v1::CLOSE_REASON_PEER_RESET));
    return Status::OK;
  });
  Stream stream = Attached();
  ExpectData(stream, "a");
  // And who reads and sends in turn does not wait for ever.
  EXPECT_EQ(stream.Send("x").code(), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(stream.Read()->eof().reset());
  ExpectClosed(stream);
  EXPECT_EQ(got().size(), 1u);
}

TEST_F(MovingStreamTest, TheUsersEndThatCrossesItIsTheEnd) {
  ThenOpen([](const Leg& leg) {
    leg.Say(MovedFrame());
    return leg.Close();
  });
  Stream stream = Attached();
  EXPECT_TRUE(stream.Send("x").ok());
  EXPECT_TRUE(stream.Done().ok());
  ExpectClosed(stream);
  EXPECT_EQ(got(), (Legs{"xD"}));
}

TEST_F(MovingStreamTest, WithoutClosedTheUsersEndIsNotKnownToBeHeard) {
  ThenMove();
  Stream stream = Attached();
  EXPECT_TRUE(stream.Done().ok());
  EXPECT_EQ(stream.Read().status().code(), StatusCode::kInternal);
  EXPECT_EQ(got().size(), 1u);
}

TEST_F(MovingStreamTest, AStreamThatBreaksAfterMovedIsBroken) {
  ThenOpen([](const Leg& leg) {
    leg.Move();
    return Status(grpc::StatusCode::UNAVAILABLE, "killed");
  });
  Stream stream = Attached();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(stream.Read().status(), absl::UnavailableError("killed"));
  }
  EXPECT_EQ(stream.Send("x").code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(got().size(), 1u);
}

TEST_F(MovingStreamTest, WithoutMovedNothingGoesOn) {
  ThenOpen([](const Leg&) { return Status::OK; });
  Stream stream = Attached();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(stream.Read().status().code(), StatusCode::kInternal);
  }
  EXPECT_EQ(got().size(), 1u);
}

TEST_F(MovingStreamTest, WhileTheProcessesChangeItIsTriedAgain) {
  ThenMove();
  Then([](const Leg&) {
    return Status(grpc::StatusCode::UNAVAILABLE, "connection refused");
  });
  Then([](const Leg&) {
    return Refused(grpc::StatusCode::UNAVAILABLE, "MOVED");
  });
  Then([](const Leg&) { return Status::CANCELLED; });
  ThenOpen([](const Leg& leg) {
    leg.Give("b");
    return leg.Close();
  });
  Stream stream = Attached();
  ExpectData(stream, "b");
  EXPECT_TRUE(stream.Done().ok());
  ExpectClosed(stream);
  EXPECT_EQ(got(), (Legs{".", "", "", "", "D"}));
}

TEST_F(MovingStreamTest, AnotherRefusalIsTheEnd) {
  for (const Status& refusal :
       {Refused(grpc::StatusCode::NOT_FOUND, "NOT_FOUND"),
        Refused(grpc::StatusCode::FAILED_PRECONDITION, "ALREADY_ATTACHED"),
        Refused(grpc::StatusCode::UNAVAILABLE, "SHUTTING_DOWN"),
        Status(grpc::StatusCode::UNKNOWN, "a proxy")}) {
    const size_t before = got().size();
    ThenMove();
    Then([refusal](const Leg&) { return refusal; });
    Stream stream = Attached();
    auto reading = std::async(std::launch::async, [&] {
      EXPECT_EQ(stream.Read().status().message(), refusal.error_message());
      return stream.Read().status();
    });
    while (stream.Send("x").ok()) {
    }
    const absl::Status status = reading.get();
    EXPECT_EQ(static_cast<int>(status.code()), refusal.error_code());
    EXPECT_EQ(stream.Done().code(), StatusCode::kFailedPrecondition);
    EXPECT_EQ(got().size(), before + 2);
  }
}

TEST_F(MovingStreamTest, WithoutOpenedItIsTheEnd) {
  for (const bool says_eof : {false, true}) {
    ThenMove();
    Then([says_eof](const Leg& leg) {
      if (says_eof) leg.Say(EofFrame());
      return Status::OK;
    });
    Stream stream = Attached();
    EXPECT_EQ(stream.Read().status().code(), StatusCode::kInternal);
  }
}

TEST_F(MovingStreamTest, WhatIsSentMeanwhileGoesOnTheNext) {
  absl::Notification is_between;
  absl::Notification go_on;
  ThenMove();
  Then([&](const Leg& leg) {
    is_between.Notify();
    go_on.WaitForNotification();
    leg.Open();
    return leg.Close();
  });
  Stream stream = Attached();
  auto reading = std::async(std::launch::async, [&] { ExpectClosed(stream); });
  is_between.WaitForNotification();
  auto sending = std::async(std::launch::async, [&] {
    absl::Status status = stream.Send("x");
    status.Update(stream.SendEof());
    status.Update(stream.Done());
    return status;
  });
  go_on.Notify();
  EXPECT_TRUE(sending.get().ok());
  reading.get();
  EXPECT_EQ(got(), (Legs{".", "xED"}));
}

// By itself, or by a Canceller; in the call, or in the wait before it.
TEST_F(MovingStreamTest, CancelEndsItOnItsWay) {
  for (const bool by_canceller : {false, true}) {
    for (const bool in_call : {false, true}) {
      absl::Notification is_between;
      const auto refuse = [](const Leg&) {
        return Status(grpc::StatusCode::UNAVAILABLE, "refused");
      };
      ThenMove();
      Then([&](const Leg& leg) {
        is_between.Notify();
        if (!in_call) return refuse(leg);
        end_.WaitForNotification();
        return Status::OK;
      });
      ThenAlways(refuse);
      Canceller canceller;
      Stream stream = Attached({.canceller = &canceller});
      auto reading = std::async(std::launch::async,
                                [&] { return stream.Read().status(); });
      is_between.WaitForNotification();
      auto sending =
          std::async(std::launch::async, [&] { return stream.Send("x"); });
      if (by_canceller) {
        canceller.Cancel();
      } else {
        stream.Cancel();
      }
      EXPECT_EQ(reading.get().code(), StatusCode::kCancelled);
      EXPECT_EQ(sending.get().code(), StatusCode::kFailedPrecondition);
      EXPECT_EQ(stream.Read().status().code(), StatusCode::kCancelled);
    }
  }
}

TEST_F(MovingStreamTest, TheTimeoutIsThatOfTheWholeStream) {
  ThenMove();
  Then([this](const Leg&) {
    end_.WaitForNotification();
    return Status::OK;
  });
  Stream stream = Attached({.timeout = absl::Milliseconds(200)});
  EXPECT_EQ(stream.Read().status().code(), StatusCode::kDeadlineExceeded);
}

TEST_F(MovingStreamTest, OneThatIsDroppedOnItsWayEnds) {
  ThenMove();
  ThenMove();
  Attached();
}

}  // namespace
}  // namespace portreeve::client
