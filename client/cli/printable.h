// Text of others on a terminal.
#ifndef PORTREEVE_CLIENT_CLI_PRINTABLE_H_
#define PORTREEVE_CLIENT_CLI_PRINTABLE_H_

#include <string>

namespace portreeve::cli {

// `text` with control characters, ends of lines included, written as C escapes:
// what a daemon sends can neither forge a line nor steer a terminal.
std::string Printable(const std::string& text);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_PRINTABLE_H_
