// Faults of the disk and of memory, at every single operation.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <optional>
#include <string>

#include "server/api/errors.h"
#include "server/state/database.h"
#include "tests/server/state/fault_vfs.h"
#include "tests/server/state/state_files.h"

namespace portreeve::server {
namespace {

using testing::FaultVfs;
using testing::TemporaryDirectory;

void ApplyTo(StateRows& rows, const StateChange& change) {
  const auto id_less = [](const ListenerRow& a, const ListenerRow& b) {
    return a.id < b.id;
  };
  const auto seq_less = [](const RequestRow& a, const RequestRow& b) {
    return a.seq < b.seq;
  };
  const auto erase_id = [&](const std::string& id) {
    std::erase_if(rows.listeners,
                  [&](const auto& row) { return row.id == id; });
  };
  const auto erase_seq = [&](int64_t seq) {
    std::erase_if(rows.requests,
                  [&](const auto& row) { return row.seq == seq; });
  };
  if (const auto* listener = std::get_if<ListenerRow>(&change)) {
    erase_id(listener->id);
    rows.listeners.push_back(*listener);
    std::sort(rows.listeners.begin(), rows.listeners.end(), id_less);
  } else if (const auto* erase = std::get_if<EraseListener>(&change)) {
    erase_id(erase->id);
  } else if (const auto* request = std::get_if<RequestRow>(&change)) {
    erase_seq(request->seq);
    rows.requests.push_back(*request);
    std::sort(rows.requests.begin(), rows.requests.end(), seq_less);
  } else {
    erase_seq(std::get<EraseRequest>(change).seq);
  }
}

// The commits of a storm.  Each leaves another state than the one before.
std::vector<std::vector<StateChange>> Storm() {
  std::vector<std::vector<StateChange>> commits;
  for (int i = 0; i < 16; ++i) {
    const std::string mark = std::to_string(i);
    std::vector<StateChange> changes = {
        ListenerRow{"l" + mark, "new" + mark},
        ListenerRow{"web", std::string(1500, static_cast<char>('a' + i))},
        RequestRow{i, "r" + mark, std::string(300, 'r')}};
    if (i % 3 == 2)
      changes.push_back(EraseListener{"l" + std::to_string(i - 1)});
    if (i % 2 == 1) changes.push_back(EraseRequest{i - 1});
    commits.push_back(std::move(changes));
  }
  return commits;
}

class DatabaseFaultsTest : public ::testing::Test {
 protected:
  // Makes a database in which everything is durable.
  DatabaseFaultsTest() {
    auto database = Database::Open(pattern_.path(), "1.0");
    EXPECT_TRUE(database.ok()) << database.status();
    EXPECT_TRUE((*database)->Read().ok());
    EXPECT_TRUE((*database)->Commit({ListenerRow{"base", "b"}}).ok());
    EXPECT_TRUE((*database)->Close().ok());
    base_.listeners = {{"base", "b"}};
  }

  // Gives what a start finds in `files`, which were those of `directory`.
  static StateRows Start(const FaultVfs::Files& files,
                         const std::string& directory) {
    const TemporaryDirectory found;
    for (const auto& [path, bytes] : files) {
      if (path.find(directory) != 0) continue;
      testing::WriteFile(found.path() + path.substr(directory.size()), bytes);
    }
    const auto database = Database::Open(found.path(), "1.0");
    EXPECT_TRUE(database.ok()) << database.status();
    if (!database.ok()) return {};
    const auto contents = (*database)->Read();
    EXPECT_TRUE(contents.ok()) << contents.status();
    return contents.ok() ? contents->rows : StateRows{};
  }

