// What an operator does with a state on disk without its daemon: to check, to
// show, to repair and to copy it.
//
// DIR is the directory of portreeved's --state.  To check, to show and to copy
// changes nothing in it, and may be done while a daemon has it.
//
// Errors: DATA_LOSS where the state cannot be read: there is none, it is
// somebody else's, of a newer version, or so damaged that nothing of it
// checks.  Any other code says that something else was in the way, such as a
// full disk.  The messages name the file and the cause.
//
// Threads: any, one at a time for a directory.  Everything blocks.
// Lifetime: no daemon may have the directory in this very process.
#ifndef PORTREEVE_SERVER_STATE_OFFLINE_H_
#define PORTREEVE_SERVER_STATE_OFFLINE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace portreeve::server {

struct StateReport {
  std::string file;  // DIR/portreeved.db.
  // How many of these check.
  int64_t listeners = 0;
  int64_t requests = 0;
  // A line for each thing that does not check, such as "listeners/web: its
  // checksum is wrong".  None: a daemon starts with it.  The lines have bytes
  // as the file has them.
  std::vector<std::string> damages;

  bool is_sound() const { return damages.empty(); }
};

// Reads and checks everything, as a daemon does when it starts.
absl::StatusOr<StateReport> CheckState(const std::string& directory);

struct StateDump {
  StateReport report;
  // Each record that checks: a line "# listeners/web", its fields as text of
  // protobuf (proto/portreeve/internal/v1/state.proto), an empty line.
  std::string text;
};
absl::StatusOr<StateDump> DumpState(const std::string& directory);

struct StateRepair {
  // What there was before.  Where it was sound, nothing was changed.
  StateReport report;
  std::string damaged_file;  // The name that the damaged file has now.
};

// Puts a file with all records that check in the place of a damaged one, at
// once: whenever it is interrupted, one of both is there as a whole.
// Errors, beyond those above: UNAVAILABLE where a daemon has the directory.
absl::StatusOr<StateRepair> RepairState(const std::string& directory);

struct StateBackup {
  // Where it was not sound, nothing was copied.
  StateReport report;
};

// Copies the state as of one moment to `file`, which is on disk then, for its
// owner alone.  As DIR/portreeved.db, with no other file beside it but the
// lock, it is a state. Errors, beyond those above: ALREADY_EXISTS; nothing is
// replaced.
absl::StatusOr<StateBackup> BackupState(const std::string& directory,
                                        const std::string& file);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATE_OFFLINE_H_
