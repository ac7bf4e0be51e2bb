// Names of listeners and connections, which people may shorten to their ID.
#ifndef PORTREEVE_CLIENT_NAME_H_
#define PORTREEVE_CLIENT_NAME_H_

#include <string>

#include "absl/status/statusor.h"

namespace portreeve::client {

// "web" and "listeners/web" give "listeners/web".  Whether it is a name that
// the daemon takes is for the daemon to say.
//
// Errors: INVALID_ARGUMENT for an empty ID and for a name of something else.
absl::StatusOr<std::string> ListenerName(const std::string& text);

// "a7" and "connections/a7" give "connections/a7"; the errors are those of
// ListenerName.
absl::StatusOr<std::string> ConnectionName(const std::string& text);

// "web" and "listeners/web" give "web"; the errors are those of ListenerName.
absl::StatusOr<std::string> ListenerId(const std::string& text);

}  // namespace portreeve::client

#endif  // PORTREEVE_CLIENT_NAME_H_
