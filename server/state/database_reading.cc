#include "server/state/database_reading.h"

#include <initializer_list>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/state/database.h"
#include "server/state/database_schema.h"
#include "server/state/state_errors.h"

namespace portreeve::server {
namespace {

// Reads everything, and notes what does not check.
class Reading {
 public:
  explicit Reading(SqliteConnection& connection) : connection_(connection) {}

  absl::StatusOr<StateContents> Run() {
    const auto check = connection_.TextOf("PRAGMA quick_check(1)");
    if (!check.ok()) return check.status();
    if (*check != "ok") Note(*check);
    for (auto part : {&Reading::ReadMeta, &Reading::ReadListeners,
                      &Reading::ReadRequests}) {
      if (auto s = (this->*part)(); !s.ok()) return s;
    }
    const auto& rows = contents_.rows;
    ExpectMeta(kMetaSchema, std::to_string(Database::kSchemaVersion));
    ExpectMeta(kMetaListeners, std::to_string(rows.listeners.size()));
    ExpectMeta(kMetaRequests, std::to_string(rows.requests.size()));
    contents_.daemon_id = TakeMeta(kMetaDaemonId);
    contents_.written_by = TakeMeta(kMetaWrittenBy);
    contents_.clean = TakeMeta(kMetaClean) == "1";
    if (damage_.empty()) return std::move(contents_);
    return connection_.Damaged(damage_);
  }

 private:
  void Note(absl::string_view what) {
    if (damage_.empty()) damage_ = std::string(what);
  }

  absl::Status ReadMeta() {
    auto rows = SqliteStatement::Prepare(connection_, "SELECT * FROM meta");
    if (!rows.ok()) return rows.status();
    for (;;) {
      const auto has_row = rows->Next();
      if (!has_row.ok()) return has_row.status();
      if (!*has_row) return absl::OkStatus();
      std::string key = rows->Bytes(0);
      std::string value = rows->Bytes(1);
      if (Types(*rows, {SQLITE_TEXT, SQLITE_TEXT, SQLITE_INTEGER}) &&
          rows->Integer(2) == MetaCrc(key, value)) {
        meta_.emplace(std::move(key), std::move(value));
      } else {
        Note(absl::StrCat("meta/", key, " is damaged"));
      }
    }
  }

  absl::Status ReadListeners() {
    auto rows = SqliteStatement::Prepare(connection_,
                                         "SELECT * FROM listeners ORDER BY id");
    if (!rows.ok()) return rows.status();
    std::vector<ListenerRow>& all = contents_.rows.listeners;
    for (;;) {
      const auto has_row = rows->Next();
      if (!has_row.ok()) return has_row.status();
      if (!*has_row) return absl::OkStatus();
      ListenerRow row{rows->Bytes(1), rows->Bytes(3)};
      if (Types(*rows,
                {SQLITE_INTEGER, SQLITE_TEXT, SQLITE_INTEGER, SQLITE_BLOB}) &&
          rows->Integer(2) ==
              ListenerCrc(rows->Integer(0), row.id, row.record) &&
          (all.empty() || all.back().id < row.id)) {
        all.push_back(std::move(row));
      } else {
        Note(absl::StrCat("listeners/", row.id, " is damaged"));
      }
    }
  }

  absl::Status ReadRequests() {
    auto rows = SqliteStatement::Prepare(connection_,
                                         "SELECT * FROM requests ORDER BY seq");
    if (!rows.ok()) return rows.status();
    std::vector<RequestRow>& all = contents_.rows.requests;
    for (;;) {
      const auto has_row = rows->Next();
      if (!has_row.ok()) return has_row.status();
      if (!*has_row) return absl::OkStatus();
      RequestRow row{rows->Integer(0), rows->Bytes(1), rows->Bytes(2)};
      if (Types(*rows,
                {SQLITE_INTEGER, SQLITE_TEXT, SQLITE_BLOB, SQLITE_INTEGER}) &&
          rows->Integer(3) == RequestCrc(row.seq, row.request_id, row.record) &&
          (all.empty() || all.back().seq < row.seq)) {
        all.push_back(std::move(row));
      } else {
        Note(absl::StrCat("requests/", row.seq, " is damaged"));
      }
    }
  }

  static bool Types(const SqliteStatement& row,
                    std::initializer_list<int> types) {
    int column = 0;
    for (const int type : types) {
      if (row.TypeOf(column++) != type) return false;
    }
    return true;
  }

  std::string TakeMeta(const char* key) {
    const auto it = meta_.find(key);
    if (it != meta_.end()) return it->second;
    Note(absl::StrCat("meta/", key, " is missing"));
    return "";
  }

  void ExpectMeta(const char* key, const std::string& value) {
    const std::string found = TakeMeta(key);
    if (found == value) return;
    Note(absl::StrCat("meta/", key, " is ", found, " and should be ", value));
  }

  SqliteConnection& connection_;
  StateContents contents_;
  std::map<std::string, std::string> meta_;  // Those that check.
  std::string damage_;                       // The first.
};

}  // namespace

absl::Status CheckHeader(SqliteConnection& connection) {
  const auto id = connection.IntegerOf("PRAGMA application_id");
  if (!id.ok()) return id.status();
  if (*id != Database::kApplicationId) {
    return StateForeign(
        absl::StrCat(connection.path(), ": it is no state of portreeved"));
  }
  const auto schema = connection.IntegerOf("PRAGMA user_version");
  if (!schema.ok()) return schema.status();
  if (*schema > Database::kSchemaVersion) {
    const auto writer =
        connection.TextOf("SELECT value FROM meta WHERE key = 'written_by'");
    return StateNewer(absl::StrCat(
        connection.path(), ": written by ",
        writer.ok() ? *writer : std::string("an unknown version"),
        ", which is newer (schema ", *schema, ") than this one (schema ",
        Database::kSchemaVersion, ")"));
  }
  if (*schema < Database::kSchemaVersion) {
    return connection.Damaged(absl::StrCat("there is no schema ", *schema));
  }
  return absl::OkStatus();
}

// One bit of a table's definition may change what is written to it.
absl::Status CheckSchema(SqliteConnection& connection) {
  auto rows = SqliteStatement::Prepare(
      connection, "SELECT name, sql FROM sqlite_schema ORDER BY rowid");
  if (!rows.ok()) return rows.status();
  size_t count = 0;
  for (;; ++count) {
    const auto has_row = rows->Next();
    if (!has_row.ok()) return has_row.status();
    if (!*has_row) break;
    if (count == kTables.size() || rows->Bytes(0) != kTables[count].name ||
        rows->Bytes(1) != kTables[count].sql) {
      return connection.Damaged("its schema is damaged");
    }
  }
  if (count < kTables.size()) return connection.Damaged("a table is missing");
  return absl::OkStatus();
}

absl::StatusOr<StateContents> ReadAll(SqliteConnection& connection) {
  return Reading(connection).Run();
}

}  // namespace portreeve::server
