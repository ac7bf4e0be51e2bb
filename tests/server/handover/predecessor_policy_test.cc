#include "server/handover/predecessor_policy.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/server/handover/policy_messages.h"

namespace portreeve::server {
namespace {

using Action = PredecessorPolicy::Action;

// A policy, and what is true of the process that obeys it, step by step.
class Scene {
 public:
  // d: the action is done.  f: it fails.  h, r, s: hello, ready, serving come.
  // w: a message comes that is never right.  y: it is `failed`.  +: the search
  // finds `serving`.  t: the deadline passes.
  static constexpr char kEvents[] = "dfhrswy+t";

  Scene()
      : policy_({kSuccessorPid, std::nullopt},
                kStart + std::chrono::seconds(1)) {}

  // Gives false where the event is not possible.
  bool Do(char event) {
    history_ += event;
    const Action before = policy_.action();
    if (!Happen(event)) return false;
    Look(before, event);
    return !::testing::Test::HasFailure();
  }

  // From any state on: where everything fails it ends, and where it was frozen
  // it serves again.
  void RunOut() {
    for (int steps = 0; !IsEnd(); ++steps) {
      ASSERT_LT(steps, 6) << history_;
      ASSERT_TRUE(Do('f')) << history_;
    }
    const bool serves = policy_.action() == Action::kRefused ||
                        policy_.action() == Action::kThawed;
    EXPECT_TRUE(serves || was_found_ || is_unknown_) << history_;
  }

  bool IsEnd() const {
    return policy_.action() == Action::kRefused ||
           policy_.action() == Action::kThawed ||
           policy_.action() == Action::kHandedOver ||
           policy_.action() == Action::kCrashed;
  }

 private:
  bool IsSearch() const {
    return policy_.action() == Action::kRefuseMore ||
           policy_.action() == Action::kSearch;
  }

  bool Happen(char event) {
    if (IsEnd()) return false;
    switch (event) {
      case 'd':
        return Finish();
      case 'f':
        // Who cannot search does not know.
        is_unknown_ |= policy_.action() == Action::kSearch && has_committed_;
        policy_.OnFault(absl::UnavailableError("broken"));
        return true;
      case 't':
        if (policy_.action() != Action::kAwait) return false;
        now_ = policy_.deadline();
        policy_.OnFault(absl::DeadlineExceededError("late"));
        return true;
      case '+':
        if (!IsSearch()) return false;
        was_found_ |= has_committed_;
        policy_.OnSearched(true);
        return true;
      default:
        break;
    }
    // Messages come while something is awaited, or sent.
    if (policy_.action() != Action::kAwait &&
        policy_.action() != Action::kSendContents) {
      return false;
    }
    was_found_ |= event == 's' && policy_.action() == Action::kAwait &&
                  policy_.step() == HandoverStep::kServing;
    policy_.OnMessage(event == 'h'   ? HelloMessage()
                      : event == 'r' ? ReadyMessage()
                      : event == 's' ? ServingMessage()
                      : event == 'y' ? FailedMessage()
                                     : EndMessage(),
                      now_);
    return true;
  }

  bool Finish() {
    switch (policy_.action()) {
      case Action::kAwait:
        return false;
      case Action::kSendContents:
        policy_.OnContentsSent(TestCounts(), now_);
        return true;
      case Action::kRefuseMore:
      case Action::kSearch:
        policy_.OnSearched(false);
        return true;
      default:
        policy_.OnDone(now_);
        return true;
    }
  }

