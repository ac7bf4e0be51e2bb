// The steps of a hand-over, by which those are told of it whom it failed.
#ifndef PORTREEVE_SERVER_HANDOVER_HANDOVER_STEP_H_
#define PORTREEVE_SERVER_HANDOVER_HANDOVER_STEP_H_

#include <string>

#include "absl/strings/string_view.h"
#include "portreeve/internal/v1/handover.pb.h"

namespace portreeve::server {

using HandoverCounts = internal::v1::HandoverCounts;

// In their order, as the predecessor sees them.
enum class HandoverStep {
  kHello,     // The successor has said, or should say, who it is.
  kFreeze,    // The predecessor comes to rest.
  kContents,  // Everything is sent.
  kReady,     // The successor builds it, and checks it.
  kCommit,    // The successor is told to serve.
  kServing,   // The successor says that it does.
};

// Gives it in small letters: "hello".
absl::string_view StepName(HandoverStep step);

// Gives in words what two counts differ in, like "connections: 3, not 4" for 3
// of `a` and 4 of `b`; "" where they are equal.
std::string Difference(const HandoverCounts& a, const HandoverCounts& b);

// Gives the name of a message's kind, like "held_closed"; "unknown" for one
// that this version does not know.
absl::string_view KindName(const internal::v1::Handover& message);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HANDOVER_HANDOVER_STEP_H_
