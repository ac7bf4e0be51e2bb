// Runs the programs that serve connections, as inetd does.
#ifndef PORTREEVE_CLIENT_CLI_COMMAND_H_
#define PORTREEVE_CLIENT_CLI_COMMAND_H_

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/descriptor.h"

namespace portreeve::cli {

// What to start.
struct CommandLine {
  // The program, found by PATH where it has no slash, and its arguments.
  std::vector<std::string> arguments;
  // Where it runs; absolute.
  std::string directory;
};

// Checks that there is such a program, which may still be gone when it is
// started.
//
// Errors: NOT_FOUND, which names it.
absl::Status CheckRunnable(const CommandLine& line);

// A process whose stdin and stdout are one end of a socket pair.  It inherits
// nothing else but stderr, has SIGPIPE by default, and is collected by Wait.
class Command {
 public:
  // Starts the program, with `variables` added to the environment.
  //
  // Errors: those of the system, as it names them.
  static absl::StatusOr<Command> Start(
      const CommandLine& line,
      const std::map<std::string, std::string>& variables);

  Command(Command&&) noexcept = default;

  // This side's end of the pair.
  int socket() const { return socket_.get(); }

  // Whether nobody has the other end any more, so that for its connection the
  // command has ended.  It may be asked once reading this end has given EOF,
  // while this end is open for writing.
  bool HasLetGo() const;

  // Waits for the end of the process, and gives its status as waitpid() does.
  // At `until` the process gets SIGTERM.  It may be called once.
  int Wait(absl::Time until);

 private:
  Command(pid_t pid, Descriptor socket);

  pid_t pid_;
  Descriptor socket_;
  Descriptor process_;  // It is readable once the process has ended.
};

// Gives "exited with 3" or "was ended by signal 9"; "" for success.
std::string FailureText(int wait_status);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_COMMAND_H_
