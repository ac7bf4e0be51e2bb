#include "server/daemon/inherited.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cstdint>
#include <utility>
#include <variant>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "lib/net/given_socket.h"
#include "server/api/names.h"
#include "server/daemon/control_address.h"
#include "server/daemon/taken_variable.h"

namespace portreeve::server {
namespace {

constexpr int kFirst = 3;  // SD_LISTEN_FDS_START
// More than a process may have.
constexpr int64_t kMost = 1 << 20;
constexpr char kControl[] = "control";
constexpr char kListenerPrefix[] = "listener-";
constexpr char kNoName[] = "unknown";  // So does sd_listen_fds_with_names(3).

absl::Status Wrong(const PassedDescriptor& passed, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat("LISTEN_FDS: descriptor ",
                                                 passed.number, " (",
                                                 passed.name, ") ", message));
}

absl::Status WrongControl(const InheritedSockets::Control& control,
                          absl::string_view message) {
  return Wrong({control.socket.get(), kControl},
               absl::StrCat("at ", ToString(control.address), ": ", message));
}

template <AddressKind A>
absl::StatusOr<InheritedSockets::Control> CheckOfKind(
    const PassedDescriptor& passed) {
  auto given = GivenSocket::Check<A>(Descriptor(passed.number),
                                     GivenSocket::Use::kListen);
  if (!given.ok()) {
    return Wrong(passed,
                 absl::StripPrefix(absl::string_view(given.status().message()),
                                   "socket: "));
  }
  if (!given->is_listening()) {
    return Wrong(passed, "must be listening, but is not");
  }
  const AnyAddress address = given->address();
  auto socket = std::move(*given).Take();
  if (!socket.ok()) return Wrong(passed, socket.status().message());
  return InheritedSockets::Control{address, *std::move(socket)};
}

absl::StatusOr<InheritedSockets::Control> Check(
    const PassedDescriptor& passed) {
  int family = 0;
  socklen_t size = sizeof family;
  (void)getsockopt(passed.number, SOL_SOCKET, SO_DOMAIN, &family, &size);
  return family == AF_UNIX ? CheckOfKind<Unix>(passed)
                           : CheckOfKind<Inet>(passed);
}

// Gives the id in a name "listener-ID"; "" where it is no such name.
std::string ListenerIdOf(absl::string_view name) {
  if (!absl::ConsumePrefix(&name, kListenerPrefix)) return "";
  return IsListenerId(name) ? std::string(name) : "";
}

}  // namespace

ListenVariables ListenVariables::Take() {
  ListenVariables variables;
  variables.pid = TakeVariable("LISTEN_PID");
  variables.fds = TakeVariable("LISTEN_FDS");
  variables.names = TakeVariable("LISTEN_FDNAMES");
  return variables;
}

absl::StatusOr<std::vector<PassedDescriptor>> ParseListenVariables(
    const ListenVariables& variables, pid_t self) {
  std::vector<PassedDescriptor> passed;
  if (!variables.pid || !variables.fds) return passed;
  int64_t pid = 0;
  if (!absl::SimpleAtoi(*variables.pid, &pid) || pid < 1) {
    return WrongVariable("LISTEN_PID", *variables.pid,
                         "expected the number of a process");
  }
  if (pid != self) return passed;
  int64_t count = 0;
  if (!absl::SimpleAtoi(*variables.fds, &count) || count < 0 || count > kMost) {
    return WrongVariable("LISTEN_FDS", *variables.fds,
                         absl::StrCat("expected a number from 0 to ", kMost));
  }
  std::vector<std::string> names(static_cast<size_t>(count), kNoName);
  if (variables.names && count > 0) {
    names = absl::StrSplit(*variables.names, ':');
    if (names.size() != static_cast<size_t>(count)) {
      return WrongVariable(
          "LISTEN_FDNAMES", *variables.names,
          absl::StrCat("expected ", count,
                       " names, as many as LISTEN_FDS says, but "
                       "there are ",
                       names.size()));
    }
  }
  for (size_t i = 0; i < names.size(); ++i) {
    passed.push_back({kFirst + static_cast<int>(i), std::move(names[i])});
  }
  return passed;
}

absl::StatusOr<InheritedSockets> InheritedSockets::Take(
    const ListenVariables& variables, pid_t self) {
  const auto passed = ParseListenVariables(variables, self);
  if (!passed.ok()) return passed.status();
  // All of them first: what follows must not take the number of one that is
  // closed.
  for (const PassedDescriptor& descriptor : *passed) {
    if (fcntl(descriptor.number, F_SETFD, FD_CLOEXEC) != 0) {
      return Wrong(descriptor, "is not open");
    }
  }
  InheritedSockets inherited;
  for (const PassedDescriptor& descriptor : *passed) {
    const std::string id = ListenerIdOf(descriptor.name);
    const bool is_control = descriptor.name == kControl;
    if (!is_control && id.empty()) {
      (void)Descriptor(descriptor.number);
      inherited.unknown.push_back(descriptor);
      continue;
    }
    auto checked = Check(descriptor);
    if (!checked.ok()) return checked.status();
    if (is_control) {
      inherited.control.push_back(*std::move(checked));
    } else {
      inherited.listeners.Add(
          {id, std::move(checked->address), std::move(checked->socket)});
    }
  }
  return inherited;
}

absl::StatusOr<ControlSockets> AssignControl(
    std::vector<InheritedSockets::Control> sockets, Flags& flags) {
  ControlSockets assigned;
  if (sockets.empty()) return assigned;
  if (!flags.has_control) flags.control.clear();
  for (InheritedSockets::Control& control : sockets) {
    size_t place = 0;
    while (place < flags.control.size() &&
           (flags.control[place].address != control.address ||
            assigned.count(place) > 0)) {
      ++place;
    }
    if (place == flags.control.size()) {
      if (flags.has_control) {
        return WrongControl(control,
                            "no --control names this address; leave --control "
                            "out, or give it with each of the addresses");
      }
      flags.control.push_back({control.address});
    }
    if (!IsLocal(control.address) && !flags.tls && !flags.insecure) {
      return WrongControl(
          control,
          "other machines reach this address, and nothing would protect it; "
          "give --tls-cert, --tls-key and --tls-client-ca, or say --insecure "
          "if that is meant");
    }
    assigned.emplace(place, std::move(control.socket));
  }
  return assigned;
}

}  // namespace portreeve::server