  // Runs the storm on a copy, with a trim of the WAL in it and, if all goes
  // well, a close at the end.  After a fault it recovers as often as `recovers`
  // says, and repeats what was refused.
  struct Outcome {
    StateRows acknowledged;
    StateRows in_flight;  // The same with what was asked for last.
    int operations = 0;
    bool has_failed = false;
    bool is_closed = false;
  };
  void RunStorm(const std::string& directory, FaultVfs& disk, int recovers,
                Outcome& outcome) {
    outcome.acknowledged = outcome.in_flight = base_;
    disk.Know(directory + "/" + Database::kFileName);
    auto database = Database::Open(directory, "1.0");
    outcome.has_failed = !database.ok();
    if (!database.ok()) return;
    const auto contents = (*database)->Read();
    outcome.has_failed = !contents.ok();
    if (!contents.ok()) return;
    const auto mend = [&] {
      outcome.has_failed = true;
      for (; recovers > 0; --recovers) {
        if ((*database)->Recover(outcome.acknowledged).ok()) return true;
      }
      return false;
    };
    int number = 0;
    for (const auto& changes : Storm()) {
      for (const StateChange& change : changes) {
        ApplyTo(outcome.in_flight, change);
      }
      for (;;) {
        const absl::Status status = (*database)->Commit(changes);
        if (status.ok()) break;
        const std::string reason = ReasonOf(status);
        EXPECT_TRUE(reason == "STATE_FULL" || reason == "STATE_UNAVAILABLE")
            << status;
        if (!mend()) return;
      }
      outcome.acknowledged = outcome.in_flight;
      if (++number == 4 && !(*database)->TrimWal().ok() && !mend()) return;
    }
    outcome.is_closed = (*database)->Close().ok();
    outcome.has_failed |= !outcome.is_closed;
    outcome.operations = disk.operations();
  }

  std::string Copy(const TemporaryDirectory& to) const {
    std::filesystem::copy(pattern_.path(), to.path(),
                          std::filesystem::copy_options::recursive);
    return to.path();
  }

