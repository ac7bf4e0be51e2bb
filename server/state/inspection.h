// Inspection: what a state on disk says that can be relied on, however damaged
// it is.
#ifndef PORTREEVE_SERVER_STATE_INSPECTION_H_
#define PORTREEVE_SERVER_STATE_INSPECTION_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/state/state_rows.h"

namespace portreeve::server {

// Something that does not check.
struct Damage {
  std::string where;  // "listeners/web", "requests/17", "meta/clean", "page 4".
  std::string what;   // "its checksum is wrong".

  friend bool operator==(const Damage&, const Damage&) = default;
};

struct Inspection {
  // All that checks.  Where something does not, `daemon_id` and `written_by`
  // may be empty.
  StateContents contents;
  // None: a daemon starts with it.
  std::vector<Damage> damages;
};

// Reads the bytes of the file at `path`, as ReadImage() gives them.  What it
// keeps was committed: each record has its checksum, and is no erased one.
// Errors: STATE_FOREIGN, STATE_NEWER; STATE_DAMAGED where nothing of it checks.
absl::StatusOr<Inspection> Inspect(const std::string& path,
                                   const std::string& image);

// Gives `status`, for which a daemon does not start with the state in
// `directory`, with what there is to do where the file is damaged.
// Lifetime: as that of ReadImage().
absl::Status WithAdvice(const absl::Status& status,
                        const std::string& directory);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATE_INSPECTION_H_
