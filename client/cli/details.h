// Details: all about one listener, for a screen.
#ifndef PORTREEVE_CLIENT_CLI_DETAILS_H_
#define PORTREEVE_CLIENT_CLI_DETAILS_H_

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "client/canceller.h"
#include "client/cli/session.h"

namespace portreeve::cli {

// Asks the daemon on a thread of its own, so that nobody else waits for it.
//
// Threads: one.
class Details {
 public:
  // `session` must outlive this.  `on_news` is called on that thread once there
  // is more to show.
  Details(const std::string& name, const Session& session,
          std::function<void()> on_news);
  Details(const Details&) = delete;
  Details& operator=(const Details&) = delete;
  // Gives up asking.
  ~Details();

  // Gives the lines of a screen, none wider than it.
  std::vector<std::string> Lines(size_t columns, size_t rows) const;

 private:
  void Ask();

  const std::string name_;
  Session session_;
  const std::function<void()> on_news_;
  client::Canceller canceller_;
  mutable absl::Mutex mutex_;
  // What the daemon has said; nothing before.
  std::optional<absl::StatusOr<std::string>> text_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_DETAILS_H_
