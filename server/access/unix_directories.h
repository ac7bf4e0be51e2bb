// UnixDirectories: where unix sockets may be.
#ifndef PORTREEVE_SERVER_ACCESS_UNIX_DIRECTORIES_H_
#define PORTREEVE_SERVER_ACCESS_UNIX_DIRECTORIES_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace portreeve::server {

// The absolute paths of directories, which stand for those below, too.  It is a
// plain value.  Answers are those of the file system at the time of the
// question, in which a symbolic link counts as what it leads to.  An abstract
// name, which is no file's, is in no directory.
class UnixDirectories {
 public:
  void Add(std::string directory) {
    directories_.push_back(std::move(directory));
  }
  bool empty() const { return directories_.empty(); }

  // Whether a file made at `path` would be within.  Its name, the last part of
  // `path`, is not followed: neither does bind(2).
  bool ContainNew(const std::string& path) const;

  // Gives the path, without a link in it, to what connect(2) finds at `path`,
  // if that is within.  Gives none for a link that leads nowhere, which can
  // lead elsewhere in a moment.
  std::optional<std::string> TargetWithin(const std::string& path) const;

 private:
  std::vector<std::string> directories_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_ACCESS_UNIX_DIRECTORIES_H_
