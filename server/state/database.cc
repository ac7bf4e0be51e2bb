#include "server/state/database.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/descriptor.h"
#include "server/api/uuid.h"
#include "server/state/database_reading.h"
#include "server/state/database_schema.h"
#include "server/state/state_errors.h"
#include "server/state/state_image.h"

namespace portreeve::server {
namespace {

constexpr char kPutMeta[] = "INSERT OR REPLACE INTO meta VALUES(?, ?, ?)";

absl::Status Put(SqliteStatement& put_meta, std::string_view key,
                 std::string_view value) {
  return put_meta.BindText(1, {key.data(), key.size()})
      .BindText(2, {value.data(), value.size()})
      .Bind(3, MetaCrc(key, value))
      .Run();
}

// The settings of each connection.  What was deleted need not be overwritten:
// there are no secrets.
constexpr char kSettings[] =
    "PRAGMA synchronous=FULL; PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; "
    "PRAGMA secure_delete=OFF; PRAGMA temp_store=MEMORY; "
    "PRAGMA journal_size_limit=4194304";

absl::Status UseWal(SqliteConnection& connection) {
  const auto mode = connection.TextOf("PRAGMA journal_mode=WAL");
  if (!mode.ok()) return mode.status();
  if (*mode != "wal") return connection.Damaged("it has no WAL");
  return connection.Run(kSettings);
}

absl::Status Sync(const std::string& path, int flags) {
  const Descriptor file(open(path.c_str(), flags | O_CLOEXEC));
  if (!file.is_open()) return StateUnavailable(errno, "open", path);
  if (fsync(file.get()) != 0) return StateUnavailable(errno, "sync", path);
  return absl::OkStatus();
}

bool Exists(const std::string& path) {
  struct stat file;
  return lstat(path.c_str(), &file) == 0;
}

// Removes what somebody who was interrupted has left.
void RemoveAll(const std::string& draft) {
  for (const char* suffix : {"", "-journal", "-wal", "-shm"}) {
    (void)unlink((draft + suffix).c_str());
  }
}

int64_t SizeOf(const std::string& path) {
  struct stat file;
  return stat(path.c_str(), &file) == 0 ? file.st_size : 0;
}

absl::Status FillNew(SqliteConnection& connection, const std::string& version) {
  for (const std::string& pragma :
       {absl::StrCat("PRAGMA application_id=", Database::kApplicationId),
        absl::StrCat("PRAGMA user_version=", Database::kSchemaVersion)}) {
    if (auto s = connection.Run(pragma.c_str()); !s.ok()) return s;
  }
  if (auto s = UseWal(connection); !s.ok()) return s;
  if (auto s = connection.Run("BEGIN IMMEDIATE"); !s.ok()) return s;
  for (const Table& table : kTables) {
    if (auto s = connection.Run(table.sql); !s.ok()) return s;
  }
  {
    auto put = SqliteStatement::Prepare(connection, kPutMeta);
    if (!put.ok()) return put.status();
    const std::map<std::string, std::string> all = {
        {kMetaSchema, std::to_string(Database::kSchemaVersion)},
        {kMetaDaemonId, NewUuid()},
        {kMetaWrittenBy, version},
        {kMetaClean, "1"},
        {kMetaListeners, "0"},
        {kMetaRequests, "0"},
    };
    for (const auto& [key, value] : all) {
      if (auto s = Put(*put, key, value); !s.ok()) return s;
    }
  }
  if (auto s = connection.Run("COMMIT"); !s.ok()) return s;
  return connection.Checkpoint(SQLITE_CHECKPOINT_TRUNCATE);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Database>> Database::Open(
    const std::string& directory, const std::string& version,
    std::chrono::milliseconds busy) {
  const std::string path = absl::StrCat(directory, "/", kFileName);
  if (auto s = CheckRegularFile(path); !s.ok()) return s;
  if (!Exists(path)) {
    // Its changes would be taken for those of the new one.
    if (Exists(path + "-wal")) {
      return StateDamaged(absl::StrCat(path, " is missing beside its WAL"));
    }
    if (auto s = Create(path, version); !s.ok()) return s;
    if (auto s = Sync(directory, O_RDONLY | O_DIRECTORY); !s.ok()) return s;
  }
  std::unique_ptr<Database> database(new Database(path, version, busy));
  if (auto s = database->Connect(); !s.ok()) return s;
  return database;
}

std::unique_ptr<Database> Database::Later(const std::string& directory,
                                          const std::string& version,
                                          const std::string& daemon_id) {
  std::unique_ptr<Database> database(
      new Database(absl::StrCat(directory, "/", kFileName), version, kBusy));
  database->daemon_id_ = daemon_id;
  return database;
}

// The file has its name only once it is whole, so that one that is empty is
// damage.
absl::Status Database::Create(const std::string& path,
                              const std::string& version) {
  const std::string draft = path + ".new";
  RemoveAll(draft);
  {
    // SQLite would give it another mode; its other files have that of this one.
    const Descriptor file(
        open(draft.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
             S_IRUSR | S_IWUSR));
    if (!file.is_open()) return StateUnavailable(errno, "create", draft);
  }
  {
    auto connection = SqliteConnection::Open(draft, kBusy);
    if (!connection.ok()) return connection.status();
    if (auto s = FillNew(**connection, version); !s.ok()) return s;
    (*connection)->RemoveWalOnClose();
  }
  if (Exists(draft + "-wal")) {
    return StateUnavailable(absl::StrCat(draft, ": its WAL does not go away"));
  }
  if (auto s = Sync(draft, O_RDONLY); !s.ok()) return s;
  if (std::rename(draft.c_str(), path.c_str()) != 0) {
    return StateUnavailable(errno, "rename", draft);
  }
  return absl::OkStatus();
}

absl::Status Database::Replace(const std::string& directory,
                               const StateContents& contents) {
  const std::string path = absl::StrCat(directory, "/", kFileName);
  const std::string draft = path + ".repaired";
  RemoveAll(draft);
  if (auto s = Create(draft, contents.written_by); !s.ok()) return s;
  {
    Database database(draft, contents.written_by, kBusy);
    if (auto s = database.Connect(); !s.ok()) return s;
    database.daemon_id_ = contents.daemon_id;
    if (auto s = database.Recover(contents.rows); !s.ok()) return s;
    if (auto s = database.Close(); !s.ok()) return s;
  }
  if (Exists(draft + "-wal")) {
    return StateUnavailable(absl::StrCat(draft, ": its WAL does not go away"));
  }
  if (auto s = Sync(draft, O_RDONLY); !s.ok()) return s;
  if (std::rename(draft.c_str(), path.c_str()) != 0) {
    return StateUnavailable(errno, "rename", draft);
  }
  return Sync(directory, O_RDONLY | O_DIRECTORY);
}

absl::Status Database::Connect() {
  auto connection = SqliteConnection::Open(path_, busy_);
  if (!connection.ok()) return connection.status();
  if (SizeOf(path_) == 0) return (*connection)->Damaged("it is empty");
  if (auto s = CheckHeader(**connection); !s.ok()) return s;
  if (auto s = UseWal(**connection); !s.ok()) return s;
  if (auto s = CheckSchema(**connection); !s.ok()) return s;
  auto statements = PrepareAll(**connection);
  if (!statements.ok()) return statements.status();
  statements_ = std::make_unique<Statements>(*std::move(statements));
  connection_ = *std::move(connection);
  return absl::OkStatus();
}

absl::StatusOr<Database::Statements> Database::PrepareAll(
    SqliteConnection& connection) {
  absl::Status error;
  std::vector<SqliteStatement> all;
  for (const char* sql :
       {"BEGIN IMMEDIATE", "COMMIT", kPutMeta,
        "UPDATE listeners SET crc = ?2, record = ?3 WHERE seq = ?1",
        "INSERT INTO listeners VALUES(?1, ?4, ?2, ?3)",
        "DELETE FROM listeners WHERE seq = ?1",
        "UPDATE requests SET request_id = ?2, record = ?3, crc = ?4 "
        "WHERE seq = ?1",
        "INSERT OR IGNORE INTO requests VALUES(?1, ?2, ?3, ?4)",
        "DELETE FROM requests WHERE seq = ?1"}) {
    auto statement = SqliteStatement::Prepare(connection, sql);
    if (!statement.ok()) return statement.status();
    all.push_back(*std::move(statement));
  }
  auto next = all.begin();
  const auto take = [&next] { return std::move(*next++); };
  // The members of a braced list are made in their order.
  return Statements{take(), take(), take(), take(), take(),
                    take(), take(), take(), take()};
}

absl::Status Database::HasFailed() const {
  return StateUnavailable(absl::StrCat(path_, ": it has failed before"));
}

void Database::Drop() {
  statements_ = nullptr;
  connection_ = nullptr;
}

absl::StatusOr<StateContents> Database::Read() {
  auto contents = ReadAll(*connection_);
  if (!contents.ok()) return contents;
  daemon_id_ = contents->daemon_id;
  num_requests_ = static_cast<int64_t>(contents->rows.requests.size());
  if (auto s = ReadListenerSeqs(); !s.ok()) return s;
  return contents;
}

absl::Status Database::ReadListenerSeqs() {
  listener_seqs_.clear();
  auto rows =
      SqliteStatement::Prepare(*connection_, "SELECT seq, id FROM listeners");
  if (!rows.ok()) return rows.status();
  for (;;) {
    const auto has_row = rows->Next();
    if (!has_row.ok()) return has_row.status();
    if (!*has_row) return absl::OkStatus();
    const int64_t seq = rows->Integer(0);
    listener_seqs_.emplace(rows->Bytes(1), seq);
    last_listener_seq_ = std::max(last_listener_seq_, seq);
  }
}

template <typename F>
absl::Status Database::InTransaction(F change) {
  if (connection_ == nullptr) return HasFailed();
  absl::Status status = statements_->begin.Run();
  if (status.ok()) status = change();
  if (status.ok()) status = statements_->commit.Run();
  // A transaction that is open still is taken back.
  if (!status.ok()) Drop();
  return status;
}

absl::Status Database::PutMeta(const char* key, const std::string& value) {
  return Put(statements_->put_meta, key, value);
}

absl::Status Database::PutCounts(const Counts& before) {
  const Counts now = counts();
  if (now.listeners != before.listeners) {
    auto status = PutMeta(kMetaListeners, std::to_string(now.listeners));
    if (!status.ok()) return status;
  }
  if (now.requests == before.requests) return absl::OkStatus();
  return PutMeta(kMetaRequests, std::to_string(now.requests));
}

absl::Status Database::Commit(const std::vector<StateChange>& changes) {
  return InTransaction([&]() -> absl::Status {
    const Counts before = counts();
    for (const StateChange& change : changes) {
      auto status =
          std::visit([this](const auto& c) { return Apply(c); }, change);
      if (!status.ok()) return status;
    }
    return PutCounts(before);
  });
}

absl::Status Database::Apply(const ListenerRow& row) {
  const auto [found, is_new] =
      listener_seqs_.try_emplace(row.id, last_listener_seq_ + 1);
  const int64_t seq = found->second;
  SqliteStatement& put =
      is_new ? statements_->insert_listener : statements_->update_listener;
  put.Bind(1, seq)
      .Bind(2, ListenerCrc(seq, row.id, row.record))
      .BindBlob(3, row.record);
  if (is_new) {
    ++last_listener_seq_;
    put.BindText(4, row.id);
  }
  return put.Run();
}

absl::Status Database::Apply(const EraseListener& erase) {
  const auto found = listener_seqs_.find(erase.id);
  if (found == listener_seqs_.end()) return absl::OkStatus();
  const int64_t seq = found->second;
  listener_seqs_.erase(found);
  return statements_->erase_listener.Bind(1, seq).Run();
}

absl::Status Database::Apply(const RequestRow& row) {
  const uint32_t crc = RequestCrc(row.seq, row.request_id, row.record);
  // It is new nearly always.
  for (SqliteStatement* const put :
       {&statements_->insert_request, &statements_->update_request}) {
    auto status = put->Bind(1, row.seq)
                      .BindText(2, row.request_id)
                      .BindBlob(3, row.record)
                      .Bind(4, crc)
                      .Run();
    if (!status.ok()) return status;
    if (connection_->changes() == 0) continue;
    if (put == &statements_->insert_request) ++num_requests_;
    break;
  }
  return absl::OkStatus();
}

absl::Status Database::Apply(const EraseRequest& erase) {
  auto status = statements_->erase_request.Bind(1, erase.seq).Run();
  if (status.ok()) num_requests_ -= connection_->changes();
  return status;
}

absl::Status Database::Begin() {
  return InTransaction([&]() -> absl::Status {
    if (auto s = PutMeta(kMetaWrittenBy, version_); !s.ok()) return s;
    return PutMeta(kMetaClean, "0");
  });
}

absl::Status Database::End() {
  return InTransaction([&] { return PutMeta(kMetaClean, "1"); });
}

absl::Status Database::Recover(const StateRows& rows) {
  Drop();
  if (auto s = Connect(); !s.ok()) return s;
  auto status = connection_->Checkpoint(SQLITE_CHECKPOINT_TRUNCATE);
  if (!status.ok()) {
    Drop();
    return status;
  }
  return InTransaction([&] { return ReplaceAll(rows); });
}

absl::Status Database::ReplaceAll(const StateRows& rows) {
  for (const char* sql :
       {"DELETE FROM meta", "DELETE FROM listeners", "DELETE FROM requests"}) {
    if (auto s = connection_->Run(sql); !s.ok()) return s;
  }
  listener_seqs_.clear();
  last_listener_seq_ = 0;
  num_requests_ = 0;
  for (const ListenerRow& row : rows.listeners) {
    if (auto s = Apply(row); !s.ok()) return s;
  }
  for (const RequestRow& row : rows.requests) {
    if (auto s = Apply(row); !s.ok()) return s;
  }
  const std::string schema = std::to_string(kSchemaVersion);
  if (auto s = PutMeta(kMetaSchema, schema); !s.ok()) return s;
  if (auto s = PutMeta(kMetaDaemonId, daemon_id_); !s.ok()) return s;
  if (auto s = PutMeta(kMetaWrittenBy, version_); !s.ok()) return s;
  if (auto s = PutMeta(kMetaClean, "0"); !s.ok()) return s;
  return PutCounts({-1, -1});
}

absl::Status Database::TrimWal() {
  if (connection_ == nullptr) return HasFailed();
  auto status = connection_->Checkpoint(SQLITE_CHECKPOINT_PASSIVE);
  if (!status.ok()) Drop();
  return status;
}

absl::Status Database::Close() {
  if (connection_ == nullptr) return HasFailed();
  auto status = connection_->Checkpoint(SQLITE_CHECKPOINT_TRUNCATE);
  if (status.ok()) connection_->RemoveWalOnClose();
  Drop();
  return status;
}

int64_t Database::Bytes() const {
  return SizeOf(path_) + SizeOf(path_ + "-wal");
}

}  // namespace portreeve::server
