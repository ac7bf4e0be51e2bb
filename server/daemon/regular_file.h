// Reads files that an operator names.
#ifndef PORTREEVE_SERVER_DAEMON_REGULAR_FILE_H_
#define PORTREEVE_SERVER_DAEMON_REGULAR_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace portreeve::server {

// Gives what is in the file `path`; of one with more than `most` bytes, a
// beginning that is longer than `most`.  It does not block where nothing
// writes, as a FIFO would have it do.
//
// Errors: INVALID_ARGUMENT, without the path, where it cannot be read or is no
// regular file.
absl::StatusOr<std::string> ReadRegularFile(const std::string& path,
                                            size_t most);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_REGULAR_FILE_H_
