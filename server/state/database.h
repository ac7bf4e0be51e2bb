// Database: the rows of the state in a file, each change of them durable before
// it is acknowledged.
#ifndef PORTREEVE_SERVER_STATE_DATABASE_H_
#define PORTREEVE_SERVER_STATE_DATABASE_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/state/sqlite.h"
#include "server/state/state_rows.h"

namespace portreeve::server {

// One file of SQLite, which has its WAL and the index of that beside it.  Every
// row carries a CRC-32C over its table, key and record; the numbers of rows are
// kept, too.
//
// Errors: those of SqliteConnection.
//
// Threads: one at a time.  All functions may block for as long as the disk
// does.
// Lifetime: while there is one, nothing else in the process may open and close
// the file, which would drop SQLite's locks.
class Database {
 public:
  static constexpr char kFileName[] = "portreeved.db";
  // What the file says of itself: "Prtv", and the version of the tables.
  static constexpr int32_t kApplicationId = 0x50727476;
  static constexpr int kSchemaVersion = 1;
  // How long a commit waits for another program that is writing.
  static constexpr std::chrono::milliseconds kBusy{1000};
  // A WAL of so many pages is copied to the database.
  static constexpr int kMaxWalPages = 1000;

  // Opens the database of a directory, or makes one where there is none.  A
  // file that is there is never made anew, not even if it is empty.
  // Errors, beyond those above: STATE_FOREIGN, STATE_NEWER.
  static absl::StatusOr<std::unique_ptr<Database>> Open(
      const std::string& directory, const std::string& version,
      std::chrono::milliseconds busy = kBusy);

  // Gives one that is not opened: nothing can be done but Recover().
  static std::unique_ptr<Database> Later(const std::string& directory,
                                         const std::string& version,
                                         const std::string& daemon_id);

  // Puts a new file with `contents`, as of a run that has not ended as it
  // should, in the place of the one in `directory`, if there is any, all at
  // once.  A WAL that lies there must not be for another file.
  static absl::Status Replace(const std::string& directory,
                              const StateContents& contents);

  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  // Leaves the WAL to the next start.
  ~Database() { Drop(); }

  // Reads and checks everything.
  // Errors: STATE_DAMAGED names what does not check first.
  absl::StatusOr<StateContents> Read();

  // Makes the changes, in their order, in one transaction, which is on disk
  // when it returns.  All must have been read before.  After an error it may
  // have been made or not, and nothing can be done but Recover().
  absl::Status Commit(const std::vector<StateChange>& changes);

  // Notes, in a transaction of its own, that a run of `version` has begun, or
  // has ended as it should.
  absl::Status Begin();
  absl::Status End();

  // Closes and opens the file, has everything in the WAL copied to it, and
  // makes `rows` its contents in one transaction.  It is for after an error,
  // when the kernel may have thrown away what it could not write, without
  // telling anybody again.
  absl::Status Recover(const StateRows& rows);

  // Whether TrimWal() is due.
  bool wal_is_long() const {
    return connection_ != nullptr && connection_->wal_pages() >= kMaxWalPages;
  }
  // Copies the WAL to the file.  After an error nothing can be done but
  // Recover().
  absl::Status TrimWal();

  // Closes the file, and leaves no WAL.
  absl::Status Close();

  int64_t num_listeners() const { return counts().listeners; }
  int64_t num_requests() const { return num_requests_; }
  // Gives what the file and its WAL take on disk.
  int64_t Bytes() const;

 private:
  struct Counts {
    int64_t listeners = 0;
    int64_t requests = 0;
  };
  struct Statements {
    SqliteStatement begin, commit, put_meta;
    SqliteStatement update_listener, insert_listener, erase_listener;
    SqliteStatement update_request, insert_request, erase_request;
  };

  Database(std::string path, std::string version,
           std::chrono::milliseconds busy)
      : path_(std::move(path)), version_(std::move(version)), busy_(busy) {}

  static absl::Status Create(const std::string& path,
                             const std::string& version);
  // Opens the file, and sees that it is ours.
  absl::Status Connect();
  static absl::StatusOr<Statements> PrepareAll(SqliteConnection& connection);
  absl::Status HasFailed() const;
  void Drop();

  // Runs `change` in a transaction.
  template <typename F>
  absl::Status InTransaction(F change);
  absl::Status PutMeta(const char* key, const std::string& value);
  Counts counts() const {
    return {static_cast<int64_t>(listener_seqs_.size()), num_requests_};
  }
  // Writes those that are not as they were `before`.
  absl::Status PutCounts(const Counts& before);
  absl::Status ReadListenerSeqs();
  absl::Status Apply(const ListenerRow& row);
  absl::Status Apply(const EraseListener& erase);
  absl::Status Apply(const RequestRow& row);
  absl::Status Apply(const EraseRequest& erase);
  absl::Status ReplaceAll(const StateRows& rows);

  const std::string path_;
  const std::string version_;
  const std::chrono::milliseconds busy_;
  std::string daemon_id_;  // Once it was read.
  // What the file has, as long as no change has failed.
  std::unordered_map<std::string, int64_t> listener_seqs_;  // By id.
  int64_t last_listener_seq_ = 0;
  int64_t num_requests_ = 0;
  // Null after an error.
  std::unique_ptr<SqliteConnection> connection_;
  std::unique_ptr<Statements> statements_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATE_DATABASE_H_
