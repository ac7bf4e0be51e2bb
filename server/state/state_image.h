// The bytes of a state on disk, for those who read it beside a daemon or
// without one.
#ifndef PORTREEVE_SERVER_STATE_STATE_IMAGE_H_
#define PORTREEVE_SERVER_STATE_STATE_IMAGE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace portreeve::server {

// Gives OK for a regular file, by itself and by no link to it, or for none.
// Errors: STATE_UNAVAILABLE.
absl::Status CheckRegularFile(const std::string& path);

// Gives the bytes of the file of SQLite at `path` as of one moment, with all
// that is in the WAL, whoever else is writing to it.  They are not checked.
// Nothing that somebody else could see is changed.
// Errors: STATE_UNAVAILABLE; STATE_DAMAGED where there is a WAL that cannot be
// read with it.
// Lifetime: nothing else in the process may have the file open, for SQLite's
// locks would go.
absl::StatusOr<std::string> ReadImage(const std::string& path);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATE_STATE_IMAGE_H_