  void Look(Action before, char event) {
    const Action action = policy_.action();
    // Whoever has begun to freeze thaws, or has handed over.
    if (action == Action::kFreeze) has_frozen_ = true;
    if (action == Action::kSendCommit) has_committed_ = true;
    EXPECT_EQ(policy_.is_committed(), has_committed_) << history_;
    if (action == Action::kRefused) {
      EXPECT_FALSE(has_frozen_) << history_;
    }
    // Nobody goes on before the successor can say nothing more, is dead, and
    // has not said that it serves.
    if (before == Action::kRefuseMore) is_silenced_ = true;
    if (before == Action::kKill) is_killed_ = true;
    if (action == Action::kThaw) {
      EXPECT_TRUE(is_silenced_ && is_killed_) << history_;
      EXPECT_EQ(before, Action::kSearch) << history_;
      EXPECT_FALSE(was_found_ || is_unknown_) << history_;
    }
    if (action == Action::kThawed) EXPECT_EQ(before, Action::kThaw) << history_;
    // It is killed only where it has said nothing by then.
    if (action == Action::kKill) EXPECT_FALSE(was_found_) << history_;
    if (action == Action::kHandedOver) {
      EXPECT_TRUE(was_found_ && has_committed_) << history_;
      EXPECT_EQ(policy_.is_deaf(), is_silenced_) << history_;
      EXPECT_FALSE(is_killed_) << history_;
    }
    if (action == Action::kCrashed) {
      EXPECT_TRUE((was_found_ || is_unknown_) && is_killed_) << history_;
    }
    if (event == 't') {
      EXPECT_NE(action, Action::kAwait) << history_;
    }
    const bool has_failed = action == Action::kRefused ||
                            action == Action::kThaw ||
                            action == Action::kCrashed;
    if (has_failed) EXPECT_NE(policy_.reason(), "") << history_;
  }

  PredecessorPolicy policy_;
  std::string history_;
  TimePoint now_ = kStart;
  bool has_frozen_ = false;
  bool has_committed_ = false;
  bool is_silenced_ = false;
  bool is_killed_ = false;
  bool was_found_ = false;  // `serving`, after `commit`.
  bool is_unknown_ = false;
};

void Explore(const Scene& scene, int depth) {
  Scene end = scene;
  end.RunOut();
  if (depth == 0) return;
  for (const char* event = Scene::kEvents; *event != '\0'; ++event) {
    Scene next = scene;
    if (next.Do(*event)) Explore(next, depth - 1);
    if (::testing::Test::HasFailure()) return;
  }
}

// A whole hand-over has nine, and one that fails late twelve.
TEST(PredecessorPolicyTest, EverySequenceOfTwelveEventsIsRight) {
  Explore(Scene(), 12);
}

class OnePredecessor : public ::testing::Test {
 protected:
  Action Judge(const internal::v1::Handover& hello,
               std::optional<internal::v1::HandoverDirectory> state = {},
               int64_t descriptors = 0) {
    policy_.emplace(PredecessorTerms{kSuccessorPid, std::move(state)},
                    kStart + std::chrono::seconds(1));
    policy_->set_num_descriptors(descriptors);
    policy_->OnMessage(hello, kStart);
    return policy_->action();
  }
  // Until `ready` is awaited.
  void SendAll() {
    ASSERT_EQ(Judge(HelloMessage()), Action::kAccept);
    policy_->OnDone(kStart);
    policy_->OnDone(kStart);
    policy_->OnContentsSent(TestCounts(), kStart);
    ASSERT_EQ(policy_->action(), Action::kAwait);
  }

