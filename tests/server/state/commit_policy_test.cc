#include "server/state/commit_policy.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace portreeve::server {
namespace {

using Job = CommitPolicy::Job;
using Verdict = CommitPolicy::Verdict;

constexpr Duration kTook = std::chrono::microseconds(500);

// A policy, and what is true of the disk and of those who write, step by step.
class Scene {
 public:
  static constexpr char kEvents[] = "WNofgts";
  static constexpr char kAllEvents[] = "WNofgtspr";
  // W: somebody writes.  N: the next job begins.  o, f: it is done, or fails.
  // g: the time to gather goes by.  t: five seconds pass.  s: stop.  p, r:
  // suspend, and resume.
  // Gives false where the event is not possible.
  bool Do(char event) {
    history_ += event;
    switch (event) {
      case 'W':
        Write();
        break;
      case 'N':
        if (job_ != Job::kNone) return false;
        Begin(policy_.Next());
        break;
      case 'o':
      case 'f':
        if (job_ == Job::kNone) return false;
        Finish(event == 'o');
        break;
      case 'g':
        if (!policy_.is_gathering()) return false;
        Gather();
        break;
      case 't':
        now_ = After(now_, CommitPolicy::kRetryAfter);
        break;
      case 's':
        policy_.OnStop();
        Resume();
        stopping_ = true;
        break;
      case 'p':
        policy_.OnSuspend();
        if (!stopping_ && !suspended_) suspending_ = true;
        break;
      case 'r':
        policy_.OnResume();
        Resume();
        break;
    }
    policy_.CheckInvariants();
    EXPECT_EQ(policy_.num_queued(), queue_.size()) << history_;
    return !::testing::Test::HasFailure();
  }

  // From any state on: with a disk that works (or does not) everything ends,
  // after a number of jobs that no disk can drive up.
  void RunOut(bool ok) {
    policy_.OnResume();
    Resume();
    for (int jobs = 0;; ++jobs) {
      ASSERT_LT(jobs, 6) << history_;
      if (job_ == Job::kNone) {
        Begin(policy_.Next());
        for (int times = 0; policy_.is_gathering(); ++times) {
          ASSERT_LE(times, 1) << history_ << ": nobody has come";
          Gather();
        }
        if (job_ == Job::kNone) Begin(policy_.Next());
        if (job_ == Job::kNone) break;
      }
      Finish(ok);
      policy_.CheckInvariants();
    }
    EXPECT_TRUE(queue_.empty()) << history_;
    EXPECT_EQ(policy_.is_stopped(), stopping_) << history_;
  }

 private:
  void Resume() {
    // The file may be another one by then.
    if (std::exchange(suspended_, false)) broken_ = true;
    suspending_ = false;
    resumed_ = true;
  }

  void Write() {
    const int write = next_++;
    const Verdict verdict = policy_.OnWrite(ChangeKind::kIntent, 1, 1, now_);
    if (stopping_) {
      EXPECT_EQ(verdict, Verdict::kStopped) << history_;
    } else if (verdict == Verdict::kQueued) {
      queue_.push_back(write);
      has_come_ = true;
    } else {
      // Nobody is refused by a disk that works, or that may be tried again.
      EXPECT_EQ(verdict, Verdict::kFailed) << history_;
      EXPECT_TRUE(broken_ && !suspending_ && !suspended_) << history_;
      EXPECT_LT(now_, After(last_recovery_, CommitPolicy::kRetryAfter))
          << history_;
    }
  }

  void Gather() {
    policy_.OnGathered();
    ++gatherings_;
    const bool goes_on = std::exchange(has_come_, false) &&
                         gatherings_ < CommitPolicy::kMostGatherings;
    EXPECT_EQ(policy_.is_gathering(), goes_on) << history_;
    if (!goes_on) expected_ = 0;
  }

