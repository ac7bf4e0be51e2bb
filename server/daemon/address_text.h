// How addresses are written on the command line: the parts of
// "tcp:HOST:PORT", "HOST:PORT", ":PORT", "tcp:[::1]:80", "unix:PATH" and
// "unix:@name" (tests/texts/addresses.json).
#ifndef PORTREEVE_SERVER_DAEMON_ADDRESS_TEXT_H_
#define PORTREEVE_SERVER_DAEMON_ADDRESS_TEXT_H_

#include <string>
#include <variant>

#include "absl/status/statusor.h"

namespace portreeve::server {

// HOST as it is written, without brackets: a literal, a name, `*` or empty.
struct TcpText {
  std::string host;
  int port;  // 0-65535
};
struct UnixText {
  // Absolute, and not empty; or an abstract name, after a NUL byte.
  std::string path;
};
using AddressText = std::variant<TcpText, UnixText>;

// Splits `text`.  A relative path counts from `directory`, which is absolute.
// Only the writing is checked, not whether there is such a host.
// Errors: INVALID_ARGUMENT, one line that says what was expected.
absl::StatusOr<AddressText> ParseAddressText(const std::string& text,
                                             const std::string& directory);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_ADDRESS_TEXT_H_
