// The errors of the state on disk.
#ifndef PORTREEVE_SERVER_STATE_STATE_ERRORS_H_
#define PORTREEVE_SERVER_STATE_STATE_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace portreeve::server {

// Those that clients are given.

// Makes UNAVAILABLE / STATE_UNAVAILABLE.
absl::Status StateUnavailable(absl::string_view message);
// Makes the same for an errno; `operation` is the failed call ("open").
absl::Status StateUnavailable(int error_number, absl::string_view operation,
                              absl::string_view path);
// Makes RESOURCE_EXHAUSTED / STATE_FULL.
absl::Status StateFull(absl::string_view message);

// Those that only a start meets.

// Makes DATA_LOSS / STATE_DAMAGED.
absl::Status StateDamaged(absl::string_view message);
// Makes FAILED_PRECONDITION / STATE_FOREIGN: it is somebody else's file.
absl::Status StateForeign(absl::string_view message);
// Makes FAILED_PRECONDITION / STATE_NEWER: a newer version wrote it.
absl::Status StateNewer(absl::string_view message);
// Makes FAILED_PRECONDITION / STATE_IN_USE: another process has it.
absl::Status StateInUse(absl::string_view message);

// Makes PERMISSION_DENIED / STATE_NOT_OURS: others may change it.
absl::Status StateNotOurs(absl::string_view message);

// Gives what clients are told where `status` has kept a change from the disk:
// a STATE_FULL as it is, of all else a STATE_UNAVAILABLE.
absl::Status ForClients(const absl::Status& status);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATE_STATE_ERRORS_H_
