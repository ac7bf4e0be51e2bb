// Both sides of a hand-over together, with everything that can go wrong between
// them: messages that are lost or late, and processes that die.
#include <gtest/gtest.h>

#include <deque>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/handover/predecessor_policy.h"
#include "server/handover/successor_policy.h"
#include "tests/server/handover/policy_messages.h"

namespace portreeve::server {
namespace {

using internal::v1::Handover;
using P = PredecessorPolicy::Action;
using S = SuccessorPolicy::Action;

// What of the operating system is as it should be.
struct Platform {
  // What the predecessor refuses to receive is not sent.
  bool refuses = true;
  // The successor dies when it is killed.
  bool kills = true;
  // Messages can be lost, which no kernel does.
  bool loses = true;
};

class World {
 public:
  explicit World(Platform platform)
      : platform_(platform),
        old_({kSuccessorPid, std::nullopt}, kStart + std::chrono::seconds(1)),
        new_(kStart) {}

  // P, S: a process does what it does next.  <, >: a message to the predecessor
  // or from it is lost.  1, 2, 3: it becomes the time of the predecessor's
  // deadline, of the successor's, of the one in `commit`.  p, s: a process is
  // killed by somebody else.
  static constexpr char kMoves[] = "PS<>123ps";
  static bool IsFault(char move) { return move != 'P' && move != 'S'; }

  bool Do(char move) {
    history_ += move;
    if (!Move(move)) return false;
    CheckAlways();
    return !::testing::Test::HasFailure();
  }

  // Where both wait for the other, time goes by.
  bool LetTimePass() {
    const bool old_waits = old_lives_ && old_.action() == P::kAwait;
    const bool new_waits = new_lives_ && new_.action() == S::kAwait;
    if (!old_waits && !new_waits) return false;
    TimePoint next = TimePoint::max();
    if (old_waits) next = std::min(next, old_.deadline());
    if (new_waits) next = std::min(next, new_.deadline());
    if (next <= now_) return false;
    now_ = next;
    history_ += '~';
    return true;
  }

  // Nobody does anything any more.
  void CheckEnd() const {
    const std::string trace = Trace();
    if (!old_lives_) return;
    const bool is_over =
        old_.action() == P::kRefused || old_.action() == P::kThawed ||
        old_.action() == P::kHandedOver || old_.action() == P::kCrashed;
    EXPECT_TRUE(is_over) << trace;
    if (old_.action() == P::kHandedOver) {
      EXPECT_TRUE(said_serving_) << trace;
      // Unless it has died since.
      EXPECT_TRUE(NewServes() || new_was_killed_) << trace;
    } else if (old_.action() == P::kCrashed) {
      EXPECT_FALSE(platform_.refuses) << trace;
      EXPECT_TRUE(said_serving_) << trace;
    } else {
      EXPECT_TRUE(OldServes()) << trace;
    }
    if (!said_serving_) EXPECT_TRUE(OldServes()) << trace;
    // A word that has got through is obeyed, and nobody is killed for it.
    if (platform_.refuses && said_serving_ && !lost_serving_) {
      EXPECT_EQ(old_.action(), P::kHandedOver) << trace;
    }
  }

  std::string Key() const {
    std::string key = absl::StrCat(
        int(old_.action()), ",", int(old_.step()), ",",
        old_.deadline().time_since_epoch().count(), ",", sent_, ",",
        old_.is_committed(), ";", int(new_.action()), ",", new_.step(), ",",
        new_.deadline().time_since_epoch().count(), ",",
        new_.counts().ShortDebugString(), ";", now_.time_since_epoch().count(),
        old_lives_, new_lives_, refused_, has_looked_, said_serving_,
        lost_serving_, frozen_);
    for (const Handover& message : to_old_) {
      absl::StrAppend(&key, "<", KindName(message));
    }
    for (const Handover& message : to_new_) {
      absl::StrAppend(&key, ">", KindName(message));
    }
    return absl::StrCat(key, new_was_killed_);
  }

  bool has_crashed() const { return old_.action() == P::kCrashed; }
  bool is_deaf() const {
    return old_.action() == P::kHandedOver && old_.is_deaf();
  }

