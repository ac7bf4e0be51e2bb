#include "server/state/state_image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "absl/strings/str_cat.h"
#include "lib/base/descriptor.h"
#include "server/api/errors.h"
#include "server/state/sqlite.h"
#include "server/state/state_errors.h"

namespace portreeve::server {
namespace {

// How long another program may take to bring a WAL in order.
constexpr std::chrono::milliseconds kBusy{5000};

// Gives nothing where there is no file.
std::optional<off_t> SizeOf(const std::string& path) {
  struct stat file;
  if (lstat(path.c_str(), &file) != 0) return std::nullopt;
  return file.st_size;
}

bool IsSame(const struct stat& a, const struct stat& b) {
  return a.st_ino == b.st_ino && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
         a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

absl::Status NotRegular(const std::string& path) {
  return StateUnavailable(absl::StrCat(path, ": it is no regular file"));
}

// Gives the bytes of the file alone; nothing where it has changed meanwhile.
absl::StatusOr<std::optional<std::string>> ReadAlone(const std::string& path) {
  // A FIFO would wait for its other end.
  const Descriptor file(
      open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.is_open()) return StateUnavailable(errno, "open", path);
  struct stat before;
  if (fstat(file.get(), &before) != 0) {
    return StateUnavailable(errno, "stat", path);
  }
  if (!S_ISREG(before.st_mode)) return NotRegular(path);
  std::string bytes(static_cast<size_t>(before.st_size), '\0');
  size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t more = pread(file.get(), bytes.data() + size,
                               bytes.size() - size, static_cast<off_t>(size));
    if (more < 0 && errno == EINTR) continue;
    if (more < 0) return StateUnavailable(errno, "read", path);
    if (more == 0) return std::optional<std::string>();
    size += static_cast<size_t>(more);
  }
  struct stat after;
  if (stat(path.c_str(), &after) != 0 || !IsSame(before, after)) {
    return std::optional<std::string>();
  }
  return std::optional<std::string>(std::move(bytes));
}

absl::StatusOr<std::string> ReadBySqlite(const std::string& path) {
  auto connection = SqliteConnection::Open(path, kBusy);
  if (!connection.ok()) return connection.status();
  return (*connection)->Snapshot();
}

}  // namespace

absl::Status CheckRegularFile(const std::string& path) {
  struct stat file;
  if (lstat(path.c_str(), &file) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return StateUnavailable(errno, "stat", path);
  }
  return S_ISREG(file.st_mode) ? absl::OkStatus() : NotRegular(path);
}

absl::StatusOr<std::string> ReadImage(const std::string& path) {
  if (auto s = CheckRegularFile(path); !s.ok()) return s;
  const std::string wal = path + "-wal";
  if (!SizeOf(path) && SizeOf(wal)) {
    return StateDamaged(absl::StrCat(path, " is missing beside its WAL"));
  }
  // SQLite would make a database of it.
  if (SizeOf(path).value_or(1) == 0) return std::string();
  // Whoever writes has a WAL from its beginning to its end.
  if (!SizeOf(wal)) {
    auto bytes = ReadAlone(path);
    if (!bytes.ok()) return bytes.status();
    if (*bytes && !SizeOf(wal)) return **std::move(bytes);
  }
  auto bytes = ReadBySqlite(path);
  if (ReasonOf(bytes.status()) != "STATE_DAMAGED") return bytes;
  if (SizeOf(wal).value_or(0) > 0) {
    return StateDamaged(absl::StrCat(bytes.status().message(),
                                     "; what was written last is in ", wal,
                                     ", which cannot be read without it"));
  }
  auto alone = ReadAlone(path);
  if (!alone.ok()) return alone.status();
  if (!*alone) return StateUnavailable(absl::StrCat(path, ": it changes"));
  return **std::move(alone);
}

}  // namespace portreeve::server
