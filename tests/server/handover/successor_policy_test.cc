#include "server/handover/successor_policy.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "server/handover/predecessor_policy.h"
#include "tests/server/handover/policy_messages.h"

namespace portreeve::server {
namespace {

using Action = SuccessorPolicy::Action;

// A policy, and what is true of the process that obeys it, step by step.
class Scene {
 public:
  // d: the action is done.  f: it fails.  Messages: a accepted, x refused,
  // c counters, l listeners, e events, n end, m commit, o commit that is over,
  // w what is never right.
  static constexpr char kEvents[] = "dfaxclenmow";

  Scene() : policy_(kStart) {}

  bool Do(char event) {
    history_ += event;
    if (IsEnd()) return false;
    const Action before = policy_.action();
    if (!Happen(event)) return false;
    const Action action = policy_.action();
    if (before == Action::kSayServing && event == 'd') said_serving_ = true;
    // It serves if, and only if, it has said so; and says so only after all
    // that has to be before.
    EXPECT_EQ(action == Action::kServe, said_serving_) << history_;
    if (said_serving_) {
      EXPECT_EQ(history_, "dacd" + listeners_ + "eddnddmd") << history_;
    }
    if (action == Action::kSayFailed) EXPECT_NE(policy_.reason(), "");
    if (action == Action::kExit && !policy_.is_refused()) {
      EXPECT_EQ(before, Action::kSayFailed) << history_;
    }
    return !::testing::Test::HasFailure();
  }

  void RunOut() {
    for (int steps = 0; !IsEnd(); ++steps) {
      ASSERT_LT(steps, 3) << history_;
      ASSERT_TRUE(Do('f')) << history_;
    }
    EXPECT_EQ(policy_.action() == Action::kServe, said_serving_) << history_;
  }

 private:
  bool IsEnd() const {
    return policy_.action() == Action::kServe ||
           policy_.action() == Action::kExit;
  }

  bool Happen(char event) {
    if (event == 'f') {
      policy_.OnFault(absl::UnavailableError("broken"));
      return true;
    }
    if (event == 'd') {
      if (policy_.action() == Action::kAwait) return false;
      if (policy_.action() == Action::kReadEvents) {
        policy_.OnEventsRead(5, 77);
      } else {
        policy_.OnDone(kStart);
      }
      return true;
    }
    if (policy_.action() != Action::kAwait) return false;
    switch (event) {
      case 'a':
        policy_.OnMessage(AcceptedMessage(), kStart);
        return true;
      case 'x':
        policy_.OnMessage(RefusedMessage(), kStart);
        return true;
      case 'c':
        policy_.OnMessage(CountersMessage(), kStart);
        return true;
      case 'l':
        listeners_ += "ld";
        policy_.OnMessage(ListenersMessage(), kStart);
        return true;
      case 'e':
        policy_.OnMessage(EventsMessage(), kStart);
        return true;
      case 'n': {
        HandoverCounts counts = TestCounts();
        const int64_t num = static_cast<int64_t>(listeners_.size()) / 2;
        counts.set_listeners(num);
        counts.set_descriptors(num + 1);
        policy_.OnMessage(EndMessage(counts), kStart);
        return true;
      }
      case 'm':
        policy_.OnMessage(CommitMessage(kStart + Duration(1)), kStart);
        return true;
      case 'o':
        policy_.OnMessage(CommitMessage(kStart), kStart);
        return true;
      default:
        policy_.OnMessage(ReadyMessage(), kStart);
        return true;
    }
  }

  SuccessorPolicy policy_;
  std::string history_;
  std::string listeners_;
  bool said_serving_ = false;
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

// A whole one has twelve, or fourteen with listeners; what repeats and what is
// out of its place is among them.
TEST(SuccessorPolicyTest, EverySequenceOfFifteenEventsIsRight) {
  Explore(Scene(), 15);
}

class OneSuccessor : public ::testing::Test {
 protected:
  void Take(const internal::v1::Handover& message) {
    policy_.OnMessage(message, kStart);
    if (policy_.action() == Action::kReadEvents) policy_.OnEventsRead(5, 77);
    if (policy_.action() == Action::kTake) policy_.OnDone(kStart);
  }
  void TakeUntilEvents() {
    policy_.OnDone(kStart);
    for (const auto& message :
         {AcceptedMessage(), CountersMessage(), ListenersMessage()}) {
      Take(message);
      ASSERT_EQ(policy_.action(), Action::kAwait) << policy_.reason();
    }
  }
  void TakeAll() {
    TakeUntilEvents();
    Take(EventsMessage());
    Take(EndMessage());
    ASSERT_EQ(policy_.action(), Action::kCheck) << policy_.reason();
    policy_.OnDone(kStart);
    policy_.OnDone(kStart);
  }

