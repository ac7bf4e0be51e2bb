#include "server/state/database.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>

#include "absl/strings/match.h"
#include "server/api/errors.h"
#include "tests/server/state/fault_vfs.h"
#include "tests/server/state/state_files.h"
#include "tests/testing/in_child.h"

namespace portreeve::server {
namespace {

using testing::ChangesOf;
using testing::InChild;
using testing::ReadFile;
using testing::RunSql;
using testing::SomeRows;
using testing::TemporaryDirectory;
using testing::WriteFile;

class DatabaseTest : public ::testing::Test {
 protected:
  std::unique_ptr<Database> Open(const std::string& version = "1.0") {
    auto database = Database::Open(directory_.path(), version, kNoWait);
    EXPECT_TRUE(database.ok()) << database.status();
    return *std::move(database);
  }

  // Makes a file with SomeRows(), as a clean stop leaves it.
  void MakeSome() {
    const auto database = Open();
    ASSERT_TRUE(database->Read().ok());
    ASSERT_TRUE(database->Commit(ChangesOf(SomeRows())).ok());
    ASSERT_TRUE(database->End().ok());
    ASSERT_TRUE(database->Close().ok());
  }

  StateContents Contents() {
    auto contents = Open()->Read();
    EXPECT_TRUE(contents.ok()) << contents.status();
    return contents.ok() ? *contents : StateContents{};
  }

  // Gives why the file is refused.
  absl::Status Refusal() {
    const auto database = Database::Open(directory_.path(), "1.0", kNoWait);
    if (!database.ok()) return database.status();
    return (*database)->Read().status();
  }
  // The reason and the message, without the directory.
  std::string RefusalText() {
    const absl::Status status = Refusal();
    std::string text(status.message());
    const size_t at = text.find(directory_.path());
    if (at == 0) text = text.substr(directory_.path().size() + 1);
    return ReasonOf(status) + " " + text;
  }

