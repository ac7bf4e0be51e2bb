// SqliteConnection and SqliteStatement: as much of SQLite as the state needs,
// with its errors as Status.
#ifndef PORTREEVE_SERVER_STATE_SQLITE_H_
#define PORTREEVE_SERVER_STATE_SQLITE_H_

#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace portreeve::server {

// A connection that may read and write, to a file that is there.
//
// Errors, of all functions: STATE_DAMAGED where the file is no database or a
// wrong one, STATE_FULL where there is no room, STATE_UNAVAILABLE for all else;
// their messages begin with "PATH: ".
//
// Threads: one at a time.
// Lifetime: it must outlive its statements.
class SqliteConnection {
 public:
  // A file that cannot be written is refused, too.  For `busy` it waits for
  // other programs that are writing.
  static absl::StatusOr<std::unique_ptr<SqliteConnection>> Open(
      const std::string& path, std::chrono::milliseconds busy);

  // Opens `image`, the bytes of a whole database, as a file that cannot be
  // written; `path` is for messages.
  static absl::StatusOr<std::unique_ptr<SqliteConnection>> OpenImage(
      const std::string& path, const std::string& image);

  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;
  // Leaves what is in the WAL there, but for RemoveWalOnClose().
  ~SqliteConnection();

  // Runs statements, and throws their rows away.
  absl::Status Run(const char* sql);

  // Gives the one value of `sql`.
  absl::StatusOr<int64_t> IntegerOf(const char* sql);
  absl::StatusOr<std::string> TextOf(const char* sql);

  // Copies the WAL to the database; `mode` is SQLITE_CHECKPOINT_PASSIVE, which
  // leaves what others are reading, and all while another program does the
  // same; or _TRUNCATE, which leaves nothing.
  absl::Status Checkpoint(int mode);

  // Gives the bytes of the whole database as of one moment, with all that is in
  // the WAL, by SQLite's online backup: nobody who writes waits for it.
  absl::StatusOr<std::string> Snapshot();

  // Has what is left in the WAL copied to the database in the destructor, and
  // the WAL removed.
  void RemoveWalOnClose();

  // Gives how many pages the last commit has left in the WAL.
  int wal_pages() const { return wal_pages_; }

  // Gives the status of `code`, one of SQLite's, where `what` has failed.
  absl::Status Error(int code, absl::string_view what) const;
  // Makes a STATE_DAMAGED of this file.
  absl::Status Damaged(absl::string_view what) const;

  const std::string& path() const { return path_; }

  // Gives how many rows the last statement has changed.
  int changes() const { return sqlite3_changes(handle_); }

 private:
  friend class SqliteStatement;

  SqliteConnection(std::string path, sqlite3* handle)
      : path_(std::move(path)), handle_(handle) {}

  // Takes away from a file what might run.
  void Restrict();
  // Gives the errno of the last system call that has failed; 0 for none.
  int ErrorNumber() const;

  const std::string path_;
  sqlite3* const handle_;
  int wal_pages_ = 0;
};

// A statement to be used again and again.
class SqliteStatement {
 public:
  static absl::StatusOr<SqliteStatement> Prepare(SqliteConnection& connection,
                                                 const char* sql);

  // Set a parameter; the first has the number 1.  What the views show has to
  // live until Run() or Reset().
  SqliteStatement& Bind(int parameter, int64_t value);
  SqliteStatement& BindText(int parameter, absl::string_view value);
  SqliteStatement& BindBlob(int parameter, absl::string_view value);

  // Runs it, which gives no row.
  absl::Status Run();

  // Goes to the next row; false if there is none.
  absl::StatusOr<bool> Next();
  // Gives SQLITE_INTEGER, SQLITE_TEXT and the like.
  int TypeOf(int column) const;
  int64_t Integer(int column) const;
  // Gives a text's or a blob's bytes; throws std::bad_alloc.
  std::string Bytes(int column) const;

  void Reset();

 private:
  struct Finalizer {
    void operator()(sqlite3_stmt* statement) const {
      sqlite3_finalize(statement);
    }
  };

  SqliteStatement(SqliteConnection& connection, sqlite3_stmt* statement)
      : connection_(&connection), statement_(statement) {}
  void Note(int code);

  SqliteConnection* connection_;
  std::unique_ptr<sqlite3_stmt, Finalizer> statement_;
  int bind_error_ = SQLITE_OK;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATE_SQLITE_H_
