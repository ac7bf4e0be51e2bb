#include "server/handover/successor_policy.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "server/handover/predecessor_policy.h"

namespace portreeve::server {
namespace {

using internal::v1::Handover;

// The kinds of the contents come in the order of these numbers; gives 0 for
// what is not of the contents.
int OrderOf(const Handover& message) {
  switch (message.kind_case()) {
    case Handover::kCounters:
      return 1;
    case Handover::kListeners:
      return 2;
    case Handover::kControl:
      return 3;
    case Handover::kRequests:
      return 4;
    case Handover::kConnections:
      return 5;
    case Handover::kEvents:
      return 6;
    case Handover::kStore:
      return 7;
    case Handover::kEnd:
      return 8;
    default:
      return 0;
  }
}

bool ComesInParts(const Handover& message) {
  return message.has_listeners() || message.has_control() ||
         message.has_requests() || message.has_connections();
}

constexpr int kOrderOfCounters = 1;
constexpr int kOrderOfEvents = 6;

}  // namespace

SuccessorPolicy::SuccessorPolicy(TimePoint now)
    : deadline_(After(now, kLongestSilence)) {}

void SuccessorPolicy::Await(Phase phase, TimePoint now) {
  phase_ = phase;
  deadline_ = After(now, kLongestSilence);
  action_ = Action::kAwait;
}

void SuccessorPolicy::OnMessage(const Handover& message, TimePoint now) {
  PORTREEVE_CHECK(action_ == Action::kAwait);
  switch (phase_) {
    case Phase::kHello:
      return OnAnswer(message, now);
    case Phase::kContents:
      return OnContents(message);
    case Phase::kCommit:
      return OnCommit(message, now);
  }
}

void SuccessorPolicy::OnAnswer(const Handover& message, TimePoint now) {
  if (message.has_refused()) {
    refused_ = true;
    reason_ = message.refused().reason();
    action_ = Action::kExit;
    return;
  }
  if (!message.has_accepted()) return FailBy(message);
  version_ = message.accepted().version();
  if (version_ < kOldestHandoverVersion || version_ > kNewestHandoverVersion) {
    return Fail(absl::StrCat("the predecessor has chosen version ", version_));
  }
  step_ = "contents";
  Await(Phase::kContents, now);
}

void SuccessorPolicy::OnContents(const Handover& message) {
  const int order = OrderOf(message);
  if (order == 0) return FailBy(message);
  step_ = std::string(KindName(message));
  const bool repeats = order == last_kind_ && ComesInParts(message);
  // Of these there is exactly one.
  const bool lacks_counters =
      last_kind_ < kOrderOfCounters && order > kOrderOfCounters;
  const bool lacks_events =
      last_kind_ < kOrderOfEvents && order > kOrderOfEvents;
  if ((order <= last_kind_ && !repeats) || lacks_counters || lacks_events) {
    return Fail("it came out of its order");
  }
  last_kind_ = order;
  if (std::string wrong = Count(message); !wrong.empty()) {
    return Fail(std::move(wrong));
  }
  if (message.has_events()) {
    event_bytes_ = message.events().bytes();
    event_crc_ = message.events().crc();
    action_ = Action::kReadEvents;
  } else if (message.has_end()) {
    const std::string difference = Difference(counts_, message.end().counts());
    if (!difference.empty()) return Fail(difference);
    step_ = "check";
    action_ = Action::kCheck;
  } else {
    action_ = Action::kTake;
  }
}

std::string SuccessorPolicy::Count(const Handover& message) {
  int64_t descriptors = 0;
  switch (message.kind_case()) {
    case Handover::kListeners:
      counts_.set_listeners(counts_.listeners() +
                            message.listeners().records_size());
      break;
    case Handover::kControl:
      counts_.set_control_sockets(counts_.control_sockets() +
                                  message.control().records_size());
      break;
    case Handover::kRequests:
      counts_.set_requests(counts_.requests() +
                           message.requests().records_size());
      break;
    case Handover::kConnections:
      counts_.set_connections(counts_.connections() +
                              message.connections().records_size());
      break;
    case Handover::kEvents:
      counts_.set_event_bytes(message.events().bytes());
      descriptors = 1;
      break;
    case Handover::kStore:
      counts_.set_stores(1);
      descriptors = 1;
      break;
    default:
      break;
  }
  counts_.set_descriptors(counts_.descriptors() + message.num_descriptors());
  if (!ComesInParts(message) && message.num_descriptors() != descriptors) {
    return absl::StrCat("it has ", message.num_descriptors(),
                        " descriptors, and should have ", descriptors);
  }
  return "";
}

void SuccessorPolicy::OnEventsRead(int64_t bytes, uint32_t crc) {
  PORTREEVE_CHECK(action_ == Action::kReadEvents);
  if (bytes != event_bytes_) {
    return Fail(
        absl::StrCat("the file has ", bytes, " bytes, and not ", event_bytes_));
  }
  if (crc != event_crc_) return Fail("the file's CRC differs");
  action_ = Action::kTake;
}

void SuccessorPolicy::OnCommit(const Handover& message, TimePoint now) {
  if (!message.has_commit()) return FailBy(message);
  step_ = "commit";
  deadline_ =
      TimePoint(std::chrono::nanoseconds(message.commit().deadline_nanos()));
  if (now >= deadline_) return Fail("it came too late");
  action_ = Action::kSayServing;
}

void SuccessorPolicy::OnDone(TimePoint now) {
  switch (action_) {
    case Action::kSayHello:
      return Await(Phase::kHello, now);
    case Action::kTake:
      return Await(Phase::kContents, now);
    case Action::kCheck:
      step_ = "ready";
      deadline_ = After(now, kLongestSilence);
      action_ = Action::kSayReady;
      return;
    case Action::kSayReady:
      return Await(Phase::kCommit, now);
    case Action::kSayServing:
      action_ = Action::kServe;
      return;
    case Action::kSayFailed:
      action_ = Action::kExit;
      return;
    default:
      PORTREEVE_CHECK(false);
  }
}

void SuccessorPolicy::OnFault(const absl::Status& why) {
  Fail(std::string(why.message()));
}

void SuccessorPolicy::FailBy(const Handover& message) {
  Fail(absl::StrCat("the predecessor has sent what was not expected: ",
                    KindName(message)));
}

void SuccessorPolicy::Fail(std::string reason) {
  PORTREEVE_CHECK(action_ != Action::kServe && action_ != Action::kExit);
  if (action_ == Action::kSayFailed) {
    action_ = Action::kExit;
    return;
  }
  reason_ = std::move(reason);
  action_ = Action::kSayFailed;
}

}  // namespace portreeve::server
