#include "tests/integration/cli_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace portreeve::testing {
namespace {

constexpr char kBinary[] = "client/portreeve";

void Check(bool ok, const char* what) {
  if (ok) return;
  std::perror(what);
  std::abort();
}

// A file without a name, read from its beginning.
int FileOf(const std::string& text) {
  const int file = memfd_create("portreeve-test", MFD_CLOEXEC);
  Check(file >= 0, "memfd_create");
  Check(pwrite(file, text.data(), text.size(), 0) ==
            static_cast<ssize_t>(text.size()),
        "pwrite");
  return file;
}

pid_t Spawn(const std::vector<std::string>& arguments, int input, int output,
            int error) {
  std::vector<char*> pointers = {const_cast<char*>(kBinary)};
  for (const std::string& argument : arguments) {
    pointers.push_back(const_cast<char*>(argument.c_str()));
  }
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, error, STDERR_FILENO);
  pid_t pid = -1;
  errno =
      posix_spawn(&pid, kBinary, &actions, nullptr, pointers.data(), environ);
  Check(errno == 0, kBinary);
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

}  // namespace

CliProcess::CliProcess(const std::vector<std::string>& arguments,
                       const std::string& input) {
  int error[2];
  Check(pipe2(error, O_CLOEXEC) == 0, "pipe2");
  const int in = FileOf(input);
  output_ = FileOf("");
  pid_ = Spawn(arguments, in, output_, error[1]);
  close(in);
  close(error[1]);
  error_ = error[0];
}

CliProcess::~CliProcess() {
  if (!exit_status_) {
    kill(pid_, SIGKILL);
    WaitForExit();
  }
  close(output_);
  close(error_);
}

bool CliProcess::ReadNotes() {
  pollfd wait = {error_, POLLIN, 0};
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(kDeadline).count();
  const int ready = poll(&wait, 1, static_cast<int>(milliseconds));
  if (ready == 0) errno = ETIMEDOUT;
  Check(ready > 0, "waiting for portreeve");
  char buffer[4096];
  const ssize_t size = read(error_, buffer, sizeof buffer);
  if (size > 0) notes_.append(buffer, static_cast<size_t>(size));
  return size > 0;
}

bool CliProcess::WaitForNote(const std::string& text) {
  while (notes_.find(text) == std::string::npos) {
    if (!ReadNotes()) return false;
  }
  return true;
}

void CliProcess::Signal(int number) { kill(pid_, number); }

int CliProcess::WaitForExit() {
  if (!exit_status_) {
    while (ReadNotes()) {
    }
    int status = 0;
    Check(waitpid(pid_, &status, 0) == pid_, "waitpid");
    exit_status_ =
        WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  return *exit_status_;
}

std::string CliProcess::output() const {
  std::string text(static_cast<size_t>(lseek(output_, 0, SEEK_END)), ' ');
  Check(pread(output_, text.data(), text.size(), 0) ==
            static_cast<ssize_t>(text.size()),
        "pread");
  return text;
}

CliResult RunCli(const std::vector<std::string>& arguments,
                 const std::string& input) {
  CliProcess process(arguments, input);
  const int exit_status = process.WaitForExit();
  return {exit_status, process.output(), process.notes()};
}

}  // namespace portreeve::testing
