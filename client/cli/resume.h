// Resume: brings a verb's stream back that broke.
#ifndef PORTREEVE_CLIENT_CLI_RESUME_H_
#define PORTREEVE_CLIENT_CLI_RESUME_H_

#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/call_options.h"
#include "client/cli/notes.h"
#include "client/cli/session.h"
#include "client/retry.h"
#include "google/protobuf/duration.pb.h"

namespace CLI {
class App;
}  // namespace CLI

namespace portreeve::cli {

// What a verb whose stream comes back takes.
struct ResumeFlags {
  absl::Duration retry_for = absl::InfiniteDuration();
  // Unset: no progress is asked for.
  std::optional<google::protobuf::Duration> progress_interval;

  ResumeFlags();
  // `this` must outlive the parsing.
  void AddTo(CLI::App& verb);
  // The same without progress, for a stream that is never silent.
  void AddRetryFor(CLI::App& verb);
};

// Waits between the tries and says what goes on.  The first try must succeed:
// whoever has mistyped the address wants to know it.
//
// Threads: one; Stop() and Call(): any.
class Resume {
 public:
  // What it is made of must outlive it.  --timeout counts from now.
  Resume(const ResumeFlags& flags, const Session& session, Notes& notes);

  // Gives the options of the next try: what is left of --timeout.
  client::CallOptions Call() const;

  // The stream counts; `where` says where it goes on, if it broke before.
  void OnStart(const std::string& where);
  bool has_started() const { return has_started_; }

  // The stream has ended with `why`, or could not be started.  Gives OK where
  // it is to be tried now, after a wait, and else what the verb ends with: what
  // is no loss of the daemon, or what is and has lasted for --retry-for.  Where
  // the daemon has moved to another process, the first try comes at once, and
  // nothing is said if one of the first few succeeds.
  absl::Status AwaitNext(const absl::Status& why);

  // Ends the wait, with CANCELLED, and all to come.  Idempotent.
  void Stop();

  // Whether `status` is that --timeout has passed.  What is on the way may end
  // a stream with the same status for a limit of its own.
  bool IsTimeout(const absl::Status& status) const;

 private:
  // Whether this is the end of one process whose next one is there.
  bool IsMoving(const absl::Status& why);
  // What is left of --timeout.
  absl::Duration Left() const;
  void SayOnce(const std::string& text);

  const Session& session_;
  Notes& notes_;
  const std::chrono::steady_clock::time_point began_;
  client::Retry retry_;
  std::mt19937_64 random_{std::random_device()()};
  bool has_started_ = false;
  int moves_ = 0;     // Tries since the daemon has moved; 0: it has not.
  std::string said_;  // Why it broke; empty while it has not.
  absl::Mutex stop_mutex_;
  bool stopped_ ABSL_GUARDED_BY(stop_mutex_) = false;
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_RESUME_H_
