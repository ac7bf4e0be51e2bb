// CliProcess: a portreeve of its own for a test.
#ifndef PORTREEVE_TESTS_INTEGRATION_CLI_PROCESS_H_
#define PORTREEVE_TESTS_INTEGRATION_CLI_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace portreeve::testing {

// Starts //client:portreeve, which the test has among its `data`.  Every wait
// has a deadline; the destructor kills the process and collects it.
class CliProcess {
 public:
  static constexpr std::chrono::seconds kDeadline{30};

  // Stdin has `input` and ends then.  `arguments` begin with the verb.
  explicit CliProcess(const std::vector<std::string>& arguments,
                      const std::string& input = "");
  CliProcess(const CliProcess&) = delete;
  CliProcess& operator=(const CliProcess&) = delete;
  ~CliProcess();

  // Reads stderr until it contains `text`; false if it ends before.
  bool WaitForNote(const std::string& text);

  void Signal(int number);
  // The status that it exits with; 128 + N if signal N ended it.
  int WaitForExit();

  // After WaitForExit().
  std::string output() const;
  const std::string& notes() const { return notes_; }

 private:
  // False at its end.
  bool ReadNotes();

  pid_t pid_ = -1;
  int output_ = -1;  // A file.
  int error_ = -1;   // A pipe.
  std::optional<int> exit_status_;
  std::string notes_;
};

// Runs one to its end.
struct CliResult {
  int exit_status = -1;
  std::string output;
  std::string notes;
};
CliResult RunCli(const std::vector<std::string>& arguments,
                 const std::string& input = "");

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_INTEGRATION_CLI_PROCESS_H_
