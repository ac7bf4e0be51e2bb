#include "server/state/commit_policy.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"

namespace portreeve::server {

bool CommitPolicy::MayTry(TimePoint now) const {
  return !has_tried_ || now >= After(last_try_, kRetryAfter);
}

CommitPolicy::Verdict CommitPolicy::OnWrite(ChangeKind kind, size_t bytes,
                                            size_t waiting, TimePoint now) {
  if (!is_open()) return Verdict::kStopped;
  const bool is_intent = kind == ChangeKind::kIntent;
  if (life_ == Life::kRunning && !healthy_ && !recover_wanted_ &&
      job_ != Job::kRecover) {
    if (!MayTry(now)) return Verdict::kFailed;
    recover_wanted_ = true;
  }
  // A write of any size may go alone.
  if (is_intent && intent_bytes_ > 0 && intent_bytes_ + bytes > kMaxBytes) {
    return Verdict::kTooMuch;
  }
  writes_.push_back({kind, bytes, waiting});
  if (is_intent) intent_bytes_ += bytes;
  waiting_ += waiting;
  has_come_ = true;
  return Verdict::kQueued;
}

CommitPolicy::Job CommitPolicy::Next() {
  if (job_ != Job::kNone || life_ == Life::kSuspended) return Job::kNone;
  if (life_ == Life::kSuspending) {
    EndGathering();
    life_ = Life::kSuspended;
    if (healthy_) job_ = Job::kSuspend;
    return job_;
  }
  if (HasToGather()) {
    if (!gathering_) has_come_ = false;
    gathering_ = true;
    return Job::kNone;
  }
  EndGathering();
  if (recover_wanted_) {
    recover_wanted_ = false;
    job_ = Job::kRecover;
  } else if (healthy_ && trim_wanted_) {
    trim_wanted_ = false;
    job_ = Job::kTrim;
  } else if (healthy_ && !writes_.empty()) {
    committing_ = writes_.size();
    job_ = Job::kCommit;
  } else if (life_ == Life::kStopping) {
    life_ = Life::kEnding;
    job_ = healthy_ ? Job::kEnd : Job::kGiveUp;
  }
  return job_;
}

bool CommitPolicy::HasToGather() const {
  return healthy_ && !trim_wanted_ && life_ == Life::kRunning &&
         !writes_.empty() && waiting_ < expected_;
}

void CommitPolicy::EndGathering() {
  gathering_ = false;
  gatherings_ = 0;
}

void CommitPolicy::OnGathered() {
  if (!gathering_) return;
  if (std::exchange(has_come_, false) && ++gatherings_ < kMostGatherings) {
    return;
  }
  EndGathering();
  expected_ = 0;
}

CommitPolicy::Outcome CommitPolicy::OnDone(bool ok, Duration took,
                                           TimePoint now) {
  const Job job = std::exchange(job_, Job::kNone);
  Outcome outcome;
  expected_ = 0;
  switch (job) {
    case Job::kNone:
      PORTREEVE_CHECK(false);
    case Job::kCommit:
    case Job::kTrim:
      if (job == Job::kCommit && ok) {
        // Those that wait, and those that are answered now.
        expected_ = waiting_;
        gather_time_ = std::clamp(took, kLeastGathering, kLongestGathering);
      }
      (ok ? outcome.acknowledged : outcome.refused) =
          std::exchange(committing_, 0);
      if (ok) break;
      OnFailure(now);
      if (!recover_wanted_) outcome.refused = writes_.size();
      break;
    case Job::kRecover:
      healthy_ = ok;
      has_tried_ = true;
      last_try_ = now;
      if (!ok) outcome.refused = writes_.size();
      break;
    case Job::kSuspend:
      break;
    case Job::kEnd:
    case Job::kGiveUp:
      life_ = Life::kStopped;
      break;
  }
  Remove(outcome.acknowledged + outcome.refused);
  return outcome;
}

void CommitPolicy::OnFailure(TimePoint now) {
  healthy_ = false;
  trim_wanted_ = false;
  recover_wanted_ = MayTry(now) || life_ == Life::kStopping;
}

void CommitPolicy::OnSuspend() {
  if (life_ == Life::kRunning) life_ = Life::kSuspending;
}

void CommitPolicy::BeginSuspended() {
  PORTREEVE_CHECK(writes_.empty() && job_ == Job::kNone);
  life_ = Life::kSuspended;
}

void CommitPolicy::OnResume() {
  if (life_ == Life::kSuspending) {
    life_ = Life::kRunning;
    if (!healthy_ && !writes_.empty() && job_ != Job::kRecover) {
      recover_wanted_ = true;
    }
  } else if (life_ == Life::kSuspended) {
    life_ = Life::kRunning;
    // What the file has is not known any more.
    healthy_ = false;
    recover_wanted_ = true;
  }
}

void CommitPolicy::OnStop() {
  OnResume();
  if (life_ != Life::kRunning) return;
  life_ = Life::kStopping;
  if (!healthy_ && job_ != Job::kRecover) recover_wanted_ = true;
}

void CommitPolicy::Remove(size_t count) {
  for (; count > 0; --count) {
    if (writes_.front().kind == ChangeKind::kIntent) {
      intent_bytes_ -= writes_.front().bytes;
    }
    waiting_ -= writes_.front().waiting;
    writes_.pop_front();
  }
}

void CommitPolicy::CheckInvariants() const {
  PORTREEVE_CHECK(committing_ <= writes_.size());
  PORTREEVE_CHECK((committing_ > 0) == (job_ == Job::kCommit));
  PORTREEVE_CHECK(!recover_wanted_ || !healthy_);
  PORTREEVE_CHECK(job_ != Job::kRecover || !healthy_);
  PORTREEVE_CHECK(!gathering_ || (job_ == Job::kNone && !writes_.empty()));
  // What waits, waits for something.
  PORTREEVE_CHECK(writes_.empty() || healthy_ || recover_wanted_ ||
                  job_ == Job::kRecover || life_ == Life::kSuspending ||
                  life_ == Life::kSuspended);
  PORTREEVE_CHECK(life_ != Life::kStopped || writes_.empty());
}

}  // namespace portreeve::server
