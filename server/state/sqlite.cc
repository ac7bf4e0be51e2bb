#include "server/state/sqlite.h"

#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "server/state/state_errors.h"

namespace portreeve::server {
namespace {

bool IsFull(int code, int error_number) {
  if ((code & 0xff) == SQLITE_FULL) return true;
  return (code & 0xff) == SQLITE_IOERR &&
         (error_number == ENOSPC || error_number == EDQUOT ||
          error_number == EFBIG);
}

absl::Status MakeStatus(int code, int error_number, absl::string_view path,
                        absl::string_view what, absl::string_view text) {
  std::string message = absl::StrCat(path, ": ", what, ": ", text);
  const bool is_of_system =
      (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN;
  if (is_of_system && error_number != 0) {
    absl::StrAppend(&message, " (", std::strerror(error_number), ")");
  }
  if (IsFull(code, error_number)) return StateFull(message);
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
      return StateDamaged(message);
    default:
      return StateUnavailable(message);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteConnection>> SqliteConnection::Open(
    const std::string& path, std::chrono::milliseconds busy) {
  sqlite3* handle = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &handle,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                          SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE,
                      nullptr);
  if (handle == nullptr) {
    return MakeStatus(code, 0, path, "open", sqlite3_errstr(code));
  }
  std::unique_ptr<SqliteConnection> connection(
      new SqliteConnection(path, handle));
  if (code != SQLITE_OK) return connection->Error(code, "open");
  if (sqlite3_db_readonly(handle, "main") == 1) {
    return StateUnavailable(absl::StrCat(path, ": it cannot be written"));
  }
  sqlite3_busy_timeout(handle, static_cast<int>(busy.count()));
  connection->Restrict();
  // Of a connection that has failed, nothing goes from the WAL to the database
  // before it was checked.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  // This takes the place of SQLite's own, which would check-point inside of a
  // commit, and keep the errors to itself.
  sqlite3_wal_hook(
      handle,
      [](void* self, sqlite3*, const char*, int pages) {
        static_cast<SqliteConnection*>(self)->wal_pages_ = pages;
        return SQLITE_OK;
      },
      connection.get());
  return connection;
}

absl::StatusOr<std::unique_ptr<SqliteConnection>> SqliteConnection::OpenImage(
    const std::string& path, const std::string& image) {
  sqlite3* handle = nullptr;
  const int code =
      sqlite3_open_v2(":memory:", &handle,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
                          SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE,
                      nullptr);
  if (handle == nullptr) {
    return MakeStatus(code, 0, path, "open", sqlite3_errstr(code));
  }
  std::unique_ptr<SqliteConnection> connection(
      new SqliteConnection(path, handle));
  if (code != SQLITE_OK) return connection->Error(code, "open");
  connection->Restrict();
  auto* const bytes =
      static_cast<unsigned char*>(sqlite3_malloc64(image.size() + 1));
  if (bytes == nullptr) return connection->Error(SQLITE_NOMEM, "open");
  std::memcpy(bytes, image.data(), image.size());
  // A database in memory has no WAL: by these two a file says that it may have
  // one.
  if (image.size() > 19 && bytes[18] == 2 && bytes[19] == 2) {
    bytes[18] = bytes[19] = 1;
  }
  const int64_t size = static_cast<int64_t>(image.size());
  const int loaded = sqlite3_deserialize(
      handle, "main", bytes, size, size,
      SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_READONLY);
  if (loaded != SQLITE_OK) return connection->Error(loaded, "open");
  return connection;
}

// A file that was tampered with gets to run nothing.
void SqliteConnection::Restrict() {
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
}

SqliteConnection::~SqliteConnection() {
  PORTREEVE_CHECK(sqlite3_close(handle_) == SQLITE_OK);
}

absl::Status SqliteConnection::Run(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return Error(code, sql);
  return absl::OkStatus();
}

absl::StatusOr<int64_t> SqliteConnection::IntegerOf(const char* sql) {
  auto statement = SqliteStatement::Prepare(*this, sql);
  if (!statement.ok()) return statement.status();
  const auto has_row = statement->Next();
  if (!has_row.ok()) return has_row.status();
  if (!*has_row) return Damaged(absl::StrCat(sql, " has no value"));
  return statement->Integer(0);
}

absl::StatusOr<std::string> SqliteConnection::TextOf(const char* sql) {
  auto statement = SqliteStatement::Prepare(*this, sql);
  if (!statement.ok()) return statement.status();
  const auto has_row = statement->Next();
  if (!has_row.ok()) return has_row.status();
  if (!*has_row) return Damaged(absl::StrCat(sql, " has no value"));
  return statement->Bytes(0);
}

absl::Status SqliteConnection::Checkpoint(int mode) {
  const int code =
      sqlite3_wal_checkpoint_v2(handle_, "main", mode, nullptr, nullptr);
  // Another program does the same.
  if (mode == SQLITE_CHECKPOINT_PASSIVE && (code & 0xff) == SQLITE_BUSY) {
    return absl::OkStatus();
  }
  if (code != SQLITE_OK) return Error(code, "checkpoint");
  wal_pages_ = 0;
  return absl::OkStatus();
}

absl::StatusOr<std::string> SqliteConnection::Snapshot() {
  struct Closer {
    void operator()(sqlite3* handle) const { sqlite3_close(handle); }
  };
  sqlite3* handle = nullptr;
  const int opened = sqlite3_open(":memory:", &handle);
  const std::unique_ptr<sqlite3, Closer> copy(handle);
  if (opened != SQLITE_OK) return Error(opened, "copy");
  // One that begins with nothing is given back as the bytes that it has,
  // whatever they are.
  int code = sqlite3_deserialize(
      handle, "main", nullptr, 0, 0,
      SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE);
  if (code != SQLITE_OK) return Error(code, "copy");
  sqlite3_backup* const backup =
      sqlite3_backup_init(handle, "main", handle_, "main");
  if (backup == nullptr) return Error(sqlite3_errcode(handle), "copy");
  code = sqlite3_backup_step(backup, -1);
  (void)sqlite3_backup_finish(backup);
  if (code != SQLITE_DONE) return Error(code, "copy");
  sqlite3_int64 size = 0;
  const unsigned char* const bytes =
      sqlite3_serialize(handle, "main", &size, SQLITE_SERIALIZE_NOCOPY);
  if (bytes == nullptr) return Error(SQLITE_NOMEM, "copy");
  return std::string(reinterpret_cast<const char*>(bytes),
                     static_cast<size_t>(size));
}

void SqliteConnection::RemoveWalOnClose() {
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
}

absl::Status SqliteConnection::Error(int code, absl::string_view what) const {
  return MakeStatus(code, ErrorNumber(), path_, what, sqlite3_errstr(code));
}

// What SQLite notes for the connection, it does not note for a COMMIT.
int SqliteConnection::ErrorNumber() const {
  int number = sqlite3_system_errno(handle_);
  for (const int which :
       {SQLITE_FCNTL_FILE_POINTER, SQLITE_FCNTL_JOURNAL_POINTER}) {
    sqlite3_file* file = nullptr;
    if (number != 0) break;
    (void)sqlite3_file_control(handle_, "main", which, &file);
    if (file == nullptr || file->pMethods == nullptr) continue;
    (void)file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &number);
  }
  return number;
}

absl::Status SqliteConnection::Damaged(absl::string_view what) const {
  return StateDamaged(absl::StrCat(path_, ": ", what));
}

absl::StatusOr<SqliteStatement> SqliteStatement::Prepare(
    SqliteConnection& connection, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  const int code =
      sqlite3_prepare_v3(connection.handle_, sql, -1, SQLITE_PREPARE_PERSISTENT,
                         &statement, nullptr);
  if (code != SQLITE_OK) return connection.Error(code, sql);
  return SqliteStatement(connection, statement);
}

SqliteStatement& SqliteStatement::Bind(int parameter, int64_t value) {
  Note(sqlite3_bind_int64(statement_.get(), parameter, value));
  return *this;
}

SqliteStatement& SqliteStatement::BindText(int parameter,
                                           absl::string_view value) {
  // A null pointer would be NULL.
  const char* const data = value.empty() ? "" : value.data();
  Note(sqlite3_bind_text64(statement_.get(), parameter, data, value.size(),
                           SQLITE_STATIC, SQLITE_UTF8));
  return *this;
}

SqliteStatement& SqliteStatement::BindBlob(int parameter,
                                           absl::string_view value) {
  const char* const data = value.empty() ? "" : value.data();
  Note(sqlite3_bind_blob64(statement_.get(), parameter, data, value.size(),
                           SQLITE_STATIC));
  return *this;
}

void SqliteStatement::Note(int code) {
  if (bind_error_ == SQLITE_OK) bind_error_ = code;
}

absl::Status SqliteStatement::Run() {
  const auto has_row = Next();
  Reset();
  if (!has_row.ok()) return has_row.status();
  PORTREEVE_CHECK(!*has_row);
  return absl::OkStatus();
}

absl::StatusOr<bool> SqliteStatement::Next() {
  const int code =
      bind_error_ == SQLITE_OK ? sqlite3_step(statement_.get()) : bind_error_;
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return connection_->Error(code, sqlite3_sql(statement_.get()));
}

int SqliteStatement::TypeOf(int column) const {
  return sqlite3_column_type(statement_.get(), column);
}

int64_t SqliteStatement::Integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string SqliteStatement::Bytes(int column) const {
  const void* const data = sqlite3_column_blob(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  // SQLite gives null for an empty one, and where it has no memory.
  if (data == nullptr && size > 0) throw std::bad_alloc();
  return std::string(static_cast<const char*>(data),
                     data == nullptr ? 0 : size);
}

void SqliteStatement::Reset() {
  // The error is Next()'s, which has given it already.
  (void)sqlite3_reset(statement_.get());
  (void)sqlite3_clear_bindings(statement_.get());
  bind_error_ = SQLITE_OK;
}

}  // namespace portreeve::server
