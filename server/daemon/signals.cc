#include "server/daemon/signals.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <initializer_list>
#include <utility>

#include "lib/base/status.h"
#include "server/handover/handover_clock.h"

namespace portreeve::server {
namespace {

// What one Ask() adds to the count of the eventfd, to which a Wake() adds 1.
constexpr eventfd_t kAsk = eventfd_t{1} << 32;

sigset_t SetOf(std::initializer_list<int> numbers) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : numbers) sigaddset(&set, number);
  return set;
}

}  // namespace

absl::StatusOr<Signals> Signals::Take() {
  for (const int ignored : {SIGPIPE, SIGUSR1, SIGXFSZ, SIGTTOU}) {
    signal(ignored, SIG_IGN);
  }
  const sigset_t commands = SetOf({SIGTERM, SIGINT, SIGHUP, SIGUSR2});
  pthread_sigmask(SIG_BLOCK, &commands, nullptr);
  Descriptor signals(signalfd(-1, &commands, SFD_CLOEXEC | SFD_NONBLOCK));
  Descriptor wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!signals.is_open() || !wake.is_open()) {
    return ErrnoError(errno, "open", "a descriptor for signals");
  }
  return Signals(std::move(signals), std::move(wake));
}

Signals::Signals(Descriptor signals, Descriptor wake)
    : signals_(std::move(signals)), wake_(std::move(wake)) {}

std::optional<int> Signals::Next() {
  for (;;) {
    // This comes first, so that signals that come without end hold up nothing.
    eventfd_t count = 0;
    (void)eventfd_read(wake_.get(), &count);
    if (count % kAsk != 0) {
      if (count >= kAsk) Ask();
      return std::nullopt;
    }
    if (count > 0) return kAsked;
    signalfd_siginfo signal{};
    if (read(signals_.get(), &signal, sizeof(signal)) ==
        static_cast<ssize_t>(sizeof(signal))) {
      return static_cast<int>(signal.ssi_signo);
    }
    pollfd either[] = {{signals_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    (void)poll(either, 2, -1);
  }
}

bool Signals::AwaitUnlessStopped(int fd, TimePoint deadline) {
  const sigset_t stops = SetOf({SIGTERM, SIGINT});
  // Without a descriptor for it they wait until the deadline.
  const Descriptor stop(signalfd(-1, &stops, SFD_CLOEXEC | SFD_NONBLOCK));
  std::array<pollfd, 2> either = {{{fd, POLLIN, 0}, {stop.get(), POLLIN, 0}}};
  (void)HandoverClock::System().Poll(either, deadline);
  return either[1].revents == 0;
}

std::optional<int> Signals::TakePending() {
  const sigset_t commands = SetOf({SIGTERM, SIGINT, SIGHUP});
  constexpr timespec kNow{};
  const int number = sigtimedwait(&commands, nullptr, &kNow);
  return number > 0 ? std::optional<int>(number) : std::nullopt;
}

void Signals::Ask() { (void)eventfd_write(wake_.get(), kAsk); }

void Signals::Wake() { (void)eventfd_write(wake_.get(), 1); }

}  // namespace portreeve::server
