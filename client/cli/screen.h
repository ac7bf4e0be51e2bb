// Screen: a terminal as a whole, for a verb that draws on it.
#ifndef PORTREEVE_CLIENT_CLI_SCREEN_H_
#define PORTREEVE_CLIENT_CLI_SCREEN_H_

#include <signal.h>
#include <termios.h>

#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/descriptor.h"

namespace portreeve::cli {

// While a Screen lives, keys are read as they are typed and not shown, and what
// was on the terminal waits beneath.  There may be one at a time.
//
// The terminal is given back as it was before a signal ends or stops the
// process, unless that is ignored or another's, and taken again when the
// process goes on in the foreground.
//
// Threads: one; Wake(): any.
class Screen {
 public:
  // `input` and `output` are terminals.
  Screen(int input, int output);
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  ~Screen();  // Gives the terminal back as it was.

  // Shows `lines` in place of all that there is, unless the terminal is
  // another's for now.  False: it cannot be written.
  bool Show(const std::vector<std::string>& lines) const;

  // Columns and rows; those of a common terminal where it does not say.
  void ReadSize(size_t& columns, size_t& rows) const;

  // Waits until something was typed, the size has changed, or Wake() was
  // called.  Gives what was typed; false where nobody will type any more.
  bool Await(std::string& typed) const;
  // Threads: any, and signal handlers.
  void Wake() const;

 private:
  static void OnEnd(int number);
  static void OnStop(int number);
  static void OnContinue(int number);
  static void OnResize(int number);

  // Has `handler` called where the signal does what it does by default.
  void Handle(int number, void (*handler)(int));

  // Signal handlers may call these.
  bool IsInBackground() const;
  void Enter();
  void Leave();

  static std::atomic<Screen*> current_;

  const int input_;
  const int output_;
  const Descriptor news_;
  bool has_terminal_ = false;
  termios before_{};
  termios raw_{};
  std::vector<std::pair<int, struct sigaction>> actions_before_;
  std::atomic<bool> is_entered_ = false;  // The terminal is this one's.
  std::atomic<bool> is_over_ = false;     // It is not taken again.
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_SCREEN_H_
