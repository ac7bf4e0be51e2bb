#include "server/daemon/signals.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "lib/base/status.h"

namespace portreeve::server {

absl::StatusOr<Signals> Signals::Take() {
  for (const int ignored : {SIGPIPE, SIGUSR1, SIGXFSZ, SIGTTOU}) {
    signal(ignored, SIG_IGN);
  }
  sigset_t commands;
  sigemptyset(&commands);
  for (const int command : {SIGTERM, SIGINT, SIGHUP, SIGUSR2}) {
    sigaddset(&commands, command);
  }
  pthread_sigmask(SIG_BLOCK, &commands, nullptr);
  Descriptor signals(signalfd(-1, &commands, SFD_CLOEXEC | SFD_NONBLOCK));
  Descriptor wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  Descriptor ask(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!signals.is_open() || !wake.is_open() || !ask.is_open()) {
    return ErrnoError(errno, "open", "a descriptor for signals");
  }
  return Signals(std::move(signals), std::move(wake), std::move(ask));
}

Signals::Signals(Descriptor signals, Descriptor wake, Descriptor ask)
    : signals_(std::move(signals)),
      wake_(std::move(wake)),
      ask_(std::move(ask)) {}

std::optional<int> Signals::Next() {
  for (;;) {
    // This comes first, so that signals that come without end hold up nothing.
    eventfd_t count;
    if (eventfd_read(wake_.get(), &count) == 0) return std::nullopt;
    signalfd_siginfo signal{};
    if (read(signals_.get(), &signal, sizeof(signal)) ==
        static_cast<ssize_t>(sizeof(signal))) {
      return static_cast<int>(signal.ssi_signo);
    }
    if (eventfd_read(ask_.get(), &count) == 0) return kAsked;
    pollfd any[] = {{signals_.get(), POLLIN, 0},
                    {wake_.get(), POLLIN, 0},
                    {ask_.get(), POLLIN, 0}};
    (void)poll(any, 3, -1);
  }
}

void Signals::Ask() { (void)eventfd_write(ask_.get(), 1); }

void Signals::Wake() { (void)eventfd_write(wake_.get(), 1); }

}  // namespace portreeve::server
