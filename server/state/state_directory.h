// StateDirectory: the directory of the state, which one process has at a time.
#ifndef PORTREEVE_SERVER_STATE_STATE_DIRECTORY_H_
#define PORTREEVE_SERVER_STATE_STATE_DIRECTORY_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"

namespace portreeve::server {

// While it lives, the file `lock` in the directory is locked by flock(2), which
// goes with the descriptor: it ends with the process, however that ends.
// Threads: one at a time.
class StateDirectory {
 public:
  static constexpr char kLockName[] = "lock";

  // Makes the directory, with mode 0700, if its parent is there.
  // Errors: STATE_IN_USE, which names the process if it is known;
  // STATE_NOT_OURS where it is another user's than ours and root's, or others
  // may write to it; STATE_UNAVAILABLE.
  static absl::StatusOr<StateDirectory> Take(const std::string& path);

  // Goes on with the directory of another process of the daemon, whose `lock`
  // this is a copy of; the lock is both's, and ends with the last copy.
  // Errors: STATE_NOT_OURS where it is not the lock of that directory;
  // STATE_UNAVAILABLE.
  static absl::StatusOr<StateDirectory> Adopt(const std::string& path,
                                              Descriptor lock);

  StateDirectory(StateDirectory&&) = default;
  StateDirectory& operator=(StateDirectory&&) = delete;
  // Others may take it from now on, but for one that was adopted and is not
  // owned: that is left as it is.
  ~StateDirectory();

  // Gives the descriptor of the file `lock`, for another process to Adopt().
  int lock() const { return lock_.get(); }
  // The process whose directory it was has given it up: says in the file who
  // has it now.
  void Own();
  // Another process goes on with it.
  void HandOver() { owned_ = false; }

  const std::string& path() const { return path_; }

 private:
  StateDirectory(std::string path, Descriptor lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}

  const std::string path_;
  Descriptor lock_;
  bool owned_ = true;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATE_STATE_DIRECTORY_H_
