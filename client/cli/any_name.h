// Names of listeners and of connections, as arguments.
#ifndef PORTREEVE_CLIENT_CLI_ANY_NAME_H_
#define PORTREEVE_CLIENT_CLI_ANY_NAME_H_

#include <string>

#include "absl/status/statusor.h"

namespace portreeve::cli {

bool IsConnectionName(const std::string& text);

// Gives the name of a listener, or of a connection where the text says so.
absl::StatusOr<std::string> AnyName(const std::string& text);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_ANY_NAME_H_
