// What is found in files that are damaged in every way.
#include "server/state/inspection.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/api/errors.h"
#include "server/state/database_schema.h"
#include "server/state/page_reading.h"
#include "server/state/state_image.h"
#include "server/state/state_store.h"
#include "tests/server/state/fault_vfs.h"
#include "tests/server/state/state_files.h"

namespace portreeve::server {
namespace {

using testing::ChangesOf;
using testing::ReadFile;
using testing::RecordedRows;
using testing::RunSql;
using testing::WriteFile;

class InspectionTest : public ::testing::Test {
 protected:
  // Makes a file with `rows`, as a clean stop leaves it, and gives its bytes.
  std::string Make(const StateRows& rows) {
    std::filesystem::remove(directory_.database());
    const auto database = Database::Open(directory_.path(), "1.0");
    EXPECT_TRUE(database.ok() && (*database)->Read().ok());
    EXPECT_TRUE((*database)->Commit(ChangesOf(rows)).ok());
    EXPECT_TRUE((*database)->End().ok());
    EXPECT_TRUE((*database)->Close().ok());
    return ReadFile(directory_.database());
  }

  Inspection Look(const std::string& image) {
    auto inspection = Inspect(directory_.database(), image);
    EXPECT_TRUE(inspection.ok()) << inspection.status();
    return inspection.ok() ? *std::move(inspection) : Inspection{};
  }
  // Each as "WHERE: WHAT".
  static std::vector<std::string> TextsOf(const Inspection& inspection) {
    std::vector<std::string> texts;
    for (const auto& [where, what] : inspection.damages) {
      texts.push_back(absl::StrCat(where, ": ", what));
    }
    return texts;
  }
  std::string Refusal(const std::string& image) {
    const absl::Status status = Inspect("db", image).status();
    return absl::StrCat(ReasonOf(status), " ", status.message());
  }

  // Whether all of `some` are among `all`.
  static bool IsPart(const StateRows& some, const StateRows& all) {
    return std::includes(all.listeners.begin(), all.listeners.end(),
                         some.listeners.begin(), some.listeners.end(),
                         [](const auto& a, const auto& b) {
                           return std::tie(a.id, a.record) <
                                  std::tie(b.id, b.record);
                         }) &&
           std::includes(all.requests.begin(), all.requests.end(),
                         some.requests.begin(), some.requests.end(),
                         [](const auto& a, const auto& b) {
                           return std::tie(a.seq, a.request_id, a.record) <
                                  std::tie(b.seq, b.request_id, b.record);
                         });
  }

