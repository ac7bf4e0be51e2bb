// Screen: a terminal as a whole, for a verb that draws on it.
#ifndef PORTREEVE_CLIENT_CLI_SCREEN_H_
#define PORTREEVE_CLIENT_CLI_SCREEN_H_

#include <signal.h>
#include <termios.h>

#include <string>
#include <vector>

#include "client/cli/descriptor.h"

namespace portreeve::cli {

// While a Screen lives, keys are read as they are typed and not shown, and what
// was on the terminal waits beneath.  There may be one at a time.
//
// Threads: one; what News() gives, any may write to.
class Screen {
 public:
  // `input` and `output` are terminals.
  Screen(int input, int output);
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  ~Screen();  // Gives the terminal back as it was.

  // Shows `lines` in place of all that there is.  False: it cannot be written.
  bool Show(const std::vector<std::string>& lines) const;

  // Columns and rows; those of a common terminal where it does not say.
  void ReadSize(size_t& columns, size_t& rows) const;

  // Waits until something was typed, the size has changed, or Wake() was
  // called.  Gives what was typed; false where nobody will type any more.
  bool Await(std::string& typed) const;
  // Threads: any, and signal handlers.
  void Wake() const;

 private:
  static void OnResize(int number);
  static const Screen* current_;

  const int input_;
  const int output_;
  const Descriptor news_;
  termios before_{};
  bool has_terminal_ = false;
  struct sigaction resize_before_ = {};
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_SCREEN_H_
