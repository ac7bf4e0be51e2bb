// Reading of a whole database, every row of which is checked.
#ifndef PORTREEVE_SERVER_STATE_DATABASE_READING_H_
#define PORTREEVE_SERVER_STATE_DATABASE_READING_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/state/sqlite.h"
#include "server/state/state_rows.h"

namespace portreeve::server {

// Sees that the file is ours, and of our version.
// Errors: STATE_FOREIGN, STATE_NEWER, STATE_DAMAGED.
absl::Status CheckHeader(SqliteConnection& connection);

// Sees that it has our tables, and nothing else.
absl::Status CheckSchema(SqliteConnection& connection);

// Gives all that the file holds, whose schema was checked.
// Errors: as Database::Read().
absl::StatusOr<StateContents> ReadAll(SqliteConnection& connection);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATE_DATABASE_READING_H_
