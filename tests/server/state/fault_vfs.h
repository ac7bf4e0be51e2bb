// FaultVfs: a disk that fails when it is told to, and that can lose its power.
#ifndef PORTREEVE_TESTS_SERVER_STATE_FAULT_VFS_H_
#define PORTREEVE_TESTS_SERVER_STATE_FAULT_VFS_H_

#include <sqlite3.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/mutex.h"

namespace portreeve::testing {

// Takes the place of SQLite's way to the files, for files that are opened while
// it lives.  Its writes reach the files, but no sync does: what of them would
// be on the disk it knows itself.
//
// Operations are what may fail: to open, to write, to truncate, to sync, to
// delete.
// Threads: any.
class FaultVfs {
 public:
  FaultVfs();
  FaultVfs(const FaultVfs&) = delete;
  FaultVfs& operator=(const FaultVfs&) = delete;
  ~FaultVfs();

  // Takes what the file has now for durable, as it does when one is opened.
  void Know(const std::string& path);

  // Operation `first`, counted from 1 on and from now on, and the ones that
  // follow up to `last`, fail with EIO; or, of these, the writes for want of
  // room.  A write that fails has written its first half.  What a sync that
  // fails should have made durable never will be, though the file shows it.
  enum class Fault { kIo, kFull };
  void FailFrom(int first, int last, Fault fault);
  static constexpr int kForEver = 1 << 30;
  void FailNoMore() { FailFrom(kForEver, kForEver, Fault::kIo); }

  // Calls `f` before operation `n`, counted likewise.
  void At(int n, std::function<void()> f);

  // Counts from the last FailFrom() or At() on.
  int operations() const;
  int syncs() const;

  // The files as they would be found if the power went now, by their paths.  Of
  // what was not synced, `seed` says what is there, any part of it: with 0
  // nothing, with kAll everything.
  static constexpr uint32_t kAll = 0xffffffff;
  using Files = std::map<std::string, std::string>;
  Files AfterPowerCut(uint32_t seed) const;

 private:
  struct File;
  // A write, or, without bytes, a truncation.
  struct Change {
    sqlite3_int64 at = 0;
    std::string bytes;
    bool is_truncation = false;
  };
  struct OnDisk {
    std::string durable;
    std::vector<Change> changes;  // Not synced.
  };

  static int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file,
                  int flags, int* out_flags);
  static int Delete(sqlite3_vfs* vfs, const char* name, int sync_directory);
  static int Close(sqlite3_file* file);
  static int Write(sqlite3_file* file, const void* bytes, int size,
                   sqlite3_int64 at);
  static int Truncate(sqlite3_file* file, sqlite3_int64 size);
  static int Sync(sqlite3_file* file, int flags);

  void CallIfDue() PORTREEVE_EXCLUDES(mutex_);
  // Gives whether the operation that begins has to fail.
  bool CountAndAsk(bool is_write) PORTREEVE_REQUIRES(mutex_);
  static void Apply(const Change& change, std::string& bytes);

  sqlite3_vfs* const real_;
  sqlite3_vfs vfs_;
  mutable Mutex mutex_;
  std::map<std::string, OnDisk> files_ PORTREEVE_GUARDED_BY(mutex_);
  int operations_ PORTREEVE_GUARDED_BY(mutex_) = 0;
  int syncs_ PORTREEVE_GUARDED_BY(mutex_) = 0;
  int first_ PORTREEVE_GUARDED_BY(mutex_) = kForEver;
  int last_ PORTREEVE_GUARDED_BY(mutex_) = kForEver;
  Fault fault_ PORTREEVE_GUARDED_BY(mutex_) = Fault::kIo;
  int call_at_ PORTREEVE_GUARDED_BY(mutex_) = 0;
  std::function<void()> call_ PORTREEVE_GUARDED_BY(mutex_);
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_SERVER_STATE_FAULT_VFS_H_
