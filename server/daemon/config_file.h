// The file of --config: flags, one a line.
#ifndef PORTREEVE_SERVER_DAEMON_CONFIG_FILE_H_
#define PORTREEVE_SERVER_DAEMON_CONFIG_FILE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace portreeve::server {

// More than any such file has.
inline constexpr size_t kMaxConfigBytes = size_t{1} << 20;

// A line that has a flag.  Whether there is such a flag, and whether its value
// is one, is for others to say.
struct ConfigLine {
  int number = 0;  // From 1.
  // With its dashes, which the line may have left out: "--control".
  std::string flag;
  // Unset where the flag stands alone.
  std::optional<std::string> value;
};

// Gives the lines of `text` that have a flag, in their order.  Such a line is
// `--flag value` or `--flag=value`, with blanks where one likes, also around
// the `=`, and with or without the dashes.  A value with blanks or quotes in it
// stands in quotes, single or double, in which a backslash takes the character
// behind it as it is.  A `#` at the beginning of a word begins a comment.
// Lines may end in CR LF.
//
// Errors: INVALID_ARGUMENT, "LINE: what is wrong".
absl::StatusOr<std::vector<ConfigLine>> ParseConfig(absl::string_view text);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_CONFIG_FILE_H_
