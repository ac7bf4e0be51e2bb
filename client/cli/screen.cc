#include "client/cli/screen.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace portreeve::cli {
namespace {

// Another screen beside the one that there is, without a cursor; and back.
constexpr char kEnter[] = "\x1b[?1049h\x1b[?25l";
constexpr char kLeave[] = "\x1b[?25h\x1b[?1049l";
// The first place; the rest of the line, and of the screen, is empty.
constexpr char kHome[] = "\x1b[H";
constexpr char kEndOfLine[] = "\x1b[K\r\n";
constexpr char kEndOfScreen[] = "\x1b[K\x1b[J";

bool WriteAll(int fd, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = write(fd, text.data() + done, text.size() - done);
    if (n >= 0) {
      done += static_cast<size_t>(n);
    } else if (errno == EAGAIN) {
      pollfd writable{fd, POLLOUT, 0};
      (void)poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace

const Screen* Screen::current_ = nullptr;

Screen::Screen(int input, int output)
    : input_(input),
      output_(output),
      news_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  has_terminal_ = tcgetattr(input_, &before_) == 0;
  if (has_terminal_) {
    termios raw = before_;
    // Ctrl-C stays a signal.
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    tcsetattr(input_, TCSANOW, &raw);
  }
  current_ = this;
  struct sigaction action = {};
  action.sa_handler = &OnResize;
  action.sa_flags = SA_RESTART;
  sigaction(SIGWINCH, &action, &resize_before_);
  WriteAll(output_, kEnter);
}

Screen::~Screen() {
  sigaction(SIGWINCH, &resize_before_, nullptr);
  current_ = nullptr;
  WriteAll(output_, kLeave);
  if (has_terminal_) tcsetattr(input_, TCSANOW, &before_);
}

void Screen::OnResize(int) {
  const int error = errno;
  if (current_ != nullptr) current_->Wake();
  errno = error;
}

bool Screen::Show(const std::vector<std::string>& lines) const {
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
