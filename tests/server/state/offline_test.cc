// A state checked, shown, repaired and copied, beside a daemon and without one.
#include "server/state/offline.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/fsuid.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <functional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/state/database.h"
#include "server/state/state_directory.h"
#include "tests/server/state/fault_vfs.h"
#include "tests/server/state/state_files.h"
#include "tests/testing/in_child.h"

namespace portreeve::server {
namespace {

using testing::ChangesOf;
using testing::InChild;
using testing::ReadFile;
using testing::RecordedRows;
using testing::RunSql;
using testing::TemporaryDirectory;
using testing::WriteFile;

using Lines = std::vector<std::string>;

class OfflineTest : public ::testing::Test {
 protected:
  explicit OfflineTest(const std::string& in = ::testing::TempDir())
      : directory_(in) {}

  std::unique_ptr<Database> Open() {
    auto database = Database::Open(directory_.path(), "1.0");
    EXPECT_TRUE(database.ok() && (*database)->Read().ok()) << database.status();
    return *std::move(database);
  }
  // Makes a state, as a clean stop leaves it, and gives the file's bytes.
  std::string Make() {
    const auto database = Open();
    EXPECT_TRUE(database->Commit(ChangesOf(rows_)).ok());
    EXPECT_TRUE(database->End().ok());
    EXPECT_TRUE(database->Close().ok());
    return ReadFile(directory_.database());
  }

  // Each says what came of it: "sound 3 2", the damages, or the code.
  std::string Check() { return Text(CheckState(directory_.path())); }
  static std::string Text(const absl::StatusOr<StateReport>& report) {
    if (!report.ok()) return absl::StatusCodeToString(report.status().code());
    std::string text = report->is_sound() ? "sound" : "damaged";
    absl::StrAppend(&text, " ", report->listeners, " ", report->requests);
    for (const std::string& damage : report->damages) text += "; " + damage;
    return text;
  }
  StateRows Rows() {
    const auto database = Database::Open(directory_.path(), "1.0");
    if (!database.ok()) return {};
    const auto contents = (*database)->Read();
    EXPECT_TRUE(contents.ok()) << contents.status();
    return contents.ok() ? contents->rows : StateRows{};
  }
  std::set<std::string> Files() const {
    std::set<std::string> names;
    for (const auto& entry :
         std::filesystem::directory_iterator(directory_.path())) {
      names.insert(entry.path().filename());
    }
    return names;
  }