  const testing::FaultVfs disk_;  // Its syncs take no time.
  const testing::TemporaryDirectory directory_;
};

using Texts = std::vector<std::string>;

TEST_F(InspectionTest, ASoundFileIsReadAsADaemonDoes) {
  const Inspection found = Look(Make(RecordedRows(3, 2)));
  EXPECT_EQ(TextsOf(found), (Texts{}));
  EXPECT_EQ(found.contents.rows, RecordedRows(3, 2));
  EXPECT_TRUE(found.contents.clean);
}

TEST_F(InspectionTest, NamesWhatDoesNotCheckAndKeepsTheRest) {
  const struct {
    const char* sql;
    Texts damages;
    size_t listeners, requests;
  } kCases[] = {
      {"UPDATE listeners SET record=X'00' WHERE id='l0001'",
       {"listeners/l0001: its checksum is wrong",
        "meta/listeners: more or fewer than it says check"},
       2,
       2},
      {"UPDATE listeners SET id='l0009' WHERE id='l0001'",
       {"listeners/l0009: its checksum is wrong",
        "meta/listeners: more or fewer than it says check"},
       2,
       2},
      {"UPDATE requests SET record=X'00' WHERE seq=1",
       {"requests/1: its checksum is wrong",
        "meta/requests: more or fewer than it says check"},
       3,
       1},
      {"UPDATE meta SET value='1' WHERE key='listeners'",
       {"meta/listeners: its checksum is wrong"},
       3,
       2},
      {"DELETE FROM meta WHERE key='daemon_id'",
       {"meta/daemon_id: it is missing"},
       3,
       2},
      {"DELETE FROM listeners WHERE id='l0001'",
       {"meta/listeners: more or fewer than it says check"},
       2,
       2},
      {"CREATE INDEX i ON requests(request_id)",
       {"portreeved.db: its schema is damaged"},
       3,
       2},
      {"PRAGMA user_version=2",
       {"portreeved.db: written by 1.0, which is newer (schema 2) than this "
        "one (schema 1)"},
       3,
       2},
      {"PRAGMA application_id=1",
       {"portreeved.db: it is no state of portreeved"},
       3,
       2},
  };
  const std::string whole = Make(RecordedRows(3, 2));
  for (const auto& [sql, damages, listeners, requests] : kCases) {
    WriteFile(directory_.database(), whole);
    RunSql(directory_.database(), sql);
    const auto image = ReadImage(directory_.database());
    ASSERT_TRUE(image.ok()) << image.status();
    const Inspection found = Look(*image);
    Texts texts = TextsOf(found);
    // An index is rows of no table of ours.
    std::erase_if(texts, [](const std::string& text) {
      return absl::StartsWith(text, "page ");
    });
    EXPECT_EQ(texts, damages) << sql;
    EXPECT_EQ(found.contents.rows.listeners.size(), listeners) << sql;
    EXPECT_EQ(found.contents.rows.requests.size(), requests) << sql;
    EXPECT_TRUE(IsPart(found.contents.rows, RecordedRows(3, 2))) << sql;
  }
}

TEST_F(InspectionTest, WhatHasItsChecksumAndIsNoRecordIsNamed) {
  StateRows rows = RecordedRows(3, 2);
  rows.listeners[1].record = "no listener";
  rows.requests[0].record = "no request";
  const Inspection found = Look(Make(rows));
  EXPECT_EQ(TextsOf(found),
            (Texts{"listeners/l0001: it is no record of portreeved",
                   "requests/0: it is no record of portreeved"}));
  EXPECT_EQ(found.contents.rows.listeners.size(), 2u);
  EXPECT_EQ(found.contents.rows.requests.size(), 1u);
}

TEST_F(InspectionTest, NothingThatCanBeReadIsAnError) {
  EXPECT_EQ(Refusal(""), "STATE_DAMAGED db: it is empty");
  for (const std::string& image :
       {std::string(8192, '\0'), std::string(8192, 'x'),
        Make(RecordedRows(3, 2)).substr(0, 4096)}) {
    EXPECT_TRUE(absl::StartsWith(Refusal(image), "STATE_DAMAGED db: "))
        << Refusal(image);
  }
  std::filesystem::remove(directory_.database());
  RunSql(directory_.database(), "CREATE TABLE t(x); INSERT INTO t VALUES(1)");
  EXPECT_EQ(Refusal(ReadFile(directory_.database())),
            "STATE_FOREIGN db: it is no state of portreeved");
}

TEST_F(InspectionTest, ANewerVersionIsTold) {
  Make({});
  {
    const auto database = Database::Open(directory_.path(), "1.0");
    ASSERT_TRUE(database.ok());
    // The checksum of what a newer version would write.
    RunSql(directory_.database(),
           absl::StrCat("PRAGMA user_version=2; INSERT OR REPLACE INTO meta "
                        "VALUES('schema','2',",
                        MetaCrc("schema", "2"), ")"));
  }
  const auto image = ReadImage(directory_.database());
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(Refusal(*image),
            "STATE_NEWER db: written by 1.0, which is newer (schema 2) than "
            "this one (schema 1)");
}

// Pages that are full, split, shared by one long record, and free again.
TEST_F(InspectionTest, ReadsEveryPageAsSqliteDoes) {
  StateRows rows = RecordedRows(600, 900, 5000);
  Make(rows);
  {
    const auto database = Database::Open(directory_.path(), "1.0");
    ASSERT_TRUE(database.ok() && (*database)->Read().ok());
    std::vector<StateChange> changes;
    for (size_t i = 100; i < 400; ++i) {
      changes.push_back(EraseListener{rows.listeners[i].id});
      changes.push_back(EraseRequest{rows.requests[i].seq});
    }
    ASSERT_TRUE((*database)->Commit(changes).ok());
    ASSERT_TRUE((*database)->Close().ok());
    rows.listeners.erase(rows.listeners.begin() + 100,
                         rows.listeners.begin() + 400);
    rows.requests.erase(rows.requests.begin() + 100,
                        rows.requests.begin() + 400);
  }
  // With what is wrong in it, a file is read by its pages.
  RunSql(directory_.database(), "DELETE FROM meta WHERE key='clean'");
  const std::string image = *ReadImage(directory_.database());
  const Inspection found = Look(image);
  EXPECT_EQ(TextsOf(found), (Texts{"meta/clean: it is missing"}));
  EXPECT_TRUE(found.contents.rows == rows);
}

// Any page, whatever it held: the others stay, and no erased record comes back.
TEST_F(InspectionTest, KeepsWhatIsOnOtherPages) {
  const StateRows all = RecordedRows(300, 400, 700);
  Make(all);
  StateRows rows = all;
  {
    const auto database = Database::Open(directory_.path(), "1.0");
    ASSERT_TRUE(database.ok() && (*database)->Read().ok());
    std::vector<StateChange> changes;
    for (size_t i = 100; i < 200; ++i) {
      changes.push_back(EraseListener{rows.listeners[i].id});
      changes.push_back(EraseRequest{rows.requests[i].seq});
    }
    ASSERT_TRUE((*database)->Commit(changes).ok());
    ASSERT_TRUE((*database)->Close().ok());
    rows.listeners.erase(rows.listeners.begin() + 100,
                         rows.listeners.begin() + 200);
    rows.requests.erase(rows.requests.begin() + 100,
                        rows.requests.begin() + 200);
  }
  const std::string whole = ReadFile(directory_.database());
  const size_t pages = whole.size() / kPageSize;
  ASSERT_GT(pages, 70u);
  std::mt19937 random(3);
  for (size_t page = 1; page < pages; ++page) {
    for (const bool zero : {true, false}) {
      std::string image = whole;
      for (size_t i = 0; i < kPageSize; ++i) {
        image[page * kPageSize + i] = zero ? '\0' : static_cast<char>(random());
      }
      const Inspection found = Look(image);
      const StateRows& kept = found.contents.rows;
      ASSERT_TRUE(IsPart(kept, rows)) << page;
      ASSERT_LE(rows.listeners.size() - kept.listeners.size(), 30u) << page;
      ASSERT_LE(rows.requests.size() - kept.requests.size(), 30u) << page;
      // Nothing is lost silently.
      ASSERT_TRUE(!found.damages.empty() || kept == rows) << page;
    }
  }
  for (size_t size = 0; size < whole.size(); size += 37 * kPageSize + 509) {
    const auto found = Inspect("db", whole.substr(0, size));
    if (found.ok()) {
      ASSERT_FALSE(found->damages.empty()) << size;
      ASSERT_TRUE(IsPart(found->contents.rows, rows)) << size;
    }
  }
}

// A bit of each byte.  What a file has to say is the same, or less, and never
// other; and where it is less that is told.
TEST_F(InspectionTest, NoBitThatFlipsMakesARecordThatNeverWas) {
  const StateRows rows = RecordedRows(4, 3);
  const std::string whole = Make(rows);
  const StateContents before = Look(whole).contents;
  size_t sound = 0, damaged = 0, unreadable = 0, lost = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    // Most of the file is free space, of which a sample will do.
    if (whole[at] == 0 && at >= 100 && at % 8 != 0) continue;
    for (int bit = 0; bit < 8; ++bit) {
      // All bits of what says what the file is, one of each other byte.
      if (at >= 100 && bit != static_cast<int>(at * 5 % 8)) continue;
      std::string image = whole;
      image[at] = static_cast<char>(image[at] ^ (1 << bit));
      const auto found = Inspect("db", image);
      if (!found.ok()) {
        ++unreadable;
        continue;
      }
      const StateContents& now = found->contents;
      ASSERT_TRUE(IsPart(now.rows, rows)) << at << "." << bit;
      if (found->damages.empty()) {
        ++sound;
        ASSERT_TRUE(now.rows == rows && now.daemon_id == before.daemon_id &&
                    now.clean == before.clean)
            << at << "." << bit;
        continue;
      }
      ++damaged;
      ASSERT_TRUE(now.daemon_id.empty() || now.daemon_id == before.daemon_id);
      lost = std::max(lost, rows.listeners.size() + rows.requests.size() -
                                now.rows.listeners.size() -
                                now.rows.requests.size());
    }
  }
  EXPECT_GT(sound, 500u);
  EXPECT_GT(damaged, 1500u);
  // No single bit hides all.
  EXPECT_EQ(unreadable, 0u);
  EXPECT_LE(lost, 4u);
}

TEST_F(InspectionTest, AStartSaysWhatARepairKeeps) {
  const auto start = [this] {
    const auto opened = OpenState(directory_.path(), "1.0");
    return std::string(opened.status().message());
  };
  const std::string whole = Make(RecordedRows(5, 7));
  RunSql(directory_.database(), "UPDATE listeners SET crc=1 WHERE id='l0003'");
  EXPECT_EQ(start(), absl::StrCat(directory_.database(),
                                  ": listeners/l0003 is damaged; portreeve "
                                  "state repair ",
                                  directory_.path(),
                                  " keeps the 11 records that check"));
  // Where SQLite itself cannot go on, too.
  std::string torn = whole;
  torn[2 * kPageSize] = 77;
  WriteFile(directory_.database(), torn);
  std::filesystem::remove(directory_.database() + "-wal");
  EXPECT_TRUE(absl::EndsWith(start(), " keeps the 7 records that check"))
      << start();
  WriteFile(directory_.database(), "");
  EXPECT_EQ(start(), absl::StrCat(directory_.database(),
                                  ": it is empty; nothing in it can be read: "
                                  "put a backup in its place"));
  WriteFile(directory_.database(), whole);
  EXPECT_EQ(start(), "");
}

}  // namespace
}  // namespace portreeve::server
