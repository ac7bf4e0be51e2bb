#include "server/state/state_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <filesystem>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "server/state/state_errors.h"

namespace portreeve::server {
namespace {

// Makes it durable that `path` is there.
absl::Status SyncParent(const std::string& path) {
  std::filesystem::path parent = std::filesystem::path(path).parent_path();
  if (parent.empty()) parent = ".";
  const Descriptor directory(
      open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.is_open()) {
    return StateUnavailable(errno, "open", parent.string());
  }
  if (fsync(directory.get()) != 0) {
    return StateUnavailable(errno, "sync", parent.string());
  }
  return absl::OkStatus();
}

absl::Status CheckOwner(const std::string& path, int directory) {
  struct stat file;
  if (fstat(directory, &file) != 0) {
    return StateUnavailable(errno, "stat", path);
  }
  if (file.st_uid != geteuid() && file.st_uid != 0) {
    return StateNotOurs(
        absl::StrCat(path, ": it belongs to another user, ", file.st_uid));
  }
  if ((file.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return StateNotOurs(absl::StrCat(path, ": other users may write to it"));
  }
  return absl::OkStatus();
}

// Gives the number that the file begins with; 0 if it has none.
int64_t ReadPid(int file) {
  std::array<char, 24> text;
  const ssize_t size = pread(file, text.data(), text.size(), 0);
  int64_t pid = 0;
  if (size <= 0) return 0;
  const absl::string_view line(text.data(), static_cast<size_t>(size));
  // A process that was killed has left its own, and one that has just begun
  // none.
  return absl::SimpleAtoi(line, &pid) && pid > 0 ? pid : 0;
}

// The number is for messages alone, so an error does not matter.
void WritePid(int file) {
  const std::string text = absl::StrCat(getpid(), "\n");
  if (ftruncate(file, 0) != 0) return;
  (void)!pwrite(file, text.data(), text.size(), 0);
}

}  // namespace

absl::StatusOr<StateDirectory> StateDirectory::Take(const std::string& path) {
  const bool is_new = mkdir(path.c_str(), S_IRWXU) == 0;
  if (!is_new && errno != EEXIST) return StateUnavailable(errno, "make", path);
  if (is_new) {
    if (auto s = SyncParent(path); !s.ok()) return s;
  }
  const Descriptor directory(
      open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.is_open()) return StateUnavailable(errno, "open", path);
  if (auto s = CheckOwner(path, directory.get()); !s.ok()) return s;
  Descriptor lock(openat(directory.get(), kLockName,
                         O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                         S_IRUSR | S_IWUSR));
  const std::string lock_path = absl::StrCat(path, "/", kLockName);
  if (!lock.is_open()) return StateUnavailable(errno, "open", lock_path);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return StateUnavailable(errno, "lock", lock_path);
    const int64_t pid = ReadPid(lock.get());
    return StateInUse(absl::StrCat(path, " is used by ",
                                   pid == 0 ? std::string("another process")
                                            : absl::StrCat("process ", pid)));
  }
  WritePid(lock.get());
  return StateDirectory(path, std::move(lock));
}

absl::StatusOr<StateDirectory> StateDirectory::Adopt(const std::string& path,
                                                     Descriptor lock) {
  const std::string lock_path = absl::StrCat(path, "/", kLockName);
  struct stat file, given;
  if (lstat(lock_path.c_str(), &file) != 0) {
    return StateUnavailable(errno, "stat", lock_path);
  }
  if (fstat(lock.get(), &given) != 0) {
    return StateUnavailable(errno, "stat", lock_path);
  }
  if (file.st_dev != given.st_dev || file.st_ino != given.st_ino) {
    return StateNotOurs(absl::StrCat(lock_path,
                                     ": it is not that which the "
                                     "other process has"));
  }
  StateDirectory directory(path, std::move(lock));
  directory.owned_ = false;
  return directory;
}

void StateDirectory::Own() {
  owned_ = true;
  WritePid(lock_.get());
}

StateDirectory::~StateDirectory() {
  if (owned_ && lock_.is_open()) (void)!ftruncate(lock_.get(), 0);
}

}  // namespace portreeve::server