  const StateRows rows_ = RecordedRows(3, 2);
  const TemporaryDirectory directory_;
};

TEST_F(OfflineTest, ASoundStateIsCheckedAndLeftAsItIs) {
  const std::string bytes = Make();
  EXPECT_EQ(Check(), "sound 3 2");
  EXPECT_EQ(Files(), std::set<std::string>{"portreeved.db"});
  const auto repair = RepairState(directory_.path());
  ASSERT_TRUE(repair.ok()) << repair.status();
  EXPECT_TRUE(repair->report.is_sound());
  EXPECT_EQ(repair->damaged_file, "");
  EXPECT_EQ(Files(), (std::set<std::string>{"lock", "portreeved.db"}));
  EXPECT_EQ(ReadFile(directory_.database()), bytes);
}

TEST_F(OfflineTest, WhatCannotBeReadIsTold) {
  const auto why = [&](const std::string& directory) {
    const auto report = CheckState(directory);
    EXPECT_EQ(report.status().code(), absl::StatusCode::kDataLoss);
    const auto repair = RepairState(directory);
    EXPECT_EQ(repair.status(), report.status());
    const auto backup = BackupState(directory, directory_.path() + "/backup");
    EXPECT_EQ(backup.status(), report.status());
    EXPECT_FALSE(std::filesystem::exists(directory_.path() + "/backup"));
    return std::string(report.status().message());
  };
  const std::string file = directory_.database();
  const std::string none = directory_.path() + "/none";
  EXPECT_EQ(why(none), absl::StrCat("open ", none,
                                    "/portreeved.db: No such file or "
                                    "directory"));
  EXPECT_FALSE(std::filesystem::exists(none));
  EXPECT_EQ(why(directory_.path()),
            absl::StrCat("open ", file, ": No such file or directory"));
  ASSERT_EQ(mkfifo(file.c_str(), 0600), 0);
  EXPECT_EQ(why(directory_.path()), file + ": it is no regular file");
  EXPECT_EQ(Database::Open(directory_.path(), "1.0").status().message(),
            file + ": it is no regular file");
  std::filesystem::remove(file);
  ASSERT_EQ(mkdir(file.c_str(), 0700), 0);
  EXPECT_EQ(why(directory_.path()), file + ": it is no regular file");
  std::filesystem::remove(file);
  WriteFile(file + "-wal", "x");
  EXPECT_EQ(why(directory_.path()), file + " is missing beside its WAL");
  std::filesystem::remove(file + "-wal");
  const std::string bytes = Make();
  std::filesystem::rename(file, directory_.path() + "/elsewhere");
  std::filesystem::create_symlink("elsewhere", file);
  EXPECT_EQ(why(directory_.path()), file + ": it is no regular file");
  std::filesystem::remove(file);
  WriteFile(file, "");
  EXPECT_EQ(why(directory_.path()), file + ": it is empty");
  WriteFile(file, std::string(bytes.size(), '\0'));
  EXPECT_TRUE(absl::StartsWith(why(directory_.path()), file + ": "));
  std::filesystem::remove(file);
  RunSql(file, "CREATE TABLE t(x); INSERT INTO t VALUES(1)");
  EXPECT_EQ(why(directory_.path()), file + ": it is no state of portreeved");
}

// Root may read everything, and a file may not be read by nobody.
TEST_F(OfflineTest, AFileThatMayNotBeReadIsTold) {
  Make();
  if (geteuid() != 0) {
    ASSERT_EQ(chmod(directory_.database().c_str(), 0), 0);
    EXPECT_EQ(Check(), "DATA_LOSS");
    return;
  }
  ASSERT_EQ(chmod(directory_.path().c_str(), 0755), 0);
  InChild([&] {
    ASSERT_EQ(setfsuid(65534), 0);
    const auto report = CheckState(directory_.path());
    EXPECT_TRUE(absl::EndsWith(report.status().message(), "Permission denied"))
        << report.status();
  });
}

TEST_F(OfflineTest, DumpShowsEachRecordThatChecks) {
  Make();
  RunSql(directory_.database(), "UPDATE listeners SET crc=1 WHERE id='l0001'");
  const auto dump = DumpState(directory_.path());
  ASSERT_TRUE(dump.ok()) << dump.status();
  EXPECT_EQ(Text(dump->report),
            "damaged 2 2; listeners/l0001: its checksum is wrong; "
            "meta/listeners: more or fewer than it says check");
  EXPECT_TRUE(absl::StartsWith(dump->text,
                               "# listeners/l0000\n"
                               "spec {\n  handler {\n    echo {\n    }\n  }\n"
                               "  labels {\n    key: \"k\"\n    value: \"\"\n"
                               "  }\n}\nuid: \"uid-0000\"\n\n"
                               "# listeners/l0002\nspec {\n"))
      << dump->text;
  EXPECT_TRUE(absl::StrContains(
                  dump->text,
                  "\n\n# requests/0\ncaller: \"\"\nrequest_id: \"r0000\"\n") ||
              absl::StrContains(dump->text,
                                "\n\n# requests/0\nrequest_id: \"r0000\"\n"))
      << dump->text;
  EXPECT_FALSE(absl::StrContains(dump->text, "l0001"));
}

TEST_F(OfflineTest, RepairKeepsWhatChecksAndTheDamagedFile) {
  const std::string whole = Make();
  RunSql(directory_.database(), "UPDATE listeners SET crc=1 WHERE id='l0001'");
  const std::string damaged = ReadFile(directory_.database());
  const auto repair = RepairState(directory_.path());
  ASSERT_TRUE(repair.ok()) << repair.status();
  EXPECT_EQ(Text(repair->report),
            "damaged 2 2; listeners/l0001: its checksum is wrong; "
            "meta/listeners: more or fewer than it says check");
  EXPECT_TRUE(absl::StartsWith(repair->damaged_file,
                               directory_.database() + ".damaged-2"));
  EXPECT_EQ(ReadFile(repair->damaged_file), damaged);
  const std::string name =
      std::filesystem::path(repair->damaged_file).filename();
  EXPECT_EQ(Files(), (std::set<std::string>{"lock", "portreeved.db", name}));
  struct stat file;
  ASSERT_EQ(stat(directory_.database().c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
  EXPECT_EQ(Check(), "sound 2 2");
  StateRows rows = rows_;
  rows.listeners.erase(rows.listeners.begin() + 1);
  EXPECT_EQ(Rows(), rows);
  // Another one in the same second.
  WriteFile(directory_.database(), damaged);
  const auto again = RepairState(directory_.path());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_NE(again->damaged_file, repair->damaged_file);
  EXPECT_EQ(Rows(), rows);
}

TEST_F(OfflineTest, RepairKeepsWhoTheDaemonIs) {
  Make();
  const std::string id = Open()->Read()->daemon_id;
  RunSql(directory_.database(), "DELETE FROM meta WHERE key='clean'");
  ASSERT_TRUE(RepairState(directory_.path()).ok());
  auto contents = Open()->Read();
  EXPECT_EQ(contents->daemon_id, id);
  EXPECT_EQ(contents->written_by, "1.0");
  EXPECT_FALSE(contents->clean);
  RunSql(directory_.database(), "DELETE FROM meta WHERE key='daemon_id'");
  ASSERT_TRUE(RepairState(directory_.path()).ok());
  contents = Open()->Read();
  EXPECT_EQ(contents->daemon_id.size(), 36u);
  EXPECT_NE(contents->daemon_id, id);
}

// What a crash has left in the WAL is a part of the state, for good or ill.
TEST_F(OfflineTest, RepairTakesInWhatIsInTheWal) {
  Make();
  InChild([&] {
    const auto database = Open();
    ASSERT_TRUE(database
                    ->Commit({ListenerRow{"late", rows_.listeners[0].record},
                              EraseListener{"l0000"}})
                    .ok());
  });
  ASSERT_GT(std::filesystem::file_size(directory_.database() + "-wal"), 0u);
  const std::string wal = ReadFile(directory_.database() + "-wal");
  EXPECT_EQ(Check(), "sound 3 2");
  EXPECT_EQ(ReadFile(directory_.database() + "-wal"), wal);
  {
    sqlite3* other = nullptr;
    ASSERT_EQ(sqlite3_open(directory_.database().c_str(), &other), SQLITE_OK);
    sqlite3_db_config(other, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    ASSERT_EQ(sqlite3_exec(other, "DELETE FROM meta WHERE key='clean'", nullptr,
                           nullptr, nullptr),
              SQLITE_OK);
    sqlite3_close(other);
  }
  EXPECT_EQ(Check(), "damaged 3 2; meta/clean: it is missing");
  ASSERT_TRUE(RepairState(directory_.path()).ok());
  EXPECT_EQ(Check(), "sound 3 2");
  StateRows rows = rows_;
  rows.listeners.erase(rows.listeners.begin());
  rows.listeners.push_back({"late", rows_.listeners[0].record});
  EXPECT_EQ(Rows(), rows);
}

// What SQLite itself does not read by its tables.
TEST_F(OfflineTest, RepairTakesInTheWalOfADamagedSchema) {
  Make();
  InChild([&] {
    const auto database = Open();
    ASSERT_TRUE(database->Commit({EraseListener{"l0000"}}).ok());
  });
  std::string bytes = ReadFile(directory_.database());
  bytes.replace(bytes.find("CREATE TABLE listeners"), 6, "XREATE");
  WriteFile(directory_.database(), bytes);
  EXPECT_TRUE(absl::StartsWith(Check(), "damaged 2 2; portreeved.db: "))
      << Check();
  ASSERT_TRUE(RepairState(directory_.path()).ok());
  EXPECT_EQ(Check(), "sound 2 2");
}

// A WAL that was cut, at any byte, says what was committed up to there.
TEST_F(OfflineTest, ATornWalIsNoDamage) {
  const testing::FaultVfs disk;
  const std::string bytes = Make();
  std::string wal;
  InChild([&] {
    const auto database = Open();
    for (const char* id : {"x", "y", "z"}) {
      ASSERT_TRUE(
          database->Commit({ListenerRow{id, rows_.listeners[0].record}}).ok());
    }
    std::filesystem::copy(directory_.database() + "-wal",
                          directory_.path() + "/copy");
  });
  wal = ReadFile(directory_.path() + "/copy");
  std::set<std::string> seen;
  for (size_t size = wal.size() % 61; size <= wal.size(); size += 61) {
    WriteFile(directory_.database(), bytes);
    WriteFile(directory_.database() + "-wal", wal.substr(0, size));
    std::filesystem::remove(directory_.database() + "-shm");
    seen.insert(Check());
  }
  EXPECT_EQ(seen, (std::set<std::string>{"sound 3 2", "sound 4 2", "sound 5 2",
                                         "sound 6 2"}));
}

TEST_F(OfflineTest, BesideADaemonAllButRepairWork) {
  auto taken = StateDirectory::Take(directory_.path());
  ASSERT_TRUE(taken.ok());
  const auto database = Open();
  ASSERT_TRUE(database->Commit(ChangesOf(rows_)).ok());
  const std::string backup = directory_.path() + "/backup";
  // SQLite's locks of this process would go.
  InChild([&] {
    EXPECT_EQ(Check(), "sound 3 2");
    EXPECT_TRUE(DumpState(directory_.path()).ok());
    EXPECT_TRUE(BackupState(directory_.path(), backup).ok());
    const auto repair = RepairState(directory_.path());
    EXPECT_EQ(repair.status(),
              absl::UnavailableError(absl::StrCat(
                  directory_.path(), " is used by process ", getppid())));
  });
  // It goes on, and nobody else may write meanwhile.
  ASSERT_TRUE(database->Commit({EraseListener{"l0000"}}).ok());
  InChild([&] { EXPECT_EQ(Check(), "sound 2 2"); });
}

TEST_F(OfflineTest, ABackupUnderLoadIsTheStateOfOneMoment) {
  const auto database = Open();
  ASSERT_TRUE(database->Commit(ChangesOf(RecordedRows(200, 200))).ok());
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const std::string to = directory_.path() + "/to";
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    close(ends[0]);
    for (int i = 0; i < 20; ++i) {
      const std::string place = absl::StrCat(to, i);
      std::filesystem::create_directory(place);
      const auto backup =
          BackupState(directory_.path(), place + "/portreeved.db");
      if (!backup.ok() || !backup->report.is_sound()) _exit(1);
    }
    _exit(0);
  }
  close(ends[1]);
  // Each commit moves a listener's name into another one, two rows at once.
  const auto rows = RecordedRows(200, 200);
  char byte = 0;
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  int commits = 0;
  // The child holds the other end for as long as it lives.
  while (read(ends[0], &byte, 1) != 0) {
    const ListenerRow& row = rows.listeners[static_cast<size_t>(commits % 200)];
    const std::string moved = row.id + "-moved";
    const bool back = commits / 200 % 2 == 1;
    ASSERT_TRUE(database
                    ->Commit({EraseListener{back ? moved : row.id},
                              ListenerRow{back ? row.id : moved, row.record}})
                    .ok());
    if (database->wal_is_long()) {
      ASSERT_TRUE(database->TrimWal().ok());
    }
    ++commits;
  }
  close(ends[0]);
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  ASSERT_EQ(status, 0);
  EXPECT_GT(commits, 20);
  for (int i = 0; i < 20; ++i) {
    const std::string place = absl::StrCat(to, i);
    struct stat file;
    ASSERT_EQ(stat((place + "/portreeved.db").c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 0777, 0600u);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(place), {}), 1);
    const auto copy = Database::Open(place, "1.0");
    ASSERT_TRUE(copy.ok()) << copy.status();
    const auto contents = (*copy)->Read();
    ASSERT_TRUE(contents.ok()) << contents.status();
    EXPECT_EQ(contents->rows.listeners.size(), 200u);
    EXPECT_TRUE((*copy)->Begin().ok());
    EXPECT_EQ(contents->rows.requests, rows.requests);
  }
}

TEST_F(OfflineTest, ABackupReplacesNothingAndCopiesNoDamage) {
  const std::string bytes = Make();
  const std::string backup = directory_.path() + "/backup";
  WriteFile(backup, "mine");
  EXPECT_EQ(BackupState(directory_.path(), backup).status(),
            absl::AlreadyExistsError(backup + ": there is such a file"));
  EXPECT_EQ(ReadFile(backup), "mine");
  std::filesystem::remove(backup);
  std::filesystem::create_symlink("nowhere", backup);
  EXPECT_EQ(BackupState(directory_.path(), backup).status().code(),
            absl::StatusCode::kAlreadyExists);
  std::filesystem::remove(backup);
  EXPECT_EQ(BackupState(directory_.path(), directory_.path() + "/no/backup")
                .status()
                .code(),
            absl::StatusCode::kNotFound);
  RunSql(directory_.database(), "UPDATE listeners SET crc=1 WHERE id='l0001'");
  const auto damaged = BackupState(directory_.path(), backup);
  ASSERT_TRUE(damaged.ok()) << damaged.status();
  EXPECT_FALSE(damaged->report.is_sound());
  EXPECT_EQ(Files(), std::set<std::string>{"portreeved.db"});
}

// A disk that is full leaves the damaged file where it is.
TEST_F(OfflineTest, AFullDiskChangesNothing) {
  Make();
  RunSql(directory_.database(), "UPDATE listeners SET crc=1 WHERE id='l0001'");
  const std::string damaged = ReadFile(directory_.database());
  InChild([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {5000, 5000};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    const auto repair = RepairState(directory_.path());
    EXPECT_EQ(repair.status().code(), absl::StatusCode::kResourceExhausted)
        << repair.status();
  });
  EXPECT_EQ(ReadFile(directory_.database()), damaged);
  ASSERT_TRUE(RepairState(directory_.path()).ok());
  EXPECT_EQ(Check(), "sound 2 2");
}

// Whether the system call, before which the child has stopped, changes files.
bool ChangesFiles(pid_t pid) {
  static const std::set<uint64_t> kCalls = {
      SYS_openat,    SYS_write, SYS_pwrite64, SYS_ftruncate, SYS_fsync,
      SYS_fdatasync, SYS_link,  SYS_unlink,   SYS_rename,    SYS_fallocate,
  };
  __ptrace_syscall_info call = {};
  EXPECT_GT(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof call, &call), 0);
  return call.op == PTRACE_SYSCALL_INFO_ENTRY &&
         kCalls.count(call.entry.nr) > 0;
}

// Runs `f` in a child, and kills it before the system call number `call` of
// those that change files, counted from 1.  Gives whether it came so far.
bool RunAndKill(const std::function<void()>& f, int call) {
  std::fflush(nullptr);
  const pid_t pid = fork();
  if (pid == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
    f();
    _exit(0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(ptrace(PTRACE_SETOPTIONS, pid, nullptr,
                   PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL),
            0);
  while (WIFSTOPPED(status)) {
    EXPECT_EQ(ptrace(PTRACE_SYSCALL, pid, nullptr, nullptr), 0);
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    if (WIFSTOPPED(status) && ChangesFiles(pid) && --call == 0) {
      kill(pid, SIGKILL);
      EXPECT_EQ(waitpid(pid, &status, 0), pid);
      return true;
    }
  }
  return false;
}

// The files of these lie in memory, where a sync takes no time.
class OfflineInMemoryTest : public OfflineTest {
 protected:
  OfflineInMemoryTest() : OfflineTest("/dev/shm") {}
};

// kill -9 before every single change: the state is the old or the new one.
TEST_F(OfflineInMemoryTest, ARepairThatIsKilledLeavesTheOldOrTheNew) {
  const std::string bytes = Make();
  std::string damaged_wal;
  InChild([&] {
    const auto database = Open();
    ASSERT_TRUE(database
                    ->Commit({ListenerRow{"late", rows_.listeners[0].record},
                              EraseListener{"l0000"}})
                    .ok());
    sqlite3* other = nullptr;
    ASSERT_EQ(sqlite3_open(directory_.database().c_str(), &other), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(other, "DELETE FROM meta WHERE key='clean'", nullptr,
                           nullptr, nullptr),
              SQLITE_OK);
    std::filesystem::copy(directory_.database() + "-wal",
                          directory_.path() + "/copy");
    sqlite3_close(other);
  });
  const std::string wal = ReadFile(directory_.path() + "/copy");
  ASSERT_FALSE(wal.empty());
  std::filesystem::remove(directory_.path() + "/copy");
  StateRows rows = rows_;
  rows.listeners.erase(rows.listeners.begin());
  rows.listeners.push_back({"late", rows_.listeners[0].record});
  int old = 0, repaired = 0;
  for (int call = 1;; ++call) {
    for (const std::string& name : Files()) {
      std::filesystem::remove(directory_.path() + "/" + name);
    }
    WriteFile(directory_.database(), bytes);
    WriteFile(directory_.database() + "-wal", wal);
    const bool was_killed =
        RunAndKill([this] { (void)RepairState(directory_.path()); }, call);
    const std::string found = Check();
    if (found == "damaged 3 2; meta/clean: it is missing") {
      ++old;
      ASSERT_TRUE(was_killed);
      ASSERT_TRUE(RepairState(directory_.path()).ok()) << call;
      ASSERT_EQ(Check(), "sound 3 2") << call;
    } else {
      ++repaired;
      ASSERT_EQ(found, "sound 3 2") << call;
    }
    ASSERT_EQ(Rows(), rows) << call;
    const auto files = Files();
    ASSERT_TRUE(std::any_of(files.begin(), files.end(), [](const auto& name) {
      return absl::StrContains(name, "damaged");
    })) << call;
    if (!was_killed) break;
  }
  EXPECT_GT(old, 40);
  EXPECT_GT(repaired, 2);
}

}  // namespace
}  // namespace portreeve::server
