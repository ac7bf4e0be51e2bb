#include "server/state/commit_policy.h"

#include <utility>

#include "lib/base/check.h"

namespace portreeve::server {

bool CommitPolicy::MayTry(TimePoint now) const {
  return !has_tried_ || now >= After(last_try_, kRetryAfter);
}

CommitPolicy::Verdict CommitPolicy::OnWrite(ChangeKind kind, size_t bytes,
                                            TimePoint now) {
  if (life_ != Life::kRunning) return Verdict::kStopped;
  const bool is_intent = kind == ChangeKind::kIntent;
  if (!healthy_ && !recover_wanted_ && job_ != Job::kRecover) {
    if (!MayTry(now)) return Verdict::kFailed;
    recover_wanted_ = true;
  }
  // A write of any size may go alone.
  if (is_intent && intent_bytes_ > 0 && intent_bytes_ + bytes > kMaxBytes) {
    return Verdict::kTooMuch;
  }
  writes_.push_back({kind, bytes});
  if (is_intent) intent_bytes_ += bytes;
  return Verdict::kQueued;
}

CommitPolicy::Job CommitPolicy::Next() {
  if (job_ != Job::kNone) return Job::kNone;
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

CommitPolicy::Outcome CommitPolicy::OnDone(bool ok, TimePoint now) {
  const Job job = std::exchange(job_, Job::kNone);
  Outcome outcome;
  switch (job) {
    case Job::kNone:
      PORTREEVE_CHECK(false);
    case Job::kCommit:
    case Job::kTrim:
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

void CommitPolicy::OnStop() {
  if (life_ != Life::kRunning) return;
  life_ = Life::kStopping;
  if (!healthy_ && job_ != Job::kRecover) recover_wanted_ = true;
}

void CommitPolicy::Remove(size_t count) {
  for (; count > 0; --count) {
    if (writes_.front().kind == ChangeKind::kIntent) {
      intent_bytes_ -= writes_.front().bytes;
    }
    writes_.pop_front();
  }
}

void CommitPolicy::CheckInvariants() const {
  PORTREEVE_CHECK(committing_ <= writes_.size());
  PORTREEVE_CHECK((committing_ > 0) == (job_ == Job::kCommit));
  PORTREEVE_CHECK(!recover_wanted_ || !healthy_);
  PORTREEVE_CHECK(job_ != Job::kRecover || !healthy_);
  // What waits, waits for something.
  PORTREEVE_CHECK(writes_.empty() || healthy_ || recover_wanted_ ||
                  job_ == Job::kRecover);
  PORTREEVE_CHECK(life_ != Life::kStopped || writes_.empty());
}

}  // namespace portreeve::server
