// AcceptPolicy under every short sequence of events.
#include "lib/serve/accept_policy.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace portreeve {
namespace {

using Limits = AcceptPolicy::Limits;
using Verdict = AcceptPolicy::Verdict;

enum class Event {
  kWait,       // The socket is waited for, if the policy allows.
  kReadable,   // The wait ends, and as many as allowed are accepted.
  kOneClient,  // The wait ends, and one is accepted.
  kStart,
  kFinish,
  kClose,
  kDrop,
  kHandle,
  kLower,  // The limit becomes 1.
  kRaise,  // The limit becomes 3.
  kHeld,   // One that another process has accepted.
};
constexpr int kNumEvents = 11;

// What must be true of a policy, kept in another way: by the list of clients.
struct Model {
  int max_connections;
  int batch;
  bool closed = false;
  bool drop = false;
  bool waiting = false;
  int accepted = 0;
  int connected = 0;
  int held = 0;  // How many events of kHeld there were.
};
// More of them would only make the test longer.
constexpr int kMostHeld = 2;

class Explorer {
 public:
  explicit Explorer(Limits limits) : limits_(limits) {}

  void Explore(int length) {
    Extend(AcceptPolicy(limits_),
           Model{limits_.max_connections, limits_.max_accepts_per_batch},
           length);
  }
  int64_t num_sequences() const { return num_sequences_; }

 private:
  // Tries every event after sequence_, which has led to `policy`.
  void Extend(const AcceptPolicy& policy, const Model& model, int length) {
    if (length == 0) return;
    for (int i = 0; i < kNumEvents; ++i) {
      AcceptPolicy next_policy = policy;
      Model next_model = model;
      sequence_.push_back(static_cast<Event>(i));
      if (Step(sequence_.back(), next_policy, next_model)) {
        ++num_sequences_;
        Check(next_policy, next_model);
        Extend(next_policy, next_model, length - 1);
      }
      sequence_.pop_back();
      if (::testing::Test::HasFailure()) return;
    }
  }

  void Check(const AcceptPolicy& policy, const Model& model) {
    policy.CheckInvariants();
    EXPECT_EQ(policy.num_connections(), model.connected) << Text();
    EXPECT_EQ(policy.num_accepted(), model.accepted) << Text();
    EXPECT_EQ(policy.closed(), model.closed) << Text();
    EXPECT_EQ(policy.NextBatch(), Allowed(model)) << Text();
  }

  static int Allowed(const Model& model) {
    if (model.closed || model.waiting) return 0;
    const int free = model.max_connections - model.connected - model.accepted;
    return std::max(0, std::min(free, model.batch));
  }

  // False if the event is not possible there.
  bool Step(Event event, AcceptPolicy& policy, Model& model) {
    switch (event) {
      case Event::kWait:
        if (policy.NextBatch() == 0) return false;
        policy.OnWaitStarted();
        model.waiting = true;
        return true;
      case Event::kReadable:
      case Event::kOneClient:
        return Accept(event == Event::kOneClient ? 1 : 100, policy, model);
      case Event::kStart:
        return Start(policy, model);
      case Event::kFinish:
        if (model.connected == 0) return false;
        policy.OnFinished();
        --model.connected;
        return true;
      case Event::kClose:
        policy.OnClose();
        model.closed = true;
        return true;
      case Event::kDrop:
      case Event::kHandle:
        model.drop = event == Event::kDrop;
        policy.SetDropIncoming(model.drop);
        return true;
      case Event::kLower:
      case Event::kRaise:
        model.max_connections = event == Event::kLower ? 1 : 3;
        policy.SetLimits({model.max_connections, model.batch});
        return true;
      case Event::kHeld:
        // Whatever the limit is, and also once closed.
        if (model.held == kMostHeld) return false;
        ++model.held;
        policy.OnHeld();
        ++model.connected;
        return true;
    }
    return false;
  }

  bool Accept(int backlog, AcceptPolicy& policy, Model& model) {
    if (!model.waiting) return false;
    policy.OnWaitEnded();
    model.waiting = false;
    for (int i = 0; i < model.batch && i < backlog; ++i) {
      // The guarantee of S5: accept is called below the limit only.
      if (policy.NextBatch() == 0) break;
      EXPECT_LT(model.connected + model.accepted, model.max_connections)
          << Text();
      EXPECT_FALSE(model.closed) << Text();
      policy.OnAccepted();
      ++model.accepted;
    }
    return true;
  }

  bool Start(AcceptPolicy& policy, Model& model) {
    if (model.accepted == 0) return false;
    --model.accepted;
    const Verdict verdict = policy.OnStart();
    // The guarantee of S3: no handler after a close.
    const Verdict expected = model.closed ? Verdict::kCloseAtOnce
                             : model.drop ? Verdict::kDrop
                                          : Verdict::kHandle;
    EXPECT_EQ(verdict, expected) << Text();
    if (verdict == Verdict::kHandle) ++model.connected;
    return true;
  }

  std::string Text() const {
    static const char* const kNames[kNumEvents] = {
        "wait", "readable", "one",   "start", "finish", "close",
        "drop", "handle",   "lower", "raise", "held"};
    std::string text;
    for (const Event event : sequence_) {
      text += std::string(kNames[static_cast<int>(event)]) + " ";
    }
    return text;
  }

  const Limits limits_;
  std::vector<Event> sequence_;
  int64_t num_sequences_ = 0;
};

TEST(AcceptPolicy, HoldsUnderEveryShortSequenceOfEvents) {
  int64_t total = 0;
  for (const int max_connections : {1, 2, 3}) {
    for (const int batch : {1, 2, 16}) {
      Explorer explorer({max_connections, batch});
      explorer.Explore(7);
      total += explorer.num_sequences();
    }
  }
  EXPECT_GT(total, 1000000);
}

TEST(AcceptPolicy, BatchIsTheSmallerOfBatchAndFreeSlots) {
  AcceptPolicy policy({5, 3});
  EXPECT_EQ(policy.NextBatch(), 3);
  for (int i = 0; i < 4; ++i) policy.OnAccepted();
  EXPECT_EQ(policy.NextBatch(), 1);
  policy.OnAccepted();
  EXPECT_TRUE(policy.at_limit());
  EXPECT_EQ(policy.NextBatch(), 0);
}

TEST(AcceptPolicy, ThoseThatAreHeldTakePlaces) {
  AcceptPolicy policy({2, 2});
  for (int i = 0; i < 3; ++i) policy.OnHeld();
  EXPECT_EQ(policy.num_connections(), 3);
  EXPECT_TRUE(policy.at_limit());
  policy.OnFinished();
  EXPECT_EQ(policy.NextBatch(), 0);
  policy.OnFinished();
  EXPECT_EQ(policy.NextBatch(), 1);
}

TEST(AcceptPolicy, LoweringTheLimitClosesNobody) {
  AcceptPolicy policy({3, 3});
  for (int i = 0; i < 3; ++i) {
    policy.OnAccepted();
    policy.OnStart();
  }
  policy.SetLimits({1, 3});
  EXPECT_EQ(policy.num_connections(), 3);
  policy.OnFinished();
  policy.OnFinished();
  EXPECT_EQ(policy.NextBatch(), 0);
  policy.OnFinished();
  EXPECT_EQ(policy.NextBatch(), 1);
}

}  // namespace
}  // namespace portreeve