  SuccessorPolicy policy_{kStart};
};

TEST_F(OneSuccessor, CountsWhatItTakes) {
  TakeUntilEvents();
  Take(ListenersMessage());
  internal::v1::Handover message;
  message.mutable_control()->add_records();
  message.mutable_control()->add_records();
  Take(message);
  message.Clear();
  for (int i = 0; i < 3; ++i) message.mutable_requests()->add_records();
  Take(message);
  message.Clear();
  for (int i = 0; i < 4; ++i) message.mutable_connections()->add_records();
  message.set_num_descriptors(9);
  Take(message);
  Take(EventsMessage());
  message.Clear();
  message.mutable_store();
  message.set_num_descriptors(1);
  Take(message);
  HandoverCounts counts;
  counts.set_listeners(2);
  counts.set_control_sockets(2);
  counts.set_requests(3);
  counts.set_connections(4);
  counts.set_event_bytes(5);
  counts.set_stores(1);
  counts.set_descriptors(13);
  Take(EndMessage(counts));
  EXPECT_EQ(policy_.action(), Action::kCheck) << policy_.reason();
  EXPECT_EQ(Difference(policy_.counts(), counts), "");
}

TEST_F(OneSuccessor, ADifferentCountIsTheEnd) {
  TakeUntilEvents();
  Take(EventsMessage());
  HandoverCounts counts = TestCounts();
  counts.set_connections(1);
  Take(EndMessage(counts));
  EXPECT_EQ(policy_.action(), Action::kSayFailed);
  EXPECT_EQ(policy_.reason(), "connections: 0, not 1");
}

TEST_F(OneSuccessor, EventsThatDifferAreTheEnd) {
  TakeUntilEvents();
  for (const auto& [bytes, crc] : {std::pair(5, 78u), std::pair(6, 77u)}) {
    SuccessorPolicy policy = policy_;
    policy.OnMessage(EventsMessage(), kStart);
    policy.OnEventsRead(bytes, crc);
    EXPECT_EQ(policy.action(), Action::kSayFailed);
    EXPECT_EQ(policy.step(), "events");
  }
}

// The driver relies on it.
TEST_F(OneSuccessor, AFileThatIsMissingIsTheEnd) {
  TakeUntilEvents();
  for (const int count : {0, 2}) {
    SuccessorPolicy policy = policy_;
    auto message = EventsMessage();
    message.set_num_descriptors(count);
    policy.OnMessage(message, kStart);
    EXPECT_EQ(policy.action(), Action::kSayFailed);
  }
  Take(EventsMessage());
  for (const int count : {0, 2}) {
    SuccessorPolicy policy = policy_;
    internal::v1::Handover message;
    message.mutable_store();
    message.set_num_descriptors(count);
    policy.OnMessage(message, kStart);
    EXPECT_EQ(policy.action(), Action::kSayFailed);
  }
}

TEST_F(OneSuccessor, SaysServingNotAtTheDeadlineOrLater) {
  TakeAll();
  const TimePoint deadline = kStart + std::chrono::seconds(4);
  for (const auto& [now, action] :
       {std::pair(deadline - Duration(1), Action::kSayServing),
        std::pair(deadline, Action::kSayFailed)}) {
    SuccessorPolicy policy = policy_;
    policy.OnMessage(CommitMessage(deadline), now);
    EXPECT_EQ(policy.action(), action);
    if (action == Action::kSayServing) EXPECT_EQ(policy.deadline(), deadline);
  }
}

TEST_F(OneSuccessor, WaitsLongerThanThePredecessorFreezes) {
  TakeAll();
  EXPECT_EQ(policy_.deadline(), kStart + SuccessorPolicy::kLongestSilence);
}

TEST_F(OneSuccessor, AVersionThatItDoesNotSpeakIsTheEnd) {
  policy_.OnDone(kStart);
  auto message = AcceptedMessage();
  message.mutable_accepted()->set_version(kNewestHandoverVersion + 1);
  policy_.OnMessage(message, kStart);
  EXPECT_EQ(policy_.action(), Action::kSayFailed);
}

TEST_F(OneSuccessor, ARefusalIsToldInItsWords) {
  policy_.OnDone(kStart);
  policy_.OnMessage(RefusedMessage(), kStart);
  EXPECT_EQ(policy_.action(), Action::kExit);
  EXPECT_TRUE(policy_.is_refused());
  EXPECT_EQ(policy_.reason(), "no");
}

}  // namespace
}  // namespace portreeve::server
