// The programs that serve connections, as inetd starts them.
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

// Whether there is such a program, which may be gone when it is started.
//
// Errors: NOT_FOUND, which names it.
absl::Status CheckRunnable(const CommandLine& line);

// A process whose stdin and stdout are one end of a socket pair.  It inherits
// nothing else but stderr, has SIGPIPE by default, and is collected by Wait.
class Command {
 public:
  // `variables` are added to the environment.
  //
  // Errors: those of the system, as it names them.
  static absl::StatusOr<Command> Start(
      const CommandLine& line,
      const std::map<std::string, std::string>& variables);

  Command(Command&&) noexcept = default;

  // Our end of the pair.
  int socket() const { return socket_.get(); }

  // Whether nobody has the other end any more, which is the end of the command
  // for its connection.  With our end open for writing; once reading it has
  // given EOF.
  bool HasLetGo() const;

  // Waits for the end of the process, once: its status as waitpid() gives it.
  // After `grace` it gets SIGTERM.
  int Wait(absl::Duration grace);

 private:
  Command(pid_t pid, Descriptor socket);

  pid_t pid_;
  Descriptor socket_;
  Descriptor process_;  // Readable once the process has ended.
};

// "exited with 3", "was ended by signal 9"; "" for success.
std::string FailureText(int wait_status);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_COMMAND_H_
