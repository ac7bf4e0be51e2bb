// Messages of a hand-over as tests of its policies need them.
#ifndef PORTREEVE_TESTS_SERVER_HANDOVER_POLICY_MESSAGES_H_
#define PORTREEVE_TESTS_SERVER_HANDOVER_POLICY_MESSAGES_H_

#include <sys/types.h>

#include <chrono>

#include "lib/base/time_source.h"
#include "portreeve/internal/v1/handover.pb.h"

namespace portreeve::server {

inline constexpr pid_t kSuccessorPid = 4802;
inline constexpr TimePoint kStart{std::chrono::hours(1)};

inline internal::v1::Handover HelloMessage() {
  internal::v1::Handover message;
  auto& hello = *message.mutable_hello();
  hello.set_min_version(1);
  hello.set_max_version(1);
  hello.set_descriptor_limit(1024);
  hello.set_open_descriptors(24);
  hello.set_pid(kSuccessorPid);
  return message;
}

inline internal::v1::Handover AcceptedMessage() {
  internal::v1::Handover message;
  message.mutable_accepted()->set_version(1);
  return message;
}

inline internal::v1::Handover RefusedMessage() {
  internal::v1::Handover message;
  message.mutable_refused()->set_reason("no");
  return message;
}

inline internal::v1::Handover CountersMessage() {
  internal::v1::Handover message;
  message.mutable_counters();
  return message;
}

// Of one listener, with its socket.
inline internal::v1::Handover ListenersMessage() {
  internal::v1::Handover message;
  message.mutable_listeners()->add_records()->set_num_descriptors(1);
  message.set_num_descriptors(1);
  return message;
}

inline internal::v1::Handover EventsMessage() {
  internal::v1::Handover message;
  message.mutable_events()->set_bytes(5);
  message.mutable_events()->set_crc(77);
  message.set_num_descriptors(1);
  return message;
}

// What is in the three before.
inline internal::v1::HandoverCounts TestCounts() {
  internal::v1::HandoverCounts counts;
  counts.set_listeners(1);
  counts.set_event_bytes(5);
  counts.set_descriptors(2);
  return counts;
}

inline internal::v1::Handover EndMessage(
    const internal::v1::HandoverCounts& counts = TestCounts()) {
  internal::v1::Handover message;
  *message.mutable_end()->mutable_counts() = counts;
  return message;
}

inline internal::v1::Handover ReadyMessage(
    const internal::v1::HandoverCounts& counts = TestCounts()) {
  internal::v1::Handover message;
  *message.mutable_ready()->mutable_counts() = counts;
  return message;
}

inline internal::v1::Handover CommitMessage(TimePoint deadline) {
  internal::v1::Handover message;
  message.mutable_commit()->set_deadline_nanos(
      deadline.time_since_epoch().count());
  return message;
}

inline internal::v1::Handover ServingMessage() {
  internal::v1::Handover message;
  message.mutable_serving();
  return message;
}

inline internal::v1::Handover FailedMessage() {
  internal::v1::Handover message;
  message.mutable_failed()->set_step("check");
  message.mutable_failed()->set_reason("no room");
  return message;
}

}  // namespace portreeve::server

#endif  // PORTREEVE_TESTS_SERVER_HANDOVER_POLICY_MESSAGES_H_