  std::optional<PredecessorPolicy> policy_;
};

TEST_F(OnePredecessor, TakesTheHighestVersionThatBothSpeak) {
  auto hello = HelloMessage();
  hello.mutable_hello()->set_max_version(9);
  EXPECT_EQ(Judge(hello), Action::kAccept);
  EXPECT_EQ(policy_->version(), kNewestHandoverVersion);
  hello.mutable_hello()->set_min_version(kNewestHandoverVersion + 1);
  EXPECT_EQ(Judge(hello), Action::kRefuse);
  hello.mutable_hello()->set_min_version(0);
  hello.mutable_hello()->set_max_version(0);
  EXPECT_EQ(Judge(hello), Action::kRefuse);
  hello.mutable_hello()->set_min_version(1);
  EXPECT_EQ(Judge(hello), Action::kRefuse);
}

TEST_F(OnePredecessor, RefusesWhoHasAnotherState) {
  internal::v1::HandoverDirectory ours;
  ours.set_path("/var/lib/portreeve");
  ours.set_device(1);
  ours.set_inode(2);
  auto hello = HelloMessage();
  EXPECT_EQ(Judge(hello, ours), Action::kRefuse);
  *hello.mutable_hello()->mutable_state() = ours;
  EXPECT_EQ(Judge(hello), Action::kRefuse);
  // The way to it does not count.
  hello.mutable_hello()->mutable_state()->set_path("./portreeve");
  EXPECT_EQ(Judge(hello, ours), Action::kAccept);
  hello.mutable_hello()->mutable_state()->set_inode(3);
  EXPECT_EQ(Judge(hello, ours), Action::kRefuse);
  EXPECT_NE(policy_->reason().find("/var/lib/portreeve"), std::string::npos);
  hello.mutable_hello()->mutable_state()->set_inode(2);
  hello.mutable_hello()->mutable_state()->set_device(3);
  EXPECT_EQ(Judge(hello, ours), Action::kRefuse);
}

// What it has open, and what it would get and a tenth of it.
TEST_F(OnePredecessor, RefusesWhoHasNoRoomForAllDescriptors) {
  EXPECT_EQ(Judge(HelloMessage(), {}, 909), Action::kAccept);
  EXPECT_EQ(Judge(HelloMessage(), {}, 910), Action::kRefuse);
  auto hello = HelloMessage();
  hello.mutable_hello()->set_open_descriptors(25);
  EXPECT_EQ(Judge(hello, {}, 909), Action::kRefuse);
  for (const int64_t nonsense : {INT64_MIN, int64_t{-1}, INT64_MAX}) {
    hello.mutable_hello()->set_open_descriptors(nonsense);
    EXPECT_EQ(Judge(hello), Action::kRefuse);
  }
}

TEST_F(OnePredecessor, RefusesWhomItCannotKill) {
  auto hello = HelloMessage();
  hello.mutable_hello()->set_pid(1);
  EXPECT_EQ(Judge(hello), Action::kRefuse);
  policy_->OnDone(kStart);
  EXPECT_EQ(policy_->action(), Action::kRefused);
  EXPECT_EQ(policy_->step(), HandoverStep::kHello);
}

TEST_F(OnePredecessor, CommitsOnlyWhereAllCountsAgree) {
  const auto* const type = HandoverCounts::descriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    SendAll();
    HandoverCounts counts = TestCounts();
    counts.GetReflection()->SetInt64(&counts, type->field(i), 100 + i);
    policy_->OnMessage(ReadyMessage(counts), kStart);
    EXPECT_EQ(policy_->action(), Action::kRefuseMore);
    EXPECT_NE(policy_->reason().find(type->field(i)->name()), std::string::npos)
        << policy_->reason();
  }
  SendAll();
  policy_->OnMessage(ReadyMessage(), kStart);
  EXPECT_EQ(policy_->action(), Action::kSendCommit);
}

TEST_F(OnePredecessor, FiveSecondsFromTheFreezeAreTheEnd) {
  SendAll();
  EXPECT_EQ(policy_->deadline(), kStart + std::chrono::seconds(5));
  policy_->OnMessage(ReadyMessage(), policy_->commit_deadline());
  EXPECT_EQ(policy_->action(), Action::kRefuseMore) << "too late to commit";

  ASSERT_EQ(Judge(HelloMessage()), Action::kAccept);
  policy_->OnDone(kStart);
  policy_->OnDone(kStart);
  policy_->OnContentsSent(TestCounts(), policy_->deadline());
  EXPECT_EQ(policy_->action(), Action::kRefuseMore);
  EXPECT_EQ(policy_->step(), HandoverStep::kContents);
}

TEST_F(OnePredecessor, SaysWhatTheSuccessorHasSaid) {
  SendAll();
  policy_->OnMessage(FailedMessage(), kStart);
  EXPECT_EQ(policy_->step(), HandoverStep::kReady);
  EXPECT_EQ(policy_->reason(), "the successor failed: check: no room");
}

}  // namespace
}  // namespace portreeve::server
