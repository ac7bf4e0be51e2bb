// TakeOver: makes this process the successor of another one.
#ifndef PORTREEVE_SERVER_HANDOVER_HANDOVER_RECEIVER_H_
#define PORTREEVE_SERVER_HANDOVER_HANDOVER_RECEIVER_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"
#include "portreeve/internal/v1/handover.pb.h"
#include "server/handover/handover_channel.h"
#include "server/handover/handover_clock.h"
#include "server/handover/successor_policy.h"

namespace portreeve::server {

// Takes what is handed over.  It is called on the thread that calls TakeOver,
// in the order of the methods here.  What a method throws is as an error of
// its, but for the last one, which must not throw.
//
// Until BeginToServe() nothing that it gets may be read, written, accepted
// from, shut down or unlinked, on no way, also not by a destructor: the
// predecessor has the same sockets, and may go on with them.  To close a
// descriptor is all right.
class HandoverSink {
 public:
  virtual ~HandoverSink() = default;

  // Who hands over, and by which version of the protocol.
  virtual absl::Status TakeAccepted(
      const internal::v1::HandoverAccepted& accepted) = 0;
  virtual absl::Status TakeCounters(
      const internal::v1::HandoverCounters& counters) = 0;
  // Of each record it gets the descriptors that are its own; TakeDescriptor()
  // gives the one that the record names.
  virtual absl::Status TakeListener(internal::v1::HandoverListener record,
                                    std::vector<Descriptor> descriptors) = 0;
  virtual absl::Status TakeControlSocket(
      internal::v1::HandoverControlSocket record,
      std::vector<Descriptor> descriptors) = 0;
  virtual absl::Status TakeRequest(internal::v1::HandoverRequest record) = 0;
  virtual absl::Status TakeConnection(internal::v1::HandoverConnection record,
                                      std::vector<Descriptor> descriptors) = 0;
  // The file is sealed, and its size and CRC have been checked.
  virtual absl::Status TakeEvents(internal::v1::HandoverEvents record,
                                  Descriptor memfd) = 0;
  // Only where there is a state.
  virtual absl::Status TakeStore(internal::v1::HandoverStore record,
                                 Descriptor lock) = 0;

  // All has come: builds what is not built yet, and checks that it can serve.
  virtual absl::Status Check() = 0;

  // It serves from now on, whatever happens.
  virtual void BeginToServe() noexcept = 0;
};

// What the successor says of itself.
struct SuccessorIdentity {
  std::string program_version;
  // Of --state; unset without.
  std::optional<internal::v1::HandoverDirectory> state;
};

// Does all of it, and blocks as long.  With OK the sink serves, and the channel
// is for the connections that the predecessor holds.  After an error the
// process has to end, with exit status 1, by nothing but close(2); its message
// says where it failed, and why.  FAILED_PRECONDITION is that the predecessor
// has refused.
absl::Status TakeOver(HandoverChannel& channel, HandoverSink& sink,
                      const SuccessorIdentity& identity,
                      HandoverClock& clock = HandoverClock::System());

// Gives the directory as both sides compare it.  Errors: those of stat(2).
absl::StatusOr<internal::v1::HandoverDirectory> DirectoryOf(
    const std::string& path);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_HANDOVER_HANDOVER_RECEIVER_H_