  void Begin(Job job) {
    job_ = job;
    if (suspending_ || suspended_) {
      EXPECT_FALSE(policy_.is_gathering()) << history_;
      EXPECT_TRUE(policy_.is_suspended()) << history_;
      EXPECT_EQ(job, suspending_ && !broken_ ? Job::kSuspend : Job::kNone)
          << history_;
      suspended_ = true;
      suspending_ = false;
      gathers_ = false;
      return;
    }
    const bool waits_for_more =
        !broken_ && !stopping_ && !queue_.empty() && queue_.size() < expected_;
    EXPECT_EQ(policy_.is_gathering(), waits_for_more) << history_;
    if (waits_for_more) {
      EXPECT_EQ(job, Job::kNone) << history_;
      if (!std::exchange(gathers_, true)) {
        gatherings_ = 0;
        has_come_ = false;
      }
      return;
    }
    gathers_ = false;
    if (job == Job::kCommit) {
      EXPECT_FALSE(broken_) << history_ << ": a commit to a file that failed";
      EXPECT_GT(policy_.num_committing(), 0u) << history_;
      EXPECT_EQ(policy_.num_committing(), queue_.size()) << history_;
      committing_ = queue_.size();
    }
    if (job == Job::kRecover) {
      EXPECT_TRUE(broken_) << history_;
      EXPECT_TRUE(!has_recovered_ || stopping_ ||
                  std::exchange(resumed_, false) ||
                  now_ >= After(last_recovery_, CommitPolicy::kRetryAfter))
          << history_ << ": a busy loop";
    }
    if (job == Job::kEnd || job == Job::kGiveUp) {
      EXPECT_TRUE(stopping_) << history_;
      EXPECT_TRUE(queue_.empty()) << history_;
      EXPECT_EQ(job == Job::kEnd, !broken_) << history_;
      EXPECT_FALSE(ended_) << history_;
      ended_ = true;
    }
  }

  void Finish(bool ok) {
    const Job job = std::exchange(job_, Job::kNone);
    const size_t committing = std::exchange(committing_, 0);
    if (job == Job::kCommit && !ok) broken_ = true;
    expected_ = job == Job::kCommit && ok ? queue_.size() : 0;
    if (job == Job::kRecover) {
      broken_ = !ok;
      has_recovered_ = true;
      last_recovery_ = now_;
    }
    const CommitPolicy::Outcome outcome = policy_.OnDone(ok, kTook, now_);
    // Only what was in a commit that has succeeded is acknowledged, and all of
    // it.
    EXPECT_EQ(outcome.acknowledged, job == Job::kCommit && ok ? committing : 0)
        << history_;
    if (job == Job::kCommit && !ok) {
      EXPECT_GE(outcome.refused, committing) << history_;
    } else if (job != Job::kRecover || ok) {
      EXPECT_EQ(outcome.refused, 0u) << history_;
    }
    const size_t answered = outcome.acknowledged + outcome.refused;
    ASSERT_LE(answered, queue_.size()) << history_;
    queue_.erase(queue_.begin(),
                 queue_.begin() + static_cast<ptrdiff_t>(answered));
    EXPECT_EQ(policy_.healthy(), !broken_) << history_;
  }

