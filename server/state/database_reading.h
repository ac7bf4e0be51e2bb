// Reading of a whole database, every row of which is checked.
#ifndef PORTREEVE_SERVER_STATE_DATABASE_READING_H_
#define PORTREEVE_SERVER_STATE_DATABASE_READING_H_

#include "absl/status/statusor.h"
#include "server/state/sqlite.h"
#include "server/state/state_rows.h"

namespace portreeve::server {

// Gives all that the file holds, whose schema was checked.
// Errors: as Database::Read().
absl::StatusOr<StateContents> ReadAll(SqliteConnection& connection);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATE_DATABASE_READING_H_
