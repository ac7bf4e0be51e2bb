#include "server/daemon/regular_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "lib/base/descriptor.h"

namespace portreeve::server {

absl::StatusOr<std::string> ReadRegularFile(const std::string& path,
                                            size_t most) {
  const Descriptor fd(
      open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat status {};
  if (!fd.is_open() || fstat(fd.get(), &status) != 0) {
    return absl::InvalidArgumentError(std::strerror(errno));
  }
  if (!S_ISREG(status.st_mode)) {
    return absl::InvalidArgumentError("it is not a regular file");
  }
  std::string text;
  char buffer[64 * 1024];
  while (text.size() <= most) {
    const ssize_t size = read(fd.get(), buffer, sizeof buffer);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return absl::InvalidArgumentError(std::strerror(errno));
    if (size == 0) break;
    text.append(buffer, static_cast<size_t>(size));
  }
  return text;
}

}  // namespace portreeve::server
