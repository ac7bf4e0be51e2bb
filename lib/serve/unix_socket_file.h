// UnixSocketFile: the file of a listening unix socket (docs/CONFORMANCE.md,
// S12).
#ifndef PORTREEVE_LIB_SERVE_UNIX_SOCKET_FILE_H_
#define PORTREEVE_LIB_SERVE_UNIX_SOCKET_FILE_H_

#include <sys/stat.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "lib/base/descriptor.h"

namespace portreeve {

// Remembers which file was made, so that only that one is removed, also where
// its path was relative and the working directory has changed.  It is a plain
// value, and removes nothing by itself.
class UnixSocketFile {
 public:
  struct Bound;

  // Which file it is, for another process to know it by.
  struct Identity {
    std::string path;  // Absolute.
    dev_t device = 0;
    ino_t inode = 0;

    friend bool operator==(const Identity&, const Identity&) = default;
  };

  // Who may connect: the permissions of the file, 0-0777, and its group;
  // without one it has the group that every new file gets there.
  struct Rights {
    int mode;
    std::optional<gid_t> group;
  };

  // Makes a non-blocking socket that listens at `path` with `backlog`.  Its
  // file has `rights` before the first client can connect, and at no time wider
  // ones.
  //
  // A file that a dead server left there is removed, after a probe has shown
  // that nobody listens.  Of several processes that try this at once one
  // succeeds.  Errors: ADDRESS_IN_USE (somebody listens), NOT_A_SOCKET (another
  // kind of file, which is left alone), BIND_NOT_PERMITTED (also
  // for a group that this process may not give a file to), NO_SUCH_PATH (its
  // directory is missing, or somebody took the file away), INVALID_FIELD.
  static absl::StatusOr<Bound> Listen(const std::string& path,
                                      const Rights& rights, int backlog);

  // Does the same with `fd`, a unix stream socket that is not bound.
  static absl::StatusOr<UnixSocketFile> ListenOn(int fd,
                                                 const std::string& path,
                                                 const Rights& rights,
                                                 int backlog);

  // Gives the file that another process has made; nothing if its path does not
  // lead to it any more.
  static std::optional<UnixSocketFile> Find(const Identity& identity);

  const Identity& identity() const { return identity_; }

  // Removes the file, if the path still leads to the one that was made.
  void RemoveIfOurs() const;

 private:
  static absl::StatusOr<UnixSocketFile> BindAndListen(int fd,
                                                      const std::string& path,
                                                      const Rights& rights,
                                                      int backlog);

  explicit UnixSocketFile(Identity identity) : identity_(std::move(identity)) {}

  const std::string& path() const { return identity_.path; }
  bool IsThis(const struct stat& file) const;
  bool IsThere() const;
  absl::Status Give(const Rights& rights) const;

  Identity identity_;
};

struct UnixSocketFile::Bound {
  Descriptor descriptor;
  UnixSocketFile file;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_SERVE_UNIX_SOCKET_FILE_H_
