// StopSignals: turns Ctrl-C and SIGTERM into a call.
#ifndef PORTREEVE_CLIENT_CLI_STOP_SIGNALS_H_
#define PORTREEVE_CLIENT_CLI_STOP_SIGNALS_H_

#include <signal.h>

#include <atomic>
#include <functional>
#include <thread>

#include "client/cli/wake.h"

namespace portreeve::cli {

// While a StopSignals lives, the first SIGINT or SIGTERM has `on_stop` called,
// once, on a thread of its own; a second signal does what it did before.  A
// signal that the process ignores stays ignored.  There may be one StopSignals
// at a time.
class StopSignals {
 public:
  explicit StopSignals(std::function<void()> on_stop);
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  // Waits for an `on_stop` that has begun.
  ~StopSignals();

  // Whether `on_stop` has been called, or is being called now.
  bool stopped() const { return stopped_by() != 0; }
  // The signal that has had it called; 0 before.
  int stopped_by() const { return stopped_by_; }

 private:
  static void OnSignal(int number);

  void Watch(const std::function<void()>& on_stop);

  // For OnSignal: what it sets, which signal it was, and the signals' actions
  // as they were before.
  static const Wake* signalled_;
  static std::atomic<int> number_;
  static struct sigaction interrupt_;
  static struct sigaction terminate_;

  const Wake asked_;
  const Wake over_;
  std::atomic<int> stopped_by_ = 0;
  std::thread thread_;
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_STOP_SIGNALS_H_
