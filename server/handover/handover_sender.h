// HandOver: hands this process over to its successor.
#ifndef PORTREEVE_SERVER_HANDOVER_HANDOVER_SENDER_H_
#define PORTREEVE_SERVER_HANDOVER_HANDOVER_SENDER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"
#include "lib/base/time_source.h"
#include "portreeve/internal/v1/handover.pb.h"
#include "server/handover/handover_channel.h"
#include "server/handover/handover_clock.h"
#include "server/handover/handover_peer.h"
#include "server/handover/handover_step.h"
#include "server/handover/predecessor_policy.h"

namespace portreeve::server {

// A record, and its descriptors, which stay the source's, and open as long as
// that is frozen: copies are sent.  `num_descriptors` of the record is set by
// whoever sends it.
template <typename Record>
struct SourceRecord {
  Record record;
  std::vector<int> descriptors;
};

// How a hand-over has ended.
struct HandoverOutcome {
  enum class End {
    // The successor was refused, or failed before the freeze: the source was
    // not touched.
    kRefused,
    kThawed,      // It failed, is dead, and the source has been thawed.
    kHandedOver,  // The successor serves; the channel is for held connections.
    // The successor died after its word that it serves, and nobody knows what
    // it did: this process has to end, with exit status 1.
    kCrashed,
  };
  End end = End::kRefused;
  // Unless it is kHandedOver: where it failed, and why in words.
  HandoverStep step = HandoverStep::kHello;
  std::string reason;
  // With kHandedOver: nothing can be received through the channel any more, as
  // where the successor's word came in the very last moment.
  bool is_deaf = false;
  std::string successor_version;  // "" where it has said no hello.
  HandoverCounts counts;          // What was sent.
  Duration frozen{};              // From the freeze to its end.
};

// What there is to hand over.  It is called on the thread that calls HandOver,
// in the order of the methods here.  What a method throws is as an error of
// its, but for the last two, which must not throw.
class HandoverSource {
 public:
  virtual ~HandoverSource() = default;

  // Tells who the successor is, which may still be refused.
  virtual void OnHello(const internal::v1::HandoverHello&) {}

  // Gives how many descriptors would go over now, roughly.  Everything still
  // runs.
  virtual int64_t CountDescriptors() = 0;

  // Brings everything to rest, until `deadline`.  From here on nothing changes.
  // Either Thaw() or HandedOver() is called after it, also after an error.
  virtual absl::Status Freeze(TimePoint deadline) = 0;

  virtual absl::StatusOr<internal::v1::HandoverCounters> Counters() = 0;
  // Each gives the next record of its kind; nothing after the last.
  virtual absl::StatusOr<
      std::optional<SourceRecord<internal::v1::HandoverListener>>>
  NextListener() = 0;
  virtual absl::StatusOr<
      std::optional<SourceRecord<internal::v1::HandoverControlSocket>>>
  NextControlSocket() = 0;
  virtual absl::StatusOr<
      std::optional<SourceRecord<internal::v1::HandoverRequest>>>
  NextRequest() = 0;
  virtual absl::StatusOr<
      std::optional<SourceRecord<internal::v1::HandoverConnection>>>
  NextConnection() = 0;
  struct Events {
    // Without `bytes` and `crc`.
    internal::v1::HandoverEvents record;
    Descriptor memfd;  // Made with MFD_ALLOW_SEALING; it is sealed here.
  };
  virtual absl::StatusOr<Events> TakeEvents() = 0;
  // Gives nothing where there is no state.  The descriptor is that of the file
  // `lock`.
  virtual absl::StatusOr<
      std::optional<SourceRecord<internal::v1::HandoverStore>>>
  Store() = 0;

  // The successor is dead, and has done nothing: everything goes on as it was.
  // It may have done a part of Freeze() only, or nothing of it.
  virtual void Thaw(HandoverStep step, const std::string& reason) noexcept = 0;
  // The successor serves: what has moved is forgotten, by nothing but close(2).
  virtual void HandedOver() noexcept = 0;
};

// Does all of it, and blocks as long.  The successor must be `peer`, and may
// take until `hello_by` to say hello; after that all is over within
// PredecessorPolicy::kMostFrozen, and kMostDying where it has to be killed.
// Before the freeze nobody is killed.  `state` is the directory of --state.
HandoverOutcome HandOver(
    HandoverChannel& channel, HandoverPeer& peer, HandoverSource& source,
    const std::optional<internal::v1::HandoverDirectory>& state,
    const std::string& program_version, TimePoint hello_by,
    HandoverClock& clock = HandoverClock::System());

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HANDOVER_HANDOVER_SENDER_H_
