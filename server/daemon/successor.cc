#include "server/daemon/successor.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status.h"
#include "lib/base/time_source.h"
#include "server/handover/handover_clock.h"
#include "server/handover/predecessor_policy.h"

namespace portreeve::server {
namespace {

constexpr char kVariable[] = "PORTREEVE_HANDOVER_FD";
constexpr int kChannel = 3;  // Its number in the process that is started.

// Gives the path by which this program was started.  It is not /proc/self/exe,
// which names the file that runs, also once another one is in its place.
std::string PathOfThis() {
  const auto* const name =
      reinterpret_cast<const char*>(getauxval(AT_EXECFN));  // NOLINT
  if (name == nullptr) return "/proc/self/exe";
  std::error_code error;
  const auto path = std::filesystem::absolute(name, error);
  return error ? std::string(name) : path.string();
}

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) {
    pointers.push_back(const_cast<char*>(text.c_str()));
  }
  pointers.push_back(nullptr);
  return pointers;
}

void AddVariable(const char* name, const std::optional<std::string>& value,
                 std::vector<std::string>& environment) {
  if (value) environment.push_back(absl::StrCat(name, "=", *value));
}

// The start of a process, which has the memory of this one until it is another
// program, while the thread that has made it waits.
class Start {
 public:
  Start(const Program& program, Descriptor channel, Descriptor ended,
        Parentage parentage)
      : program_(program),
        arguments_(Pointers(program_.arguments)),
        environment_(Pointers(program_.environment)),
        channel_(std::move(channel)),
        ended_(std::move(ended)),
        flags_(CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD |
               (parentage == Parentage::kSibling ? CLONE_PARENT : 0)),
        stack_(std::make_unique<char[]>(kStackBytes)) {}

  // Blocks until the process is another program, or has failed to become one.
  // Threads: one of its own.
  void Run() {
    // No handler of this process may run in the other one.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &signals_);
    pid_ = clone(&Become, stack_.get() + kStackBytes, flags_, this, &pidfd_);
    if (pid_ < 0) error_ = errno;
    if (state_.exchange(State::kEnded) == State::kGivenUp) {
      if (pid_ >= 0) End(HandoverPeer(pid_, Descriptor(pidfd_)));
      return;
    }
    (void)eventfd_write(ended_.get(), 1);
  }

  // Can be read once Run() has ended.
  int ended() const { return ended_.get(); }

  // Gives the process.  Where Run() has not ended, it kills that, and nobody
  // waits for Run() any more.
  absl::StatusOr<HandoverPeer> Take() {
    State running = State::kRunning;
    if (state_.compare_exchange_strong(running, State::kGivenUp)) {
      // The kernel gives it before the process runs.
      const int pidfd = pidfd_;
      if (pidfd >= 0) {
        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
      }
      return absl::DeadlineExceededError(
          absl::StrCat(program_.path, ": it does not begin to run"));
    }
    if (pid_ < 0) return ErrnoError(error_, "clone", program_.path);
    HandoverPeer peer(pid_, Descriptor(pidfd_));
    if (error_ == 0) return peer;
    End(std::move(peer));
    return ErrnoError(error_, "execve", program_.path);
  }

  static void End(HandoverPeer peer) {
    (void)peer.Kill();
    (void)peer.AwaitDeath(
        HandoverClock::System(),
        After(std::chrono::steady_clock::now(), PredecessorPolicy::kMostDying));
  }

 private:
  static constexpr size_t kStackBytes = 64 << 10;
  enum class State { kRunning, kEnded, kGivenUp };

  // The new process: it may call nothing that takes memory, or a lock.
  __attribute__((no_sanitize("address", "thread"))) static int Become(
      void* argument) {
    Start& start = *static_cast<Start*>(argument);
    if (dup2(start.channel_.get(), kChannel) == kChannel &&
        syscall(SYS_close_range, kChannel + 1, ~0U, 0) == 0) {
      pthread_sigmask(SIG_SETMASK, &start.signals_, nullptr);
      execve(start.program_.path.c_str(), start.arguments_.data(),
             start.environment_.data());
    }
    start.error_ = errno;
    _exit(127);
  }

  const Program program_;
  const std::vector<char*> arguments_;
  const std::vector<char*> environment_;
  const Descriptor channel_;  // The process's end; not kChannel.
  const Descriptor ended_;    // An eventfd.
  const int flags_;
  const std::unique_ptr<char[]> stack_;
  sigset_t signals_{};  // Those that are blocked in the process.
  pid_t pid_ = -1;
  volatile int pidfd_ = -1;
  volatile int error_ = 0;  // Of clone(2), or of execve(2).
  std::atomic<State> state_ = State::kRunning;
};

absl::StatusOr<HandoverPeer> Spawn(const Program& program, Descriptor channel,
                                   Parentage parentage,
                                   const std::function<bool(int)>& wait) {
  Descriptor ended(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!ended.is_open()) return ErrnoError(errno, "eventfd", "the hand-over");
  const auto start = std::make_shared<Start>(program, std::move(channel),
                                             std::move(ended), parentage);
  try {
    std::thread([start] { start->Run(); }).detach();
  } catch (const std::system_error& error) {
    return ErrnoError(error.code().value(), "start a thread", "the hand-over");
  }
  (void)wait(start->ended());
  return start->Take();
}

}  // namespace

Program Program::OfThis(int argc, const char* const* argv,
                        const NotifyVariables& notify) {
  Program program;
  program.path = PathOfThis();
  program.arguments.assign(argv, argv + argc);
  for (char** entry = environ; *entry != nullptr; ++entry) {
    program.environment.emplace_back(*entry);
  }
  AddVariable("NOTIFY_SOCKET", notify.socket, program.environment);
  // It holds for whichever process is the main one.
  AddVariable("WATCHDOG_USEC", notify.watchdog_usec, program.environment);
  program.environment.push_back(absl::StrCat(kVariable, "=", kChannel));
  return program;
}

absl::StatusOr<std::optional<Descriptor>> TakeHandoverDescriptor() {
  const char* const text = std::getenv(kVariable);
  if (text == nullptr) return std::optional<Descriptor>();
  int number = -1;
  const bool is_number = absl::SimpleAtoi(text, &number) && number > 2 &&
                         fcntl(number, F_SETFD, FD_CLOEXEC) == 0;
  const std::string value = text;
  unsetenv(kVariable);
  if (!is_number) {
    return absl::InvalidArgumentError(absl::StrCat(
        kVariable, "=", value, ": there is no such open descriptor"));
  }
  return std::optional<Descriptor>(Descriptor(number));
}

absl::StatusOr<Successor> StartSuccessor(const Program& program,
                                         Parentage parentage,
                                         const std::function<bool(int)>& wait) {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoError(errno, "socketpair", "the hand-over");
  }
  Descriptor ours(ends[0]);
  Descriptor theirs(ends[1]);
  // Where it has that number already, it would keep CLOEXEC.
  if (theirs.get() == kChannel) {
    theirs = Descriptor(fcntl(kChannel, F_DUPFD_CLOEXEC, kChannel + 1));
    if (!theirs.is_open()) return ErrnoError(errno, "dup", "the hand-over");
  }
  auto peer = Spawn(program, std::move(theirs), parentage, wait);
  if (!peer.ok()) return peer.status();
  auto channel = HandoverChannel::Open(std::move(ours));
  if (channel.ok()) return Successor{*std::move(channel), *std::move(peer)};
  Start::End(*std::move(peer));
  return channel.status();
}

}  // namespace portreeve::server
