// DaemonProcess: a portreeved that a test has for itself.
#ifndef PORTREEVE_TESTS_TESTING_DAEMON_PROCESS_H_
#define PORTREEVE_TESTS_TESTING_DAEMON_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace portreeve::testing {

// Starts //server:portreeved, which the test has among its `data`, and reads
// what it prints.  Every wait has a deadline; the destructor kills the process
// and collects it.
class DaemonProcess {
 public:
  static constexpr std::chrono::seconds kDeadline{30};

  // Whether the daemon's stderr, a pipe, takes lines before somebody reads it.
  enum class Stderr { kEmpty, kFull };

  // Starts the process, without waiting for it.  Without a --control among
  // `arguments` it gets one on a port that the OS chooses.
  explicit DaemonProcess(std::vector<std::string> arguments = {},
                         Stderr error = Stderr::kEmpty);
  DaemonProcess(const DaemonProcess&) = delete;
  DaemonProcess& operator=(const DaemonProcess&) = delete;
  ~DaemonProcess();

  // Reads stdout until "ready", and gives true; false if the process ended
  // before.
  bool WaitUntilReady();

  // Gives what stands after `prefix` in the lines of stdout that begin with it,
  // such as "control " or "listener ".  It is called after WaitUntilReady().
  std::vector<std::string> Printed(const std::string& prefix) const;

  // The first control address in the form that gRPC takes.
  std::string Target() const;
  // The port of the listener number `index` in the order of --listen.
  int ListenerPort(size_t index) const;

  // Reads stderr until a line is complete that has `text` in it, and gives that
  // line; "" if the process ended before.
  std::string WaitForErrorLine(const std::string& text, int number = 1);

  // Reads what the process has written to stderr until now, so that the pipe
  // does not fill.
  void TakeErrors();

  void Signal(int number);
  // Waits for the end, and gives the exit status; 128 + N if signal N ended the
  // process.
  int WaitForExit();
  // All that the process has written to stderr.  It is called after
  // WaitForExit().
  const std::string& error_output() const { return error_output_; }

  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int out_ = -1;
  int error_ = -1;
  std::optional<int> exit_status_;
  std::string output_;
  std::string error_output_;
};

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_TESTING_DAEMON_PROCESS_H_
