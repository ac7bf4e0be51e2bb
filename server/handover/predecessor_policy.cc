#include "server/handover/predecessor_policy.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"

namespace portreeve::server {
namespace {

using internal::v1::Handover;
using internal::v1::HandoverDirectory;
using internal::v1::HandoverHello;

bool AreSame(const HandoverDirectory& a, const HandoverDirectory& b) {
  return a.device() == b.device() && a.inode() == b.inode();
}

}  // namespace

PredecessorPolicy::PredecessorPolicy(PredecessorTerms terms, TimePoint hello_by)
    : terms_(std::move(terms)), deadline_(hello_by) {}

void PredecessorPolicy::OnMessage(const Handover& message, TimePoint now) {
  if (action_ != Action::kAwait) return FailBy(message);
  switch (step_) {
    case HandoverStep::kHello:
      return OnHello(message);
    case HandoverStep::kReady:
      return OnReady(message, now);
    default:
      if (!message.has_serving()) return FailBy(message);
      action_ = Action::kHandedOver;
  }
}

void PredecessorPolicy::OnHello(const Handover& message) {
  if (!message.has_hello()) return FailBy(message);
  const HandoverHello& hello = message.hello();
  reason_ = WhatIsWrong(hello);
  if (!reason_.empty()) {
    action_ = Action::kRefuse;
    return;
  }
  version_ = std::min(hello.max_version(), kNewestHandoverVersion);
  action_ = Action::kAccept;
}

std::string PredecessorPolicy::WhatIsWrong(const HandoverHello& hello) const {
  if (hello.pid() != terms_.successor) {
    return absl::StrCat("process ", hello.pid(), " says hello for process ",
                        terms_.successor);
  }
  if (hello.max_version() < kOldestHandoverVersion ||
      hello.min_version() > kNewestHandoverVersion ||
      hello.min_version() > hello.max_version()) {
    return absl::StrCat("the successor speaks versions ", hello.min_version(),
                        " to ", hello.max_version(), ", and this one ",
                        kOldestHandoverVersion, " to ", kNewestHandoverVersion);
  }
  if (terms_.state.has_value() != hello.has_state()) {
    return hello.has_state()
               ? "the successor has a state, and this one has none"
               : "the successor has no state, and this one has";
  }
  if (hello.has_state() && !AreSame(hello.state(), *terms_.state)) {
    return absl::StrCat(
        "the successor has another state: ", hello.state().path(), ", and not ",
        terms_.state->path());
  }
  // More may come before the freeze.
  const int64_t needed = num_descriptors_ + (num_descriptors_ + 9) / 10;
  if (hello.open_descriptors() < 0 ||
      hello.open_descriptors() > hello.descriptor_limit() ||
      hello.descriptor_limit() - hello.open_descriptors() < needed) {
    return absl::StrCat("the successor may have ", hello.descriptor_limit(),
                        " descriptors (RLIMIT_NOFILE), has ",
                        hello.open_descriptors(), ", and needs ", needed,
                        " more");
  }
  return "";
}

void PredecessorPolicy::OnReady(const Handover& message, TimePoint now) {
  if (!message.has_ready()) return FailBy(message);
  const std::string difference = Difference(message.ready().counts(), counts_);
  if (!difference.empty()) {
    return Fail(absl::StrCat("the successor has other counts: ", difference));
  }
  step_ = HandoverStep::kCommit;
  if (now >= commit_deadline()) return Fail("the successor is ready too late");
  committed_ = true;
  action_ = Action::kSendCommit;
}

void PredecessorPolicy::OnDone(TimePoint now) {
  switch (action_) {
    case Action::kRefuse:
      action_ = Action::kRefused;
      return;
    case Action::kAccept:
      step_ = HandoverStep::kFreeze;
      deadline_ = After(now, kMostFrozen);
      action_ = Action::kFreeze;
      return;
    case Action::kFreeze:
      step_ = HandoverStep::kContents;
      action_ = Action::kSendContents;
      return;
    case Action::kSendCommit:
      step_ = HandoverStep::kServing;
      action_ = Action::kAwait;
      return;
    case Action::kKill:
      action_ = Action::kSearch;
      return;
    case Action::kThaw:
      action_ = Action::kThawed;
      return;
    default:
      PORTREEVE_CHECK(false);
  }
}

void PredecessorPolicy::OnContentsSent(const HandoverCounts& counts,
                                       TimePoint now) {
  PORTREEVE_CHECK(action_ == Action::kSendContents);
  counts_ = counts;
  if (now >= deadline_) return Fail("it took too long");
  step_ = HandoverStep::kReady;
  action_ = Action::kAwait;
}

void PredecessorPolicy::OnSearched(bool found_serving) {
  PORTREEVE_CHECK(action_ == Action::kRefuseMore || action_ == Action::kSearch);
  // One that says so without having been told to is broken, and dies with the
  // others.
  const bool serves = found_serving && committed_;
  if (action_ == Action::kRefuseMore) {
    deaf_ = serves;
    action_ = serves ? Action::kHandedOver : Action::kKill;
    return;
  }
  action_ = serves ? Action::kCrashed : Action::kThaw;
}

void PredecessorPolicy::OnFault(const absl::Status& why) {
  Fail(std::string(why.message()));
}

void PredecessorPolicy::FailBy(const Handover& message) {
  if (message.has_failed()) {
    return Fail(absl::StrCat("the successor failed: ", message.failed().step(),
                             ": ", message.failed().reason()));
  }
  Fail(absl::StrCat("the successor has sent what was not expected: ",
                    KindName(message)));
}

void PredecessorPolicy::Fail(std::string reason) {
  switch (action_) {
    case Action::kAwait:
    case Action::kAccept:
    case Action::kFreeze:
    case Action::kSendContents:
    case Action::kSendCommit:
      reason_ = std::move(reason);
      action_ = step_ == HandoverStep::kHello ? Action::kRefused
                                              : Action::kRefuseMore;
      return;
    case Action::kRefuse:
      // What it was refused for says more.
      action_ = Action::kRefused;
      return;
    case Action::kRefuseMore:
      action_ = Action::kKill;
      return;
    case Action::kKill:
      action_ = Action::kSearch;
      return;
    case Action::kSearch:
      action_ = committed_ ? Action::kCrashed : Action::kThaw;
      return;
    case Action::kThaw:
      action_ = Action::kThawed;
      return;
    default:
      PORTREEVE_CHECK(false);
  }
}

}  // namespace portreeve::server