  static constexpr std::chrono::milliseconds kNoWait{0};
  const TemporaryDirectory directory_;
};

TEST_F(DatabaseTest, ANewOneIsEmptyAndHasAnId) {
  const StateContents contents = Contents();
  EXPECT_EQ(contents.daemon_id.size(), 36u);
  EXPECT_EQ(contents.written_by, "1.0");
  EXPECT_TRUE(contents.clean);
  EXPECT_EQ(contents.rows, StateRows{});
  EXPECT_EQ(Contents().daemon_id, contents.daemon_id);
}

TEST_F(DatabaseTest, FilesAreForTheOwnerAlone) {
  const auto database = Open();
  ASSERT_TRUE(database->Read().ok());
  ASSERT_TRUE(database->Begin().ok());
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat file;
    ASSERT_EQ(stat((directory_.database() + suffix).c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 0777, 0600u) << suffix;
  }
}

TEST_F(DatabaseTest, WhatIsCommittedIsReadAgain) {
  {
    const auto database = Open();
    ASSERT_TRUE(database->Read().ok());
    ASSERT_TRUE(database->Begin().ok());
    ASSERT_TRUE(database->Commit(ChangesOf(SomeRows())).ok());
    EXPECT_EQ(database->num_listeners(), 3);
    EXPECT_EQ(database->num_requests(), 2);
    EXPECT_GT(database->Bytes(), 4096);
  }
  // The one before has not ended as it should.
  StateContents contents = Contents();
  EXPECT_EQ(contents.rows, SomeRows());
  EXPECT_FALSE(contents.clean);
  {
    const auto database = Open("2.0");
    ASSERT_TRUE(database->Read().ok());
    ASSERT_TRUE(database->Begin().ok());
    ASSERT_TRUE(database
                    ->Commit({ListenerRow{"echo", "new"}, EraseListener{"web"},
                              EraseListener{"web"}, EraseListener{"never"},
                              ListenerRow{"web", "again"}, EraseRequest{3},
                              EraseRequest{4}, RequestRow{5, "second", "new"},
                              RequestRow{9, "", "third"}})
                    .ok());
    ASSERT_TRUE(database->End().ok());
    ASSERT_TRUE(database->Close().ok());
  }
  EXPECT_FALSE(std::filesystem::exists(directory_.database() + "-wal"));
  contents = Contents();
  const StateRows expected{{{"echo", "new"}, {"empty", ""}, {"web", "again"}},
                           {{5, "second", "new"}, {9, "", "third"}}};
  EXPECT_EQ(contents.rows, expected);
  EXPECT_TRUE(contents.clean);
  EXPECT_EQ(contents.written_by, "2.0");
}

TEST_F(DatabaseTest, ALongWalIsTrimmed) {
  const auto database = Open();
  ASSERT_TRUE(database->Read().ok());
  int commits = 0;
  const auto commit = [&] {
    const char letter = static_cast<char>('a' + commits % 26);
    const ListenerRow row{"web", std::string(20'000, letter)};
    ASSERT_TRUE(database->Commit({row}).ok());
  };
  for (; !database->wal_is_long(); ++commits) {
    ASSERT_LT(commits, 1000);
    commit();
  }
  const int64_t before = database->Bytes();
  ASSERT_TRUE(database->TrimWal().ok());
  EXPECT_FALSE(database->wal_is_long());
  // It begins at its beginning again.
  for (; commits > 0; --commits) commit();
  EXPECT_LT(database->Bytes(), before + 100'000);
}

TEST_F(DatabaseTest, RecoversFromMemory) {
  MakeSome();
  const auto database = Open();
  const auto contents = database->Read();
  ASSERT_TRUE(contents.ok());
  ASSERT_TRUE(database->Commit({ListenerRow{"lost", "x"}}).ok());
  StateRows rows = SomeRows();
  rows.listeners.pop_back();
  ASSERT_TRUE(database->Recover(rows).ok());
  EXPECT_EQ(database->num_listeners(), 2);
  ASSERT_TRUE(database->Commit({ListenerRow{"web", "x"}}).ok());
  rows.listeners.push_back({"web", "x"});
  const auto again = database->Read();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->rows, rows);
  EXPECT_EQ(again->daemon_id, contents->daemon_id);
}

TEST_F(DatabaseTest, AnotherProgramThatWritesMakesItWaitOrFail) {
  const auto database = Open();
  ASSERT_TRUE(database->Read().ok());
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(directory_.database().c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr),
            SQLITE_OK);
  const absl::Status busy = database->Commit({ListenerRow{"web", "x"}});
  EXPECT_EQ(ReasonOf(busy), "STATE_UNAVAILABLE");
  EXPECT_TRUE(absl::StrContains(busy.message(), "database is locked")) << busy;
  EXPECT_EQ(ReasonOf(database->Commit({})), "STATE_UNAVAILABLE");
  EXPECT_EQ(ReasonOf(database->Recover({})), "STATE_UNAVAILABLE");
  sqlite3_close(other);
  EXPECT_TRUE(database->Recover({}).ok());
  EXPECT_TRUE(database->Commit({ListenerRow{"web", "x"}}).ok());
}

TEST_F(DatabaseTest, AReaderBesideDoesNotHoldItUp) {
  const auto database = Open();
  ASSERT_TRUE(database->Read().ok());
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(directory_.database().c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN; SELECT * FROM meta", nullptr, nullptr,
                         nullptr),
            SQLITE_OK);
  EXPECT_TRUE(database->Commit({ListenerRow{"web", "x"}}).ok());
  EXPECT_TRUE(database->TrimWal().ok());
  sqlite3_close(other);
}

TEST_F(DatabaseTest, AnotherProgramThatTrimsTheWalIsNoError) {
  const auto database = Open();
  ASSERT_TRUE(database->Read().ok());
  sqlite3* reader = nullptr;
  ASSERT_EQ(sqlite3_open(directory_.database().c_str(), &reader), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(reader, "BEGIN; SELECT * FROM meta", nullptr, nullptr,
                         nullptr),
            SQLITE_OK);
  ASSERT_TRUE(database->Commit({ListenerRow{"web", "x"}}).ok());
  // It waits for the reader, and nobody else may trim meanwhile.
  struct Busy {
    Database& database;
    absl::Status trimmed = absl::UnknownError("not called");
  } busy{*database};
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(directory_.database().c_str(), &other), SQLITE_OK);
  ASSERT_EQ(
      sqlite3_exec(other, "SELECT * FROM meta", nullptr, nullptr, nullptr),
      SQLITE_OK);
  const auto on_busy = [](void* context, int) {
    auto* const self = static_cast<Busy*>(context);
    self->trimmed = self->database.TrimWal();
    return 0;
  };
  sqlite3_busy_handler(other, on_busy, &busy);
  EXPECT_EQ(sqlite3_wal_checkpoint_v2(other, "main", SQLITE_CHECKPOINT_TRUNCATE,
                                      nullptr, nullptr),
            SQLITE_BUSY);
  EXPECT_TRUE(busy.trimmed.ok()) << busy.trimmed;
  EXPECT_TRUE(database->Commit({ListenerRow{"web", "y"}}).ok());
  sqlite3_close(other);
  sqlite3_close(reader);
}

// A file larger than the process may have is a disk that is full.
TEST_F(DatabaseTest, AFullDiskIsAStatusOfItsOwn) {
  MakeSome();
  InChild([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const auto database = Open();
    ASSERT_TRUE(database->Read().ok());
    rlimit limit;
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 100'000;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    absl::Status full;
    for (int i = 0; full.ok() && i < 100; ++i) {
      full = database->Commit(
          {ListenerRow{"l" + std::to_string(i), std::string(5000, 'x')}});
    }
    EXPECT_EQ(ReasonOf(full), "STATE_FULL") << full;
    limit.rlim_cur = before;
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
    EXPECT_TRUE(database->Recover(SomeRows()).ok());
    EXPECT_EQ(database->Read()->rows, SomeRows());
  });
}

TEST_F(DatabaseTest, AnotherProgramsFileIsLeftAsItIs) {
  RunSql(directory_.database(), "CREATE TABLE t(x); INSERT INTO t VALUES(1)");
  const std::string before = ReadFile(directory_.database());
  EXPECT_EQ(RefusalText(),
            "STATE_FOREIGN portreeved.db: it is no state of portreeved");
  EXPECT_EQ(ReadFile(directory_.database()), before);
}

TEST_F(DatabaseTest, ANewerSchemaIsRefusedWithItsVersion) {
  MakeSome();
  RunSql(directory_.database(),
         "PRAGMA user_version=2; UPDATE meta SET value='7.1' WHERE "
         "key='written_by'; ALTER TABLE listeners ADD COLUMN more");
  const std::string before = ReadFile(directory_.database());
  EXPECT_EQ(RefusalText(),
            "STATE_NEWER portreeved.db: written by 7.1, which is newer (schema "
            "2) than this one (schema 1)");
  EXPECT_EQ(ReadFile(directory_.database()), before);
  RunSql(directory_.database(), "DROP TABLE meta");
  EXPECT_EQ(RefusalText(),
            "STATE_NEWER portreeved.db: written by an unknown version, which "
            "is newer (schema 2) than this one (schema 1)");
}

TEST_F(DatabaseTest, AnOlderSchemaThatNeverWasIsDamage) {
  MakeSome();
  RunSql(directory_.database(), "PRAGMA user_version=0");
  EXPECT_EQ(RefusalText(), "STATE_DAMAGED portreeved.db: there is no schema 0");
}

TEST_F(DatabaseTest, AnEmptyFileIsDamageAndNotMadeAnew) {
  WriteFile(directory_.database(), "");
  EXPECT_EQ(RefusalText(), "STATE_DAMAGED portreeved.db: it is empty");
  WriteFile(directory_.database(), std::string(8192, 'x'));
  EXPECT_EQ(ReasonOf(Refusal()), "STATE_DAMAGED");
}

TEST_F(DatabaseTest, AWalWithoutItsDatabaseIsDamage) {
  WriteFile(directory_.database() + "-wal", "x");
  EXPECT_EQ(RefusalText(),
            "STATE_DAMAGED portreeved.db is missing beside its WAL");
}

TEST_F(DatabaseTest, WhatAnInterruptedStartHasLeftIsReplaced) {
  WriteFile(directory_.database() + ".new", "half");
  WriteFile(directory_.database() + ".new-wal", "half");
  EXPECT_EQ(Contents().rows, StateRows{});
  EXPECT_FALSE(std::filesystem::exists(directory_.database() + ".new"));
  EXPECT_FALSE(std::filesystem::exists(directory_.database() + ".new-wal"));
}

TEST_F(DatabaseTest, EachRowThatWasChangedIsNamed) {
  const struct {
    const char* sql;
    const char* text;
  } kCases[] = {
      {"UPDATE listeners SET record=X'00' WHERE id='echo'",
       "listeners/echo is damaged"},
      {"UPDATE listeners SET id='wec' WHERE id='web'",
       "listeners/wec is damaged"},
      {"UPDATE listeners SET record='' WHERE id='empty'",
       "listeners/empty is damaged"},
      {"UPDATE listeners SET crc=crc+1 WHERE id='web'",
       "listeners/web is damaged"},
      {"UPDATE requests SET seq=4 WHERE seq=3", "requests/4 is damaged"},
      {"UPDATE requests SET request_id='first2' WHERE seq=3",
       "requests/3 is damaged"},
      {"UPDATE requests SET record=X'' WHERE seq=5", "requests/5 is damaged"},
      {"UPDATE meta SET value='1' WHERE key='listeners'",
       "meta/listeners is damaged"},
      {"DELETE FROM meta WHERE key='daemon_id'", "meta/daemon_id is missing"},
      {"DELETE FROM listeners WHERE id='web'",
       "meta/listeners is 3 and should be 2"},
      {"DELETE FROM requests", "meta/requests is 2 and should be 0"},
      {"CREATE INDEX i ON requests(request_id)", "its schema is damaged"},
      {"DROP TABLE requests", "a table is missing"},
  };
  MakeSome();
  const std::string whole = ReadFile(directory_.database());
  for (const auto& [sql, text] : kCases) {
    WriteFile(directory_.database(), whole);
    RunSql(directory_.database(), sql);
    EXPECT_EQ(RefusalText(),
              std::string("STATE_DAMAGED portreeved.db: ") + text)
        << sql;
  }
}

// One bit of each byte, and each length.  A file is refused with a typed error,
// or says what it said before: also after it was written to and read again.
TEST_F(DatabaseTest, EveryByteThatFlipsIsFoundOrWithoutEffect) {
  const testing::FaultVfs disk;  // Its syncs take no time.
  MakeSome();
  const StateContents before = Contents();
  const std::string whole = ReadFile(directory_.database());
  StateRows after_write = before.rows;
  after_write.listeners.insert(after_write.listeners.begin() + 1,
                               ListenerRow{"eclair", "x"});
  int refused = 0;
  int harmless = 0;
  const auto check = [&](const std::string& bytes) {
    WriteFile(directory_.database(), bytes);
    std::filesystem::remove(directory_.database() + "-wal");
    std::filesystem::remove(directory_.database() + "-shm");
    const auto database = Database::Open(directory_.path(), "1.0", kNoWait);
    const auto contents =
        database.ok() ? (*database)->Read() : database.status();
    if (!contents.ok()) {
      ++refused;
      const std::string reason = ReasonOf(contents.status());
      return reason == "STATE_DAMAGED" || reason == "STATE_FOREIGN" ||
             reason == "STATE_NEWER" || reason == "STATE_UNAVAILABLE";
    }
    ++harmless;
    if (contents->rows != before.rows ||
        contents->daemon_id != before.daemon_id ||
        contents->written_by != before.written_by ||
        contents->clean != before.clean) {
      return false;
    }
    if (!(*database)->Commit({ListenerRow{"eclair", "x"}}).ok()) return true;
    const auto again = (*database)->Read();
    return again.ok() && again->rows == after_write;
  };
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << (at * 5 % 8)));
    // Most of the file is free space, of which a sample will do.
    const bool is_free = whole[at] == 0 && at >= 100;
    if (is_free && at % 8 != 0) continue;
    ASSERT_TRUE(check(bytes)) << "byte " << at << " of " << whole.size();
  }
  // Of the first hundred bytes, which say what the file is, each bit.
  for (size_t bit = 0; bit < 800; ++bit) {
    std::string bytes = whole;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_TRUE(check(bytes)) << "bit " << bit;
  }
  EXPECT_GT(refused, 2000);
  EXPECT_GT(harmless, 500);
  for (size_t size = 0; size < whole.size(); size += 509) {
    harmless = 0;
    ASSERT_TRUE(check(whole.substr(0, size))) << "of " << size << " bytes";
    EXPECT_EQ(harmless, 0) << size;
  }
}

}  // namespace
}  // namespace portreeve::server
