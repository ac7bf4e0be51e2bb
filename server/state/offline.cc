#include "server/state/offline.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "google/protobuf/text_format.h"
#include "lib/base/descriptor.h"
#include "server/api/errors.h"
#include "server/api/uuid.h"
#include "server/state/database.h"
#include "server/state/inspection.h"
#include "server/state/sqlite.h"
#include "server/state/state_directory.h"
#include "server/state/state_errors.h"
#include "server/state/state_image.h"
#include "server/state/state_records.h"

namespace portreeve::server {
namespace {

struct Found {
  std::string image;
  Inspection inspection;
  StateReport report;
};

std::string FileIn(const std::string& directory) {
  return absl::StrCat(directory, "/", Database::kFileName);
}

absl::StatusOr<Found> Read(const std::string& directory) {
  const std::string file = FileIn(directory);
  auto image = ReadImage(file);
  if (!image.ok()) return absl::DataLossError(image.status().message());
  auto inspection = Inspect(file, *image);
  if (!inspection.ok()) {
    return absl::DataLossError(inspection.status().message());
  }
  Found found{*std::move(image), *std::move(inspection), {}};
  const StateRows& rows = found.inspection.contents.rows;
  found.report.file = file;
  found.report.listeners = static_cast<int64_t>(rows.listeners.size());
  found.report.requests = static_cast<int64_t>(rows.requests.size());
  for (const auto& [where, what] : found.inspection.damages) {
    found.report.damages.push_back(absl::StrCat(where, ": ", what));
  }
  return found;
}

template <typename Row>
void Print(const std::vector<Row>& rows, const char* collection,
           std::string& text) {
  google::protobuf::TextFormat::Printer printer;
  for (const Row& row : rows) {
    const auto record = ParseRow(row);
    std::string fields;
    // Inspect() has parsed them all.
    if (!record.ok() || !printer.PrintToString(*record, &fields)) continue;
    if constexpr (std::is_same_v<Row, ListenerRow>) {
      absl::StrAppend(&text, "# ", collection, "/", row.id, "\n");
    } else {
      absl::StrAppend(&text, "# ", collection, "/", row.seq, "\n");
    }
    absl::StrAppend(&text, fields, "\n");
  }
}

bool HasWal(const std::string& file) {
  struct stat wal;
  return lstat((file + "-wal").c_str(), &wal) == 0 && wal.st_size > 0;
}

// Has all that is in the WAL written to the file, and the WAL removed.
absl::Status DropWal(const std::string& file) {
  if (HasWal(file)) {
    auto connection = SqliteConnection::Open(file, Database::kBusy);
    if (!connection.ok()) return connection.status();
    // Before it has read anything, it knows of no WAL.
    const auto read = (*connection)->IntegerOf("PRAGMA user_version");
    if (!read.ok()) return read.status();
    auto status = (*connection)->Checkpoint(SQLITE_CHECKPOINT_TRUNCATE);
    if (!status.ok()) return status;
  }
  if (HasWal(file)) {
    return StateUnavailable(absl::StrCat(file, "-wal: it is still in use"));
  }
  // There is nothing in them any more.
  for (const char* suffix : {"-wal", "-shm"}) {
    if (unlink((file + suffix).c_str()) != 0 && errno != ENOENT) {
      return StateUnavailable(errno, "remove", file + suffix);
    }
  }
  return absl::OkStatus();
}

// Gives the file one more name, with the time in it.
absl::StatusOr<std::string> NameDamaged(const std::string& file) {
  const std::string name = absl::StrCat(
      file, ".damaged-",
      absl::FormatTime("%Y%m%dT%H%M%SZ", absl::Now(), absl::UTCTimeZone()));
  for (int number = 1;; ++number) {
    const std::string path =
        number == 1 ? name : absl::StrCat(name, "-", number);
    if (link(file.c_str(), path.c_str()) == 0) return path;
    if (errno != EEXIST) return StateUnavailable(errno, "link", path);
  }
}

absl::Status SystemError(absl::string_view operation, const std::string& path) {
  const int number = errno;
  return absl::ErrnoToStatus(number, absl::StrCat(operation, " ", path));
}

absl::Status WriteAll(int file, absl::string_view bytes,
                      const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t size = write(file, bytes.data(), bytes.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return SystemError("write", path);
    bytes.remove_prefix(static_cast<size_t>(size));
  }
  return fsync(file) == 0 ? absl::OkStatus() : SystemError("sync", path);
}

absl::Status SyncDirectoryOf(const std::string& file) {
  std::filesystem::path parent = std::filesystem::path(file).parent_path();
  if (parent.empty()) parent = ".";
  const Descriptor directory(
      open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.is_open()) return SystemError("open", parent.string());
  if (fsync(directory.get()) != 0) return SystemError("sync", parent.string());
  return absl::OkStatus();
}

// Gives `draft` the name `path`, which nothing may have.
absl::Status Rename(const std::string& draft, const std::string& path) {
  if (renameat2(AT_FDCWD, draft.c_str(), AT_FDCWD, path.c_str(),
                RENAME_NOREPLACE) == 0) {
    return absl::OkStatus();
  }
  // Not every file system can do that.
  if (errno != EINVAL) return SystemError("make", path);
  if (link(draft.c_str(), path.c_str()) != 0) return SystemError("make", path);
  return unlink(draft.c_str()) == 0 ? absl::OkStatus()
                                    : SystemError("remove", draft);
}

// Has the file appear with all of its bytes, or not at all.
absl::Status WriteNewFile(const std::string& path, absl::string_view bytes) {
  std::string draft = path + ".XXXXXX";
  const Descriptor file(mkostemp(draft.data(), O_CLOEXEC));  // With mode 0600.
  if (!file.is_open()) return SystemError("make", path);
  auto status = WriteAll(file.get(), bytes, path);
  if (status.ok()) status = Rename(draft, path);
  if (!status.ok()) {
    (void)unlink(draft.c_str());
    return status;
  }
  return SyncDirectoryOf(path);
}

}  // namespace

absl::StatusOr<StateReport> CheckState(const std::string& directory) {
  auto found = Read(directory);
  if (!found.ok()) return found.status();
  return std::move(found->report);
}

absl::StatusOr<StateDump> DumpState(const std::string& directory) {
  auto found = Read(directory);
  if (!found.ok()) return found.status();
  StateDump dump{std::move(found->report), ""};
  const StateRows& rows = found->inspection.contents.rows;
  Print(rows.listeners, "listeners", dump.text);
  Print(rows.requests, "requests", dump.text);
  return dump;
}

absl::StatusOr<StateRepair> RepairState(const std::string& directory) {
  // Taking it would make one that is not there.
  auto found = Read(directory);
  if (!found.ok()) return found.status();
  const auto taken = StateDirectory::Take(directory);
  if (!taken.ok()) {
    // So it is no fault of the state's.
    if (ReasonOf(taken.status()) == "STATE_IN_USE") {
      return absl::UnavailableError(taken.status().message());
    }
    return taken.status();
  }
  found = Read(directory);
  if (!found.ok()) return found.status();
  if (found->report.is_sound()) return StateRepair{found->report, ""};
  // What a WAL says must not be taken for changes of the new file.
  const std::string file = FileIn(directory);
  if (auto s = DropWal(file); !s.ok()) return s;
  found = Read(directory);
  if (!found.ok()) return found.status();
  if (found->report.is_sound()) return StateRepair{found->report, ""};
  auto damaged_file = NameDamaged(file);
  if (!damaged_file.ok()) return damaged_file.status();
  StateContents& contents = found->inspection.contents;
  if (contents.daemon_id.empty()) contents.daemon_id = NewUuid();
  if (auto s = Database::Replace(directory, contents); !s.ok()) return s;
  return StateRepair{std::move(found->report), *std::move(damaged_file)};
}

absl::StatusOr<StateBackup> BackupState(const std::string& directory,
                                        const std::string& file) {
  struct stat there;
  if (lstat(file.c_str(), &there) == 0) {
    return absl::AlreadyExistsError(
        absl::StrCat(file, ": there is such a file"));
  }
  auto found = Read(directory);
  if (!found.ok()) return found.status();
  StateBackup backup{std::move(found->report)};
  if (!backup.report.is_sound()) return backup;
  if (auto s = WriteNewFile(file, found->image); !s.ok()) return s;
  return backup;
}

}  // namespace portreeve::server
