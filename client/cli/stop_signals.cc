#include "client/cli/stop_signals.h"

#include <poll.h>

#include <cerrno>
#include <utility>

namespace portreeve::cli {

const Wake* StopSignals::signalled_ = nullptr;
std::atomic<int> StopSignals::number_ = 0;
struct sigaction StopSignals::interrupt_ = {};
struct sigaction StopSignals::terminate_ = {};

StopSignals::StopSignals(std::function<void()> on_stop)
    : thread_([this, on_stop = std::move(on_stop)] { Watch(on_stop); }) {
  signalled_ = &asked_;
  struct sigaction action = {};
  action.sa_handler = &OnSignal;
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, nullptr, &interrupt_);
  sigaction(SIGTERM, nullptr, &terminate_);
  if (interrupt_.sa_handler != SIG_IGN) sigaction(SIGINT, &action, nullptr);
  if (terminate_.sa_handler != SIG_IGN) sigaction(SIGTERM, &action, nullptr);
}

StopSignals::~StopSignals() {
  sigaction(SIGINT, &interrupt_, nullptr);
  sigaction(SIGTERM, &terminate_, nullptr);
  over_.Set();
  thread_.join();
}

void StopSignals::OnSignal(int number) {
  const int error = errno;
  sigaction(SIGINT, &interrupt_, nullptr);
  sigaction(SIGTERM, &terminate_, nullptr);
  number_ = number;
  signalled_->Set();
  errno = error;
}

void StopSignals::Watch(const std::function<void()>& on_stop) {
  pollfd either[] = {{asked_.descriptor(), POLLIN, 0},
                     {over_.descriptor(), POLLIN, 0}};
  while (poll(either, 2, -1) < 0) {
    // Interrupted, by the signal perhaps.
  }
  if (either[0].revents == 0) return;
  stopped_by_ = number_.load();
  on_stop();
}

}  // namespace portreeve::cli