 private:
  bool OldServes() const {
    return old_lives_ && !frozen_ && old_.action() != P::kHandedOver &&
           old_.action() != P::kCrashed;
  }
  bool NewServes() const { return new_lives_ && new_.action() == S::kServe; }
  // Whether the predecessor has the socket still.
  bool OldListens() const {
    return old_lives_ && old_.action() != P::kRefused &&
           old_.action() != P::kThawed && old_.action() != P::kCrashed;
  }
  std::string Trace() const {
    return absl::StrCat(history_, ": ", old_.reason(), "; ", new_.reason());
  }

  void CheckAlways() const {
    EXPECT_FALSE(OldServes() && NewServes()) << Trace();
    // A successor that this process did not wait for has touched nothing,
    // unless its word was lost.
    if (old_lives_ && old_.action() == P::kThawed && platform_.refuses &&
        !lost_serving_) {
      EXPECT_FALSE(said_serving_) << Trace();
    }
  }

  bool Move(char move) {
    switch (move) {
      case 'P':
        return old_lives_ && MoveOld();
      case 'S':
        return new_lives_ && MoveNew();
      case '<':
        if (to_old_.empty() || !platform_.loses) return false;
        lost_serving_ |= to_old_.front().has_serving();
        to_old_.pop_front();
        return true;
      case '>':
        if (to_new_.empty() || !platform_.loses) return false;
        to_new_.pop_front();
        return true;
      case '1':
        return Jump(old_.deadline());
      case '2':
        return Jump(new_.deadline());
      case '3':
        return Jump(old_.commit_deadline());
      case 'p':
        if (!old_lives_) return false;
        old_lives_ = false;
        return true;
      default:
        if (!new_lives_) return false;
        new_lives_ = false;
        new_was_killed_ = true;
        return true;
    }
  }

  bool Jump(TimePoint time) {
    if (time <= now_) return false;
    now_ = time;
    return true;
  }

  bool MoveOld() {
    switch (old_.action()) {
      case P::kAwait:
        if (TakeOld()) return true;
        if (!new_lives_) {
          old_.OnFault(absl::UnavailableError("ended"));
        } else if (now_ >= old_.deadline()) {
          old_.OnFault(absl::DeadlineExceededError("late"));
        } else {
          return false;
        }
        return true;
      case P::kRefuse:
        return SendOld(RefusedMessage());
      case P::kAccept:
        return SendOld(AcceptedMessage());
      case P::kSendCommit:
        return SendOld(CommitMessage(old_.commit_deadline()));
      case P::kFreeze:
        frozen_ = true;
        break;
      case P::kSendContents:
        return SendContents();
      case P::kRefuseMore:
        refused_ = platform_.refuses;
        old_.OnSearched(Search());
        return true;
      case P::kSearch:
        old_.OnSearched(Search());
        return true;
      case P::kKill:
        if (platform_.kills) new_lives_ = false;
        break;
      case P::kThaw:
        frozen_ = false;
        break;
      default:
        return false;
    }
    old_.OnDone(now_);
    return true;
  }

  bool TakeOld() {
    if (to_old_.empty()) return false;
    const Handover message = to_old_.front();
    to_old_.pop_front();
    old_.OnMessage(message, now_);
    return true;
  }

  bool SendOld(const Handover& message) {
    if (!new_lives_) {
      old_.OnFault(absl::UnavailableError("ended"));
    } else {
      to_new_.push_back(message);
      old_.OnDone(now_);
    }
    return true;
  }

  bool SendContents() {
    const std::vector<Handover> contents = {
        CountersMessage(), ListenersMessage(), EventsMessage(), EndMessage()};
    if (TakeOld()) return true;
    if (!new_lives_) {
      old_.OnFault(absl::UnavailableError("ended"));
      return true;
    }
    to_new_.push_back(contents[sent_]);
    if (++sent_ == contents.size()) old_.OnContentsSent(TestCounts(), now_);
    return true;
  }

  bool Search() {
    bool found = false;
    for (const Handover& message : std::exchange(to_old_, {})) {
      found |= message.has_serving();
    }
    return found;
  }

