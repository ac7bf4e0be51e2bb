// Saved events: what an EventLog leaves to that of the daemon's next process.
#ifndef PORTREEVE_SERVER_EVENTS_SAVED_EVENTS_H_
#define PORTREEVE_SERVER_EVENTS_SAVED_EVENTS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"
#include "portreeve/v1/event.pb.h"
#include "server/events/event_ring.h"

namespace portreeve::server {

// How many events of each kind there were.
using EventTotals = std::array<int64_t, v1::EventKind_ARRAYSIZE>;

// The file has a version of its own (server/events/sealed_file.h), which is
// that of everything in it: also of what Pack() makes (connection_record.h) and
// of the order of Reason, for packed events are in it as they are.  Whoever
// changes any of that raises the version, and has LoadEvents() turn what an
// older one has into the present form; a test holds a file of each version.
// What comes from a newer version is refused.
//
// New kinds of events need no new version: the file says how many kinds it
// knows.  One that has had events of a kind that is unknown here is refused.

// Writes a sealed file.
// Errors: those of SealedFileWriter.  It throws std::bad_alloc.
absl::StatusOr<Descriptor> SaveEvents(const std::string& instance_id,
                                      const EventTotals& totals,
                                      const EventRing& ring);

struct SavedEvents {
  std::string instance_id;
  EventTotals totals{};
  std::unique_ptr<EventRing> ring;
};
// Reads one, into a ring with these bounds.
// Errors: those of SealedFile::Open(), and HANDOVER_DAMAGED for whatever
// SaveEvents() does not write.  It throws std::bad_alloc.
absl::StatusOr<SavedEvents> LoadEvents(const Descriptor& file, int64_t capacity,
                                       size_t max_bytes);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_EVENTS_SAVED_EVENTS_H_
