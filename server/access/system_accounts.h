// The numbers of users and groups, by the system's user database (getpwnam(3),
// getgrnam(3)).
#ifndef PORTREEVE_SERVER_ACCESS_SYSTEM_ACCOUNTS_H_
#define PORTREEVE_SERVER_ACCESS_SYSTEM_ACCOUNTS_H_

#include <sys/types.h>

#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace portreeve::server {

// Gives the number that `text`, all digits, stands for; nothing if it is a
// name.  Errors: INVALID_ARGUMENT for a number that no account has.
absl::StatusOr<std::optional<id_t>> AccountNumber(const std::string& text);

// Give the number of a user or group: `text` itself if it is one, whether there
// is such an account or not, else that of the account with this name.  For a
// name they may block, for as long as the database takes.
//
// Errors, about what follows the name of the account in a sentence: those of
// AccountNumber(), NOT_FOUND, UNAVAILABLE where the database fails.
absl::StatusOr<uid_t> FindUser(const std::string& text);
absl::StatusOr<gid_t> FindGroup(const std::string& text);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_ACCESS_SYSTEM_ACCOUNTS_H_
