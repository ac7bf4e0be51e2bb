// What a service manager has put into the environment for this process alone.
#ifndef PORTREEVE_SERVER_DAEMON_TAKEN_VARIABLE_H_
#define PORTREEVE_SERVER_DAEMON_TAKEN_VARIABLE_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace portreeve::server {

// Gives the variable's value, and takes it out of the environment, so that no
// child takes it for its own; nullopt where it is not there.  It must be called
// while there is no other thread.
std::optional<std::string> TakeVariable(const char* name);

// Makes INVALID_ARGUMENT, one line: VARIABLE "VALUE": MESSAGE.
absl::Status WrongVariable(const char* variable, absl::string_view value,
                           absl::string_view message);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_TAKEN_VARIABLE_H_
