// UnixSocketFile: the file of a listening unix socket (docs/CONFORMANCE.md,
// S12).
#ifndef PORTREEVE_LIB_SERVE_UNIX_SOCKET_FILE_H_
#define PORTREEVE_LIB_SERVE_UNIX_SOCKET_FILE_H_

#include <sys/types.h>

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

  // Makes a non-blocking socket that listens at `path` with `backlog`.  Its
  // file has `mode` before the first client can connect.
  //
  // A file that a dead server left there is removed, after a probe has shown
  // that nobody listens.  Of several processes that try this at once one
  // succeeds.  Errors: ADDRESS_IN_USE (somebody listens), NOT_A_SOCKET (another
  // kind of file, which is left alone), BIND_NOT_PERMITTED, NO_SUCH_PATH
  // (its directory is missing), INVALID_FIELD.
  static absl::StatusOr<Bound> Listen(const std::string& path, int mode,
                                      int backlog);

  // Does the same with `fd`, a unix stream socket that is not bound.
  static absl::StatusOr<UnixSocketFile> ListenOn(int fd,
                                                 const std::string& path,
                                                 int mode, int backlog);

  // Gives the socket's file at `path`, which somebody else has made;
  // NO_SUCH_PATH if there is none.
  static absl::StatusOr<UnixSocketFile> Of(const std::string& path);

  // Removes the file, if the path still leads to the one that was made.
  void RemoveIfOurs() const;

 private:
  static absl::StatusOr<UnixSocketFile> BindAndListen(int fd,
                                                      const std::string& path,
                                                      int mode, int backlog);

  UnixSocketFile(std::string path, dev_t device, ino_t inode)
      : path_(std::move(path)), device_(device), inode_(inode) {}

  std::string path_;  // Absolute.
  dev_t device_;
  ino_t inode_;
};

struct UnixSocketFile::Bound {
  Descriptor descriptor;
  UnixSocketFile file;
};

}  // namespace portreeve

#endif  // PORTREEVE_LIB_SERVE_UNIX_SOCKET_FILE_H_
