// Notes: writes what a verb reports on stderr while it runs.
#ifndef PORTREEVE_CLIENT_CLI_NOTES_H_
#define PORTREEVE_CLIENT_CLI_NOTES_H_

#include <ostream>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "client/cli/printable.h"

namespace portreeve::cli {

// Threads: any, at the same time.
class Notes {
 public:
  // `err` must outlive this, and nobody else may use it meanwhile.
  Notes(const std::string& verb, std::ostream& err)
      : prefix_("portreeve: " + verb + ": "), err_(err) {}

  // Writes one line; `text` is without its end.
  void Say(const std::string& text) {
    absl::MutexLock lock(&mutex_);
    err_ << prefix_ + Printable(text) + "\n" << std::flush;
  }

 private:
  const std::string prefix_;
  absl::Mutex mutex_;
  std::ostream& err_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_NOTES_H_
