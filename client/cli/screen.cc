#include "client/cli/screen.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"

namespace portreeve::cli {
namespace {

// Another screen beside the one that there is, without a cursor; and back.
constexpr char kEnter[] = "\x1b[?1049h\x1b[?25l";
constexpr char kLeave[] = "\x1b[?25h\x1b[?1049l";
// The first place; the rest of the line, and of the screen, is empty.
constexpr char kHome[] = "\x1b[H";
constexpr char kEndOfLine[] = "\x1b[K\r\n";
constexpr char kEndOfScreen[] = "\x1b[K\x1b[J";

// What ends a program that does not handle it.  Not SIGTTIN and SIGTTOU, which
// come where the terminal is another's.
constexpr int kEnding[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGILL,  SIGTRAP, SIGABRT,
                           SIGBUS,  SIGFPE,  SIGUSR1, SIGSEGV, SIGUSR2, SIGPIPE,
                           SIGALRM, SIGTERM, SIGXCPU, SIGXFSZ, SIGSYS};

// Signal handlers may call it.
bool WriteAll(int fd, absl::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      pollfd writable{fd, POLLOUT, 0};
      (void)poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

// Has a signal do what it does by default.
void SetDefault(int number) {
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  sigaction(number, &action, nullptr);
}

}  // namespace

std::atomic<Screen*> Screen::current_ = nullptr;

Screen::Screen(int input, int output)
    : input_(input),
      output_(output),
      news_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  has_terminal_ = tcgetattr(input_, &before_) == 0;
  raw_ = before_;
  // Ctrl-C stays a signal.
  raw_.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  raw_.c_cc[VMIN] = 1;
  raw_.c_cc[VTIME] = 0;
  current_ = this;
  for (const int number : kEnding) Handle(number, &OnEnd);
  Handle(SIGTSTP, &OnStop);
  Handle(SIGCONT, &OnContinue);
  Handle(SIGWINCH, &OnResize);
  Enter();
}

Screen::~Screen() {
  is_over_ = true;
  // As long as it is not given back, signals give it back.
  Leave();
  for (const auto& [number, action] : actions_before_) {
    sigaction(number, &action, nullptr);
  }
  current_ = nullptr;
}

void Screen::Handle(int number, void (*handler)(int)) {
  struct sigaction before = {};
  sigaction(number, nullptr, &before);
  // What is ignored stays so, and what others handle stays theirs.
  if (before.sa_handler != SIG_DFL) return;
  actions_before_.emplace_back(number, before);
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigfillset(&action.sa_mask);
  sigaction(number, &action, nullptr);
}

bool Screen::IsInBackground() const {
  const pid_t foreground = tcgetpgrp(input_);
  return foreground > 0 && foreground != getpgrp();
}

void Screen::Enter() {
  if (is_over_ || IsInBackground()) return;
  if (has_terminal_) tcsetattr(input_, TCSANOW, &raw_);
  if (!is_entered_.exchange(true)) WriteAll(output_, kEnter);
}

void Screen::Leave() {
  if (!is_entered_.exchange(false)) return;
  WriteAll(output_, kLeave);
  if (has_terminal_ && !IsInBackground()) {
    tcsetattr(input_, TCSANOW, &before_);
  }
}

void Screen::OnEnd(int number) {
  if (Screen* const screen = current_) screen->Leave();
  SetDefault(number);
  (void)raise(number);  // It comes when this handler has returned.
}

void Screen::OnStop(int number) {
  const int error = errno;
  if (Screen* const screen = current_) screen->Leave();
  struct sigaction handled = {};
  sigaction(number, nullptr, &handled);
  SetDefault(number);
  (void)raise(number);
  sigset_t set;
  sigset_t blocked;
  sigemptyset(&set);
  sigaddset(&set, number);
  pthread_sigmask(SIG_UNBLOCK, &set, &blocked);  // Here it stops.
  pthread_sigmask(SIG_SETMASK, &blocked, nullptr);
  sigaction(number, &handled, nullptr);
  // Where nobody is there to continue it, it was not stopped either.
  OnContinue(SIGCONT);
  errno = error;
}

void Screen::OnContinue(int) {
  const int error = errno;
  if (Screen* const screen = current_) {
    screen->Enter();
    screen->Wake();
  }
  errno = error;
}

void Screen::OnResize(int) {
  const int error = errno;
  if (const Screen* const screen = current_) screen->Wake();
  errno = error;
}

bool Screen::Show(const std::vector<std::string>& lines) const {
  if (!is_entered_) return true;
  return WriteAll(output_, absl::StrCat(kHome, absl::StrJoin(lines, kEndOfLine),
                                        kEndOfScreen));
}

void Screen::ReadSize(size_t& columns, size_t& rows) const {
  winsize size{};
  const bool known = ioctl(output_, TIOCGWINSZ, &size) == 0 &&
                     size.ws_col > 0 && size.ws_row > 0;
  columns = known ? size.ws_col : 80;
  rows = known ? size.ws_row : 24;
}

bool Screen::Await(std::string& typed) const {
  typed.clear();
  pollfd either[] = {{input_, POLLIN, 0}, {news_.get(), POLLIN, 0}};
  while (poll(either, 2, -1) < 0) {
    if (errno != EINTR) return false;
  }
  uint64_t count = 0;
  (void)!read(news_.get(), &count, sizeof count);
  if (either[0].revents == 0) return true;
  char bytes[256];
  const ssize_t n = read(input_, bytes, sizeof bytes);
  if (n > 0) typed.assign(bytes, static_cast<size_t>(n));
  return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

void Screen::Wake() const {
  constexpr uint64_t kOne = 1;
  (void)!write(news_.get(), &kOne, sizeof kOne);
}

}  // namespace portreeve::cli
