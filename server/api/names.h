// Names of resources, and the ids in them.
#ifndef PORTREEVE_SERVER_API_NAMES_H_
#define PORTREEVE_SERVER_API_NAMES_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace portreeve::server {

// Gives "listeners/ID".
std::string ListenerName(absl::string_view id);

// Gives "connections/ID".  The ids sort as the numbers do: a letter says how
// many digits follow ('a' for one), and then come the digits.
std::string ConnectionName(int64_t id);

// Whether `id` is `[a-z]([a-z0-9-]{0,61}[a-z0-9])?`.
bool IsListenerId(absl::string_view id);

// Gives the id in a listener's name.  `field` is where the request has the
// name.
// Errors: INVALID_FIELD.
absl::StatusOr<std::string> ParseListenerName(absl::string_view name,
                                              absl::string_view field);

// Gives the number in a connection's name; 0, which no connection has, for a
// name that is well-formed and was never given.  Errors: INVALID_FIELD.
absl::StatusOr<int64_t> ParseConnectionName(absl::string_view name,
                                            absl::string_view field);

// Gives INVALID_FIELD unless `request_id` is 1-64 printable ASCII characters.
absl::Status CheckRequestId(absl::string_view request_id);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_API_NAMES_H_
