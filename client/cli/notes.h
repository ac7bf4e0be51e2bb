// What a verb tells on stderr while it runs.
#ifndef PORTREEVE_CLIENT_CLI_NOTES_H_
#define PORTREEVE_CLIENT_CLI_NOTES_H_

#include <mutex>
#include <ostream>
#include <string>
#include <utility>

#include "client/cli/printable.h"

namespace portreeve::cli {

// Threads: any, at the same time.
class Notes {
 public:
  // `err` outlives this, and is its own while it lives.
  Notes(const std::string& verb, std::ostream& err)
      : prefix_("portreeve: " + verb + ": "), err_(err) {}

  // One line, without its end.
  void Say(const std::string& text) {
    std::lock_guard lock(mutex_);
    err_ << prefix_ + Printable(text) + "\n" << std::flush;
  }

 private:
  const std::string prefix_;
  std::mutex mutex_;
  std::ostream& err_;  // Guarded by mutex_.
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_NOTES_H_