  const TemporaryDirectory pattern_;
  StateRows base_;
};

TEST_F(DatabaseFaultsTest, APowerCutAtAnyMomentLosesNothingThatWasAnswered) {
  int operations = 1;
  int differ = 0;
  for (int n = 1; n <= operations; ++n) {
    const TemporaryDirectory directory;
    Copy(directory);
    Outcome at_cut;
    std::vector<FaultVfs::Files> images;
    {
      FaultVfs disk;
      Outcome outcome;
      disk.At(n, [&] {
        at_cut = outcome;
        for (const uint32_t seed : {0u, 3u * n, 3u * n + 1, FaultVfs::kAll}) {
          images.push_back(disk.AfterPowerCut(seed));
        }
      });
      RunStorm(directory.path(), disk, 0, outcome);
      ASSERT_TRUE(outcome.is_closed);
      ASSERT_FALSE(outcome.has_failed);
      operations = outcome.operations;
    }
    ASSERT_EQ(images.size(), 4u) << n;
    for (const auto& files : images) {
      const StateRows found = Start(files, directory.path());
      if (found == at_cut.acknowledged) continue;
      EXPECT_EQ(found, at_cut.in_flight) << "power cut at " << n;
      ++differ;
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(operations, 100);
  EXPECT_GT(differ, 0) << "no cut came between the sync and the answer";
}

TEST_F(DatabaseFaultsTest, AFaultAtAnyOperationIsAnErrorAndIsMadeGood) {
  for (const auto fault : {FaultVfs::Fault::kIo, FaultVfs::Fault::kFull}) {
    // Each one that fails alone, and with the nine after it.
    for (const int length : {1, 10}) {
      int operations = 100;
      int failed = 0;
      for (int n = 1; n <= operations; ++n) {
        const TemporaryDirectory directory;
        Copy(directory);
        FaultVfs disk;
        disk.FailFrom(n, n + length - 1, fault);
        Outcome outcome;
        RunStorm(directory.path(), disk, length + 1, outcome);
        operations = std::max(operations, outcome.operations);
        failed += outcome.has_failed;
        disk.FailNoMore();
        for (const uint32_t seed : {0u, 7u * n}) {
          const StateRows found =
              Start(disk.AfterPowerCut(seed), directory.path());
          ASSERT_EQ(found, outcome.acknowledged)
              << "after a fault at " << n << " of " << operations;
        }
        if (HasFailure()) return;
      }
      EXPECT_GT(failed, 50);
    }
  }
}

TEST_F(DatabaseFaultsTest, ADiskThatStaysBrokenLosesNothingThatWasAnswered) {
  int operations = 200;
  for (int n = 1; n <= operations; ++n) {
    const TemporaryDirectory directory;
    Copy(directory);
    FaultVfs disk;
    disk.FailFrom(n, FaultVfs::kForEver, FaultVfs::Fault::kIo);
    Outcome outcome;
    RunStorm(directory.path(), disk, 3, outcome);
    if (!outcome.has_failed) break;
    disk.FailNoMore();
    for (const uint32_t seed : {0u, 7u * n}) {
      const StateRows found = Start(disk.AfterPowerCut(seed), directory.path());
      if (found == outcome.acknowledged) continue;
      ASSERT_EQ(found, outcome.in_flight) << n;
    }
  }
}

TEST_F(DatabaseFaultsTest, ACommitOfManyChangesIsOneSync) {
  const TemporaryDirectory directory;
  Copy(directory);
  FaultVfs disk;
  const auto database = Database::Open(directory.path(), "1.0");
  ASSERT_TRUE((*database)->Read().ok());
  // The first one of a WAL has its header to sync, too.
  ASSERT_TRUE((*database)->Commit({ListenerRow{"first", ""}}).ok());
  std::vector<StateChange> changes;
  for (int i = 0; i < 500; ++i) {
    changes.push_back(ListenerRow{"l" + std::to_string(i), "record"});
  }
  disk.FailNoMore();
  ASSERT_TRUE((*database)->Commit(changes).ok());
  EXPECT_EQ(disk.syncs(), 1);
  ASSERT_TRUE((*database)->Commit({}).ok());
  EXPECT_EQ(disk.syncs(), 1) << "what changes nothing needs no sync";
}

// SQLite's memory, which is refused at one call.
std::atomic<int> memory_calls{0};
std::atomic<int> refuse_memory_at{0};
sqlite3_mem_methods real_memory;

class MemoryEnvironment : public ::testing::Environment {
 public:
  void SetUp() override {
    sqlite3_shutdown();
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory);
    sqlite3_mem_methods methods = real_memory;
    methods.xMalloc = [](int size) {
      if (++memory_calls == refuse_memory_at)
        return static_cast<void*>(nullptr);
      return real_memory.xMalloc(size);
    };
    methods.xRealloc = [](void* old, int size) {
      if (++memory_calls == refuse_memory_at)
        return static_cast<void*>(nullptr);
      return real_memory.xRealloc(old, size);
    };
    ASSERT_EQ(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods), SQLITE_OK);
    // Or most of it would come from a block that was taken before.
    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
    sqlite3_config(SQLITE_CONFIG_PAGECACHE, nullptr, 0, 0);
    sqlite3_initialize();
  }
};
const auto* const kMemory =
    ::testing::AddGlobalTestEnvironment(new MemoryEnvironment);

TEST_F(DatabaseFaultsTest, MemoryThatIsRefusedIsAnErrorAndIsMadeGood) {
  int refused = 0;
  for (int n = 1;; ++n) {
    const TemporaryDirectory directory;
    Copy(directory);
    FaultVfs disk;
    memory_calls = 0;
    refuse_memory_at = n;
    Outcome outcome;
    RunStorm(directory.path(), disk, 2, outcome);
    const bool was_refused = memory_calls >= n;
    refuse_memory_at = 0;
    if (!was_refused) break;
    refused += outcome.has_failed;
    ASSERT_EQ(Start(disk.AfterPowerCut(0), directory.path()),
              outcome.acknowledged)
        << "refused at " << n;
    // Every one of the first calls, and then a sample.
    if (n > 300) n += 6;
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace portreeve::server
