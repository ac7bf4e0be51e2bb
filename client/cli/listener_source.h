// Where the listeners that there shall be are read from: a file, or stdin.
#ifndef PORTREEVE_CLIENT_CLI_LISTENER_SOURCE_H_
#define PORTREEVE_CLIENT_CLI_LISTENER_SOURCE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "listener_files/listener_file.h"

namespace portreeve::cli {

struct ListenerSource {
  std::string file;                  // "-" is stdin.
  std::string directory;             // What a relative path counts from.
  std::optional<FileFormat> format;  // Unset: what the file's name says.
};

// Reads all of `source`; `input` is the descriptor of stdin.
//
// Errors: INVALID_ARGUMENT, those of ParseListeners(), and where the file
// cannot be read, with its name.
absl::StatusOr<std::vector<WantedListener>> ReadListeners(
    const ListenerSource& source, int input);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_LISTENER_SOURCE_H_
