#include "client/cli/listener_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "client/cli/descriptor.h"

namespace portreeve::cli {
namespace {

absl::StatusOr<std::string> ReadAll(int descriptor) {
  std::string text;
  char buffer[65536];
  // One byte more than is taken is enough to refuse it.
  while (text.size() <= kMaxFileBytes) {
    const ssize_t size = read(descriptor, buffer, sizeof buffer);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return absl::ErrnoToStatus(errno, "reading");
    if (size == 0) break;
    text.append(buffer, static_cast<size_t>(size));
  }
  return text;
}

absl::StatusOr<std::string> ReadFile(const std::string& file,
                                     const std::string& directory) {
  const auto path = std::filesystem::path(directory) / file;
  const Descriptor descriptor(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (descriptor.get() < 0) return absl::ErrnoToStatus(errno, "opening");
  return ReadAll(descriptor.get());
}

}  // namespace

absl::StatusOr<std::vector<WantedListener>> ReadListeners(
    const ListenerSource& source, int input) {
  const bool is_input = source.file == "-";
  const std::string name = is_input ? "stdin" : source.file;
  const auto text =
      is_input ? ReadAll(input) : ReadFile(source.file, source.directory);
  if (!text.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": ", text.status().message()));
  }
  return ParseListeners(name, source.format.value_or(FormatOf(source.file)),
                        *text);
}

}  // namespace portreeve::cli
