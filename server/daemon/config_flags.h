// ConfigFlags: what the file of --config adds to a command line.
#ifndef PORTREEVE_SERVER_DAEMON_CONFIG_FLAGS_H_
#define PORTREEVE_SERVER_DAEMON_CONFIG_FLAGS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/daemon/command_line.h"
#include "server/daemon/config_file.h"

namespace portreeve::server {

class ConfigFlags {
 public:
  // Those of no file.
  ConfigFlags() = default;

  // Reads the file `path`.  The lines of flags that `given`, the command line
  // in which it was named, has itself, are left out.
  //
  // Errors: INVALID_ARGUMENT, one line: "--config" and the path where it cannot
  // be read, else "FILE:LINE: " and what is wrong, also in a line that is left
  // out.  What the values mean is not looked at.
  static absl::StatusOr<ConfigFlags> Read(const std::string& path,
                                          const CommandLine& given);

  // Gives them as words of a command line.
  std::vector<std::string> Words() const;

  // Gives "FILE:LINE: " for the first line with that flag and value; "" if
  // there is none, so that it is the command line's.
  std::string PlaceOf(const std::string& flag, const std::string& value) const;
  // The same, whatever its value is.
  std::string PlaceOf(const std::string& flag) const;

 private:
  std::string Place(const ConfigLine& line) const;

  std::string path_;
  std::vector<ConfigLine> lines_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_DAEMON_CONFIG_FLAGS_H_
