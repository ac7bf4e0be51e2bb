// What the tests of the state share: a directory, rows, and SQLite's own view
// of a file.
#ifndef PORTREEVE_TESTS_SERVER_STATE_STATE_FILES_H_
#define PORTREEVE_TESTS_SERVER_STATE_STATE_FILES_H_

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "server/state/database.h"
#include "server/state/state_records.h"

namespace portreeve::testing {

// A directory that goes with the test.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::string& in = ::testing::TempDir()) {
    // SQLite names files by their real paths, and so do we.
    std::string path = std::filesystem::canonical(in) / "state-XXXXXX";
    path_ = mkdtemp(path.data());
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }

  const std::string& path() const { return path_; }
  std::string database() const {
    return path_ + "/" + server::Database::kFileName;
  }

 private:
  std::string path_;
};

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

inline void WriteFile(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// Runs `sql` on a file as an operator could, past all of our checks.
inline void RunSql(const std::string& path, const std::string& sql) {
  sqlite3* handle = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &handle), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, nullptr),
            SQLITE_OK)
      << sqlite3_errmsg(handle);
  sqlite3_close(handle);
}

// A few rows, with bytes of all kinds in them.
inline server::StateRows SomeRows() {
  server::StateRows rows;
  rows.listeners = {{"echo", std::string("a\0b\xff", 4)},
                    {"empty", ""},
                    {"web", std::string(700, 'w')}};
  rows.requests = {{3, "first", "record"},
                   {5, "second", std::string(900, 'r')}};
  return rows;
}

// Rows as a daemon writes them: records of listeners l0000, l0001 ... and of
// requests 0, 1 ..., the longest with a text of up to `longest` bytes.
inline server::StateRows RecordedRows(int listeners, int requests,
                                      int longest = 300) {
  const auto number = [](int i) {
    const std::string text = std::to_string(i);
    return std::string(4 - text.size(), '0') + text;
  };
  server::StateRows rows;
  for (int i = 0; i < listeners; ++i) {
    server::StateListener record;
    record.set_uid("uid-" + number(i));
    record.mutable_spec()->mutable_handler()->mutable_echo();
    (*record.mutable_spec()->mutable_labels())["k"] =
        std::string(i * 37 % longest, 'l');
    rows.listeners.push_back(server::RowOf("l" + number(i), record));
  }
  for (int i = 0; i < requests; ++i) {
    server::StateRequest record;
    record.set_caller(std::string(i * 41 % longest, 'c'));
    record.set_request_id("r" + number(i));
    record.set_fingerprint_sha256(server::DigestOf(number(i)));
    rows.requests.push_back(server::RowOf(i, record));
  }
  return rows;
}

inline std::vector<server::StateChange> ChangesOf(
    const server::StateRows& rows) {
  std::vector<server::StateChange> changes(rows.listeners.begin(),
                                           rows.listeners.end());
  changes.insert(changes.end(), rows.requests.begin(), rows.requests.end());
  return changes;
}

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_SERVER_STATE_STATE_FILES_H_
