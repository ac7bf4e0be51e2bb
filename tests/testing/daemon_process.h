// DaemonProcess: a portreeved of its own for a test.
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

  // Whether its stderr, a pipe, takes lines before somebody reads it.
  enum class Stderr { kEmpty, kFull };

  // Does not wait for it.  Without a --control among `arguments` it gets one on
  // a port of the OS.
  explicit DaemonProcess(std::vector<std::string> arguments = {},
                         Stderr error = Stderr::kEmpty);
  DaemonProcess(const DaemonProcess&) = delete;
  DaemonProcess& operator=(const DaemonProcess&) = delete;
  ~DaemonProcess();

  // Reads stdout until "ready": true; false if the process ended before.
  bool WaitUntilReady();

  // What stands after `prefix` in the lines of stdout that begin with it, such
  // as "control " or "listener ".  After WaitUntilReady().
  std::vector<std::string> Printed(const std::string& prefix) const;

  // The first control address as gRPC takes it.
  std::string Target() const;
  // The port of the listener number `index` in the order of --listen.
  int ListenerPort(size_t index) const;

  // Reads stderr until a line is complete that has `text` in it: that line; ""
  // if the process ended before.
  std::string WaitForErrorLine(const std::string& text);

  // Reads what it has written to stderr until now, so that the pipe does not
  // fill.
  void TakeErrors();

  void Signal(int number);
  // The status that it exits with; 128 + N if signal N ended it.
  int WaitForExit();
  // All that it has written to stderr.  After WaitForExit().
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
