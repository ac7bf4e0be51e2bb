#include "tests/testing/daemon_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <utility>

namespace portreeve::testing {
namespace {

// Another one may be tried by hand.
const char* Binary() {
  const char* const other = std::getenv("PORTREEVED_BINARY");
  return other != nullptr ? other : "server/portreeved";
}

constexpr char kLinePrefix[] = "portreeved: ";

[[noreturn]] void Die(const std::string& what) {
  std::perror(what.c_str());
  std::abort();
}

int MillisecondsUntil(std::chrono::steady_clock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::max<int64_t>(left.count(), 0));
}

void AwaitReadable(int fd, std::chrono::steady_clock::time_point deadline,
                   const char* what) {
  pollfd wait{fd, POLLIN, 0};
  int result;
  do {
    result = poll(&wait, 1, MillisecondsUntil(deadline));
  } while (result < 0 && errno == EINTR);
  if (result == 0) errno = ETIMEDOUT;
  if (result <= 0) Die(what);
}

// Appends what there is; false at the end of file.
bool ReadSome(int fd, std::string& to) {
  char buffer[4096];
  const ssize_t size = read(fd, buffer, sizeof buffer);
  if (size > 0) to.append(buffer, static_cast<size_t>(size));
  return size > 0;
}

// With lines of "filler", to the last byte.
void Fill(int pipe) {
  const int flags = fcntl(pipe, F_GETFL);
  fcntl(pipe, F_SETFL, flags | O_NONBLOCK);
  const std::string text = "filler\n";
  for (size_t i = 0; write(pipe, &text[i % text.size()], 1) == 1; ++i) {
  }
  fcntl(pipe, F_SETFL, flags);
}

void Exec(const std::vector<std::string>& arguments, int out, int error) {
  std::vector<char*> argv = {const_cast<char*>(Binary())};
  for (const auto& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  dup2(out, STDOUT_FILENO);
  dup2(error, STDERR_FILENO);
  execv(Binary(), argv.data());
  Die("execv");
}

}  // namespace

DaemonProcess::DaemonProcess(std::vector<std::string> arguments,
                             Stderr error_state) {
  if (std::find(arguments.begin(), arguments.end(), "--control") ==
      arguments.end()) {
    arguments.insert(arguments.end(), {"--control", "tcp:127.0.0.1:0"});
  }
  if (const char* const loops = std::getenv("PORTREEVE_TEST_LOOPS")) {
    arguments.insert(arguments.end(), {"--loops", loops});
  }
  int out[2], error[2];
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(error, O_CLOEXEC) != 0) Die("pipe2");
  if (error_state == Stderr::kFull) Fill(error[1]);
  pid_ = fork();
  if (pid_ < 0) Die("fork");
  if (pid_ == 0) Exec(arguments, out[1], error[1]);
  close(out[1]);
  close(error[1]);
  out_ = out[0];
  error_ = error[0];
}

DaemonProcess::~DaemonProcess() {
  if (!exit_status_) {
    kill(pid_, SIGKILL);
    WaitForExit();
  }
  close(out_);
  close(error_);
}

bool DaemonProcess::WaitUntilReady() {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  while (Printed("ready").empty()) {
    AwaitReadable(out_, deadline, "waiting for ready");
    if (!ReadSome(out_, output_)) return false;
  }
  return true;
}

std::vector<std::string> DaemonProcess::Printed(
    const std::string& prefix) const {
  std::vector<std::string> found;
  std::istringstream lines(output_);
  const std::string whole = kLinePrefix + prefix;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(whole, 0) == 0) found.push_back(line.substr(whole.size()));
  }
  return found;
}

std::string DaemonProcess::Target() const {
  const std::string address = Printed("control ").at(0);
  return address.rfind("tcp:", 0) == 0 ? address.substr(4) : address;
}

int DaemonProcess::ListenerPort(size_t index) const {
  const std::string line = Printed("listener ").at(index);
  return std::stoi(line.substr(line.rfind(':') + 1));
}

std::string DaemonProcess::WaitForErrorLine(const std::string& text,
                                            int number) {
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  for (;;) {
    std::istringstream lines(
        error_output_.substr(0, error_output_.rfind('\n') + 1));
    int left = number;
    for (std::string line; std::getline(lines, line);) {
      if (line.find(text) != line.npos && --left == 0) return line;
    }
    AwaitReadable(error_, deadline, "waiting for a line of stderr");
    if (!ReadSome(error_, error_output_)) return "";
  }
}

void DaemonProcess::TakeErrors() {
  pollfd ready{error_, POLLIN, 0};
  while (poll(&ready, 1, 0) == 1 && ReadSome(error_, error_output_)) {
  }
}

void DaemonProcess::Signal(int number) { kill(pid_, number); }

int DaemonProcess::WaitForExit() {
  if (exit_status_) return *exit_status_;
  const auto deadline = std::chrono::steady_clock::now() + kDeadline;
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  if (pidfd < 0) Die("pidfd_open");
  AwaitReadable(pidfd, deadline, "waiting for the exit");
  close(pidfd);
  int status = 0;
  if (waitpid(pid_, &status, 0) != pid_) Die("waitpid");
  while (ReadSome(out_, output_)) {
  }
  while (ReadSome(error_, error_output_)) {
  }
  exit_status_ =
      WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return *exit_status_;
}

}  // namespace portreeve::testing
