#include "server/daemon/start_log.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "command_line/version.h"
#include "lib/base/log.h"

namespace portreeve::server {
namespace {

bool IsTcp(const AnyAddress& address) {
  return std::holds_alternative<Inet::Address>(address);
}

// Whether it is the file of a unix socket to which everybody may write.
bool EveryUserMayOpen(const AnyAddress& address) {
  const auto* const name = std::get_if<Unix::Address>(&address);
  struct stat file;
  return name != nullptr && !IsAbstract(name->path()) &&
         stat(name->path().c_str(), &file) == 0 &&
         (file.st_mode & S_IWOTH) != 0;
}

void WarnOfEveryUser(const char* place, const char* what,
                     const AnyAddress& address, const Policy& policy) {
  Log(LogLevel::kWarning,
      absl::StrCat(place, " ", ToString(address),
                   ": every user of this machine may ", what, " by ",
                   policy.has_unix_identities()
                       ? "it, though the policy names users or groups, who are "
                         "known on unix sockets only"
                       : "this socket (its mode; systemd: SocketMode=0600)"));
}

}  // namespace

void PrintLine(std::FILE* out, const std::string& line) {
  std::fprintf(out, "portreeved: %s\n", line.c_str());
  std::fflush(out);
}

void PrintLineIfTaken(std::FILE* out, const std::string& line) {
  // A pipe that is writable takes PIPE_BUF bytes, more than a line has.
  pollfd wanted{fileno(out), POLLOUT, 0};
  if (poll(&wanted, 1, 0) == 1) PrintLine(out, line);
}

std::string CountText(size_t count, absl::string_view what) {
  return absl::StrCat(count, " ", what, count == 1 ? "" : "s");
}

void LogStarted(const Flags& flags, const OwnPlaces& own,
                size_t num_listeners) {
  const auto join = [](const std::vector<AnyAddress>& addresses) {
    return absl::StrJoin(addresses, " ",
                         [](std::string* text, const AnyAddress& address) {
                           absl::StrAppend(text, ToString(address));
                         });
  };
  Log(LogLevel::kInfo,
      absl::StrCat("started: portreeved ", kVersion, ", process ", getpid(),
                   ", control ", join(own.control),
                   own.http.empty() ? "" : ", http " + join(own.http), ", ",
                   CountText(num_listeners, "listener"), ", ",
                   CountText(static_cast<size_t>(flags.loops), "loop")));
}

void WarnOfWhatIsOpen(const Flags& flags, const OwnPlaces& own,
                      const Policy& policy) {
  const bool has_policy = !flags.policy.empty();
  if (geteuid() == 0 && !has_policy) {
    Log(LogLevel::kWarning,
        "running as root without --policy: whoever reaches a control "
        "address can listen and connect as root");
  }
  if (flags.tls && !has_policy) {
    Log(LogLevel::kWarning,
        "TLS without --policy: every certificate from "
        "--tls-client-ca is an admin");
  }
  if (flags.tls && has_policy && !policy.has_identities()) {
    Log(LogLevel::kWarning,
        "the policy has no identities: no certificate may do "
        "anything");
  }
  WarnOfUnknownUsers(flags.tls.has_value(), own, policy);
}

void WarnOfUnknownUsers(bool has_tls, const OwnPlaces& own,
                        const Policy& policy) {
  const auto warn = [&](const char* place, const char* what,
                        const std::vector<AnyAddress>& addresses) {
    for (const AnyAddress& address : addresses) {
      if (policy.has_unix_identities() ? IsTcp(address) && !has_tls
                                       : EveryUserMayOpen(address)) {
        WarnOfEveryUser(place, what, address, policy);
      }
    }
  };
  warn("control", "command the daemon", own.control);
  warn("http", "read what the daemon tells", own.http);
}

}  // namespace portreeve::server