  CommitPolicy policy_;
  std::string history_;
  TimePoint now_{std::chrono::hours(1)};
  std::vector<int> queue_;
  int next_ = 0;
  Job job_ = Job::kNone;
  size_t committing_ = 0;
  size_t expected_ = 0;  // So many have written or been answered.
  bool gathers_ = false;
  bool has_come_ = false;
  int gatherings_ = 0;
  bool broken_ = false;
  bool has_recovered_ = false;
  TimePoint last_recovery_;
  bool stopping_ = false;
  bool suspending_ = false;
  bool suspended_ = false;
  bool resumed_ = false;
  bool ended_ = false;
};

void Explore(const Scene& scene, int depth,
             const char* events = Scene::kEvents) {
  for (const bool ok : {true, false}) {
    Scene end = scene;
    end.RunOut(ok);
  }
  if (depth == 0) return;
  for (const char* event = events; *event != '\0'; ++event) {
    Scene next = scene;
    if (next.Do(*event)) Explore(next, depth - 1, events);
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(CommitPolicyTest, EverySequenceOfNineEventsIsRight) {
  Explore(Scene(), 9);
}

TEST(CommitPolicyTest, SoIsEverySequenceOfSixThatIsSuspended) {
  Explore(Scene(), 6, Scene::kAllEvents);
}

class OnePolicy : public ::testing::Test {
 protected:
  Verdict Write(ChangeKind kind = ChangeKind::kIntent, size_t bytes = 1,
                size_t waiting = 0) {
    return policy_.OnWrite(kind, bytes, waiting, now_);
  }
  // One that somebody waits for.
  void WriteAndWait() {
    EXPECT_EQ(Write(ChangeKind::kIntent, 1, 1), Verdict::kQueued);
  }
  // Fails a commit, and the attempt to recover that follows.
  void Break() {
    Write();
    ASSERT_EQ(policy_.Next(), Job::kCommit);
    policy_.OnDone(false, kTook, now_);
    ASSERT_EQ(policy_.Next(), Job::kRecover);
    policy_.OnDone(false, kTook, now_);
  }

  CommitPolicy policy_;
  TimePoint now_{std::chrono::hours(1)};
};

TEST_F(OnePolicy, WhatComesDuringACommitIsTheNextOne) {
  Write();
  Write();
  EXPECT_EQ(policy_.Next(), Job::kCommit);
  EXPECT_EQ(policy_.num_committing(), 2u);
  for (int i = 0; i < 3; ++i) Write();
  EXPECT_EQ(policy_.Next(), Job::kNone);
  EXPECT_EQ(policy_.OnDone(true, kTook, now_).acknowledged, 2u);
  EXPECT_EQ(policy_.Next(), Job::kCommit);
  EXPECT_EQ(policy_.num_committing(), 3u);
}

TEST_F(OnePolicy, WhatWaitsForARecoveryIsWrittenAfterIt) {
  Write();
  EXPECT_EQ(policy_.Next(), Job::kCommit);
  Write();
  const auto outcome = policy_.OnDone(false, kTook, now_);
  EXPECT_EQ(outcome.refused, 1u);
  Write();
  EXPECT_EQ(policy_.Next(), Job::kRecover);
  Write();
  EXPECT_EQ(policy_.OnDone(true, kTook, now_).refused, 0u);
  EXPECT_EQ(policy_.Next(), Job::kCommit);
  EXPECT_EQ(policy_.num_committing(), 3u);
}

TEST_F(OnePolicy, TriesAgainAfterFiveSecondsIfSomebodyWrites) {
  Break();
  now_ += CommitPolicy::kRetryAfter - Duration(1);
  EXPECT_EQ(Write(), Verdict::kFailed);
  EXPECT_EQ(policy_.Next(), Job::kNone);
  now_ += Duration(1);
  EXPECT_EQ(policy_.Next(), Job::kNone) << "nobody has written";
  EXPECT_EQ(Write(), Verdict::kQueued);
  EXPECT_EQ(policy_.Next(), Job::kRecover);
}

// As where every commit fails and every recovery succeeds.
TEST_F(OnePolicy, ACommitThatFailsSoonAfterARecoveryWaits) {
  Write();
  policy_.Next();
  policy_.OnDone(false, kTook, now_);
  ASSERT_EQ(policy_.Next(), Job::kRecover);
  policy_.OnDone(true, kTook, now_);
  Write();
  ASSERT_EQ(policy_.Next(), Job::kCommit);
  Write();
  EXPECT_EQ(policy_.OnDone(false, kTook, now_).refused, 2u);
  EXPECT_EQ(policy_.Next(), Job::kNone);
  EXPECT_EQ(Write(), Verdict::kFailed);
}

TEST_F(OnePolicy, TrimsAfterTheAnswerAndBeforeTheNextCommit) {
  Write();
  policy_.Next();
  Write();
  policy_.WantTrim();
  EXPECT_EQ(policy_.OnDone(true, kTook, now_).acknowledged, 1u);
  EXPECT_EQ(policy_.Next(), Job::kTrim);
  EXPECT_EQ(policy_.Next(), Job::kNone);
  EXPECT_EQ(policy_.OnDone(false, kTook, now_).refused, 0u);
  EXPECT_FALSE(policy_.healthy());
  EXPECT_EQ(policy_.Next(), Job::kRecover);
  policy_.OnDone(true, kTook, now_);
  EXPECT_EQ(policy_.Next(), Job::kCommit);
}

TEST_F(OnePolicy, IntentsAreBoundedAndFactsAreNot) {
  EXPECT_EQ(Write(ChangeKind::kIntent, CommitPolicy::kMaxBytes - 1),
            Verdict::kQueued);
  EXPECT_EQ(Write(ChangeKind::kFact, CommitPolicy::kMaxBytes),
            Verdict::kQueued);
  EXPECT_EQ(Write(ChangeKind::kIntent, 1), Verdict::kQueued);
  EXPECT_EQ(Write(ChangeKind::kIntent, 1), Verdict::kTooMuch);
  EXPECT_EQ(Write(ChangeKind::kFact, 1), Verdict::kQueued);
  ASSERT_EQ(policy_.Next(), Job::kCommit);
  EXPECT_EQ(Write(ChangeKind::kIntent, 1), Verdict::kTooMuch);
  policy_.OnDone(true, kTook, now_);
  EXPECT_EQ(Write(ChangeKind::kIntent, 2 * CommitPolicy::kMaxBytes),
            Verdict::kQueued)
      << "one of any size may go alone";
  EXPECT_EQ(Write(ChangeKind::kIntent, 1), Verdict::kTooMuch);
}

TEST_F(OnePolicy, WaitsForThoseThatWereAnsweredTogether) {
  for (int i = 0; i < 3; ++i) WriteAndWait();
  ASSERT_EQ(policy_.Next(), Job::kCommit);
  WriteAndWait();
  policy_.OnDone(true, kTook, now_);
  // Of the three that have their answer, two come.
  EXPECT_EQ(policy_.Next(), Job::kNone);
  EXPECT_TRUE(policy_.is_gathering());
  EXPECT_EQ(policy_.gather_time(), kTook);
  WriteAndWait();
  EXPECT_EQ(policy_.Next(), Job::kNone);
  policy_.OnGathered();
  EXPECT_TRUE(policy_.is_gathering());
  WriteAndWait();
  policy_.OnGathered();
  EXPECT_TRUE(policy_.is_gathering());
  policy_.OnGathered();
  EXPECT_FALSE(policy_.is_gathering()) << "nobody has come since";
  EXPECT_EQ(policy_.Next(), Job::kCommit);
  EXPECT_EQ(policy_.num_committing(), 3u);
}

TEST_F(OnePolicy, WhatComesWhileItIsSuspendedIsWrittenAfterAllThatIsTrue) {
  Write();
  policy_.OnSuspend();
  ASSERT_EQ(policy_.Next(), Job::kSuspend);
  Write();
  policy_.OnDone(true, kTook, now_);
  EXPECT_TRUE(policy_.is_suspended());
  EXPECT_EQ(policy_.Next(), Job::kNone);
  policy_.OnResume();
  EXPECT_EQ(policy_.Next(), Job::kRecover);
  EXPECT_EQ(policy_.OnDone(true, kTook, now_).acknowledged, 0u);
  EXPECT_EQ(policy_.Next(), Job::kCommit);
  EXPECT_EQ(policy_.num_committing(), 2u);
}

TEST_F(OnePolicy, OneThatBeginsSuspendedWaitsForTheFile) {
  policy_.BeginSuspended();
  EXPECT_EQ(Write(), Verdict::kQueued);
  EXPECT_EQ(policy_.Next(), Job::kNone);
  policy_.OnResume();
  EXPECT_EQ(policy_.Next(), Job::kRecover);
}

TEST_F(OnePolicy, WaitsForNobodyOnceAllHaveCome) {
  WriteAndWait();
  WriteAndWait();
  ASSERT_EQ(policy_.Next(), Job::kCommit);
  policy_.OnDone(true, kTook, now_);
  WriteAndWait();
  EXPECT_EQ(policy_.Next(), Job::kNone);
  WriteAndWait();
  EXPECT_EQ(policy_.Next(), Job::kCommit);
}

TEST_F(OnePolicy, WhoWritesAloneDoesNotWait) {
  for (int i = 0; i < 3; ++i) {
    WriteAndWait();
    ASSERT_EQ(policy_.Next(), Job::kCommit);
    policy_.OnDone(true, kTook, now_);
  }
}

// However many come one by one.
TEST_F(OnePolicy, GathersForABoundedTime) {
  EXPECT_EQ(Write(ChangeKind::kIntent, 1, 100), Verdict::kQueued);
  ASSERT_EQ(policy_.Next(), Job::kCommit);
  policy_.OnDone(true, std::chrono::hours(1), now_);
  WriteAndWait();
  EXPECT_EQ(policy_.Next(), Job::kNone);
  EXPECT_EQ(policy_.gather_time(), CommitPolicy::kLongestGathering);
  for (int i = 0; i < CommitPolicy::kMostGatherings; ++i) {
    EXPECT_TRUE(policy_.is_gathering());
    WriteAndWait();
    policy_.OnGathered();
  }
  EXPECT_FALSE(policy_.is_gathering());
  EXPECT_EQ(policy_.Next(), Job::kCommit);
}

TEST_F(OnePolicy, StopMakesALastAttempt) {
  Break();
  policy_.OnStop();
  EXPECT_EQ(policy_.Next(), Job::kRecover);
  policy_.OnDone(true, kTook, now_);
  EXPECT_EQ(policy_.Next(), Job::kEnd);
  policy_.OnDone(true, kTook, now_);
  EXPECT_TRUE(policy_.is_stopped());
}

}  // namespace
}  // namespace portreeve::server
