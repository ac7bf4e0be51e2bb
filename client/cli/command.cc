#include "client/cli/command.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/cli/poll_until.h"

namespace portreeve::cli {
namespace {

using Variables = std::map<std::string, std::string>;

// "KEY=VALUE" for each of the environment, `more` instead of what it had.
std::vector<std::string> WithVariables(const Variables& more) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (more.count(text.substr(0, text.find('='))) == 0) all.push_back(text);
  }
  for (const auto& [key, value] : more) {
    all.push_back(absl::StrCat(key, "=", value));
  }
  return all;
}

// For execve(); valid while `texts` is.
std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// What posix_spawn() does between fork and exec.
class SpawnPlan {
 public:
  SpawnPlan(int socket, const std::string& directory) {
    posix_spawn_file_actions_init(&actions_);
    posix_spawn_file_actions_adddup2(&actions_, socket, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions_, socket, STDOUT_FILENO);
    // Whatever a library may have opened without CLOEXEC.
    posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
    posix_spawn_file_actions_addchdir_np(&actions_, directory.c_str());
    posix_spawnattr_init(&attributes_);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes_, &signals);
    sigaddset(&signals, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes_, &signals);
    posix_spawnattr_setflags(&attributes_,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }

  // An errno, or 0.
  int Spawn(pid_t& pid, std::vector<std::string> arguments,
            std::vector<std::string> environment) {
    return posix_spawnp(&pid, arguments[0].c_str(), &actions_, &attributes_,
                        Pointers(arguments).data(),
                        Pointers(environment).data());
  }

 private:
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

}  // namespace

absl::Status CheckRunnable(const CommandLine& line) {
  const std::string& name = line.arguments[0];
  const char* variable = std::getenv("PATH");
  std::vector<std::string> folders = {""};
  if (!absl::StrContains(name, "/")) {
    folders =
        absl::StrSplit(variable == nullptr ? "/bin:/usr/bin" : variable, ':');
  }
  for (const std::string& folder : folders) {
    const auto file = std::filesystem::path(line.directory) / folder / name;
    std::error_code ignored;
    if (std::filesystem::is_regular_file(file, ignored) &&
        access(file.c_str(), X_OK) == 0) {
      return absl::OkStatus();
    }
  }
  return absl::NotFoundError(
      absl::StrCat("'", name, "' is no program that can be run"));
}

absl::StatusOr<Command> Command::Start(const CommandLine& line,
                                       const Variables& variables) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
    return absl::ErrnoToStatus(errno, "socketpair");
  }
  Descriptor ours(ends[0]);
  const Descriptor theirs(ends[1]);
  pid_t pid = -1;
  const int error = SpawnPlan(theirs.get(), line.directory)
                        .Spawn(pid, line.arguments, WithVariables(variables));
  if (error != 0) {
    return absl::ErrnoToStatus(
        error, absl::StrCat("starting '", line.arguments[0], "'"));
  }
  return Command(pid, std::move(ours));
}

Command::Command(pid_t pid, Descriptor socket)
    : pid_(pid),
      socket_(std::move(socket)),
      // <sys/pidfd.h> of glibc 2.36 is not for C++.
      process_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))) {}

bool Command::HasLetGo() const {
  pollfd one = {socket(), 0, 0};
  return poll(&one, 1, 0) > 0 && (one.revents & POLLHUP) != 0;
}

int Command::Wait(absl::Time until) {
  // Without a descriptor for it, there is nothing to wait for: no grace.
  pollfd process = {process_.get(), POLLIN, 0};
  const int ready = process.fd < 0 ? -1 : PollUntil(process, until);
  // It is not collected yet, so the number is still its own.
  if (ready <= 0) kill(pid_, SIGTERM);
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

std::string FailureText(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    return absl::StrCat("was ended by signal ", WTERMSIG(wait_status));
  }
  if (WEXITSTATUS(wait_status) != 0) {
    return absl::StrCat("exited with ", WEXITSTATUS(wait_status));
  }
  return "";
}

}  // namespace portreeve::cli