  bool MoveNew() {
    switch (new_.action()) {
      case S::kSayHello:
        return SendNew(HelloMessage());
      case S::kSayReady:
        return SendNew(ReadyMessage(new_.counts()));
      case S::kSayServing:
        return SendNew(ServingMessage());
      case S::kSayFailed:
        if (OldListens() && !refused_) to_old_.push_back(FailedMessage());
        new_.OnDone(now_);
        return true;
      case S::kAwait:
        if (!to_new_.empty()) {
          const Handover message = to_new_.front();
          to_new_.pop_front();
          new_.OnMessage(message, now_);
        } else if (!OldListens()) {
          new_.OnFault(absl::UnavailableError("ended"));
        } else if (now_ >= new_.deadline()) {
          new_.OnFault(absl::DeadlineExceededError("late"));
        } else {
          return false;
        }
        return true;
      case S::kReadEvents:
        new_.OnEventsRead(5, 77);
        return true;
      case S::kExit:
        new_lives_ = false;
        return true;
      case S::kServe:
        return false;
      default:
        new_.OnDone(now_);
        return true;
    }
  }

  bool SendNew(const Handover& message) {
    // Between its look at the clock and the call anything can happen.
    if (!std::exchange(has_looked_, true)) {
      if (now_ >= new_.deadline()) {
        has_looked_ = false;
        new_.OnFault(absl::DeadlineExceededError("late"));
      }
      return true;
    }
    has_looked_ = false;
    if (!OldListens() || refused_) {
      new_.OnFault(absl::UnavailableError("ended"));
    } else {
      to_old_.push_back(message);
      said_serving_ |= message.has_serving();
      new_.OnDone(now_);
    }
    return true;
  }

  Platform platform_;
  PredecessorPolicy old_;
  SuccessorPolicy new_;
  std::string history_;
  TimePoint now_ = kStart;
  std::deque<Handover> to_old_;
  std::deque<Handover> to_new_;
  size_t sent_ = 0;  // Messages of the contents.
  bool old_lives_ = true;
  bool new_lives_ = true;
  bool new_was_killed_ = false;  // By somebody else.
  bool frozen_ = false;
  bool refused_ = false;
  bool has_looked_ = false;  // The successor, at the clock.
  bool said_serving_ = false;
  bool lost_serving_ = false;
};

struct Seen {
  std::set<std::string> worlds;
  int ends = 0;
  int crashes = 0;
  int deaf = 0;
};

void Explore(const World& world, int faults, Seen& seen) {
  if (!seen.worlds.insert(absl::StrCat(world.Key(), "/", faults)).second) {
    return;
  }
  bool is_stuck = true;
  for (const char* move = World::kMoves; *move != '\0'; ++move) {
    const bool is_fault = World::IsFault(*move);
    if (is_fault && faults == 0) continue;
    World next = world;
    if (next.Do(*move)) {
      if (!is_fault) is_stuck = false;
      Explore(next, faults - is_fault, seen);
    }
    if (::testing::Test::HasFailure()) return;
  }
  if (!is_stuck) return;
  World next = world;
  if (next.LetTimePass()) return Explore(next, faults, seen);
  world.CheckEnd();
  ++seen.ends;
  seen.crashes += world.has_crashed();
  seen.deaf += world.is_deaf();
}

TEST(HandoverProductTest, OneOfThemServesWhateverThreeFaultsThereAre) {
  Seen seen;
  Explore(World(Platform()), 3, seen);
  EXPECT_GT(seen.ends, 100);
  EXPECT_GT(seen.deaf, 0) << "no word came in the last moment";
  EXPECT_EQ(seen.crashes, 0);
}

// The word of the successor decides, and no kill does.
TEST(HandoverProductTest, OneOfThemServesWhereNobodyCanBeKilled) {
  Platform platform;
  platform.kills = false;
  platform.loses = false;
  Seen seen;
  Explore(World(platform), 3, seen);
  EXPECT_GT(seen.ends, 100);
  EXPECT_EQ(seen.crashes, 0);
}

// On a kernel that lets the successor speak all the same, it is dead before the
// predecessor goes on; and what nobody can know is a crash.
TEST(HandoverProductTest, AWordThatComesTooLateIsACrash) {
  Platform platform;
  platform.refuses = false;
  Seen seen;
  Explore(World(platform), 3, seen);
  EXPECT_GT(seen.crashes, 0);
}

}  // namespace
}  // namespace portreeve::server
