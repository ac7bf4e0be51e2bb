#include "server/daemon/successor.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

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

absl::StatusOr<Successor> StartSuccessor(const Program& program) {
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
  posix_spawn_file_actions_t actions;
  if (const int error = posix_spawn_file_actions_init(&actions); error != 0) {
    return ErrnoError(error, "posix_spawn", program.path);
  }
  const absl::Cleanup destroy = [&] {
    posix_spawn_file_actions_destroy(&actions);
  };
  int error =
      posix_spawn_file_actions_adddup2(&actions, theirs.get(), kChannel);
  if (error == 0) {
    error = posix_spawn_file_actions_addclosefrom_np(&actions, kChannel + 1);
  }
  pid_t pid = -1;
  if (error == 0) {
    error = posix_spawn(&pid, program.path.c_str(), &actions, nullptr,
                        Pointers(program.arguments).data(),
                        Pointers(program.environment).data());
  }
  if (error != 0) return ErrnoError(error, "posix_spawn", program.path);
  theirs = Descriptor();
  auto peer = HandoverPeer::Open(pid);
  auto channel = HandoverChannel::Open(std::move(ours));
  if (peer.ok() && channel.ok()) {
    return Successor{*std::move(channel), *std::move(peer)};
  }
  // It ends by itself, for it has no channel.
  (void)waitpid(pid, nullptr, 0);
  return peer.ok() ? channel.status() : peer.status();
}

}  // namespace portreeve::server
