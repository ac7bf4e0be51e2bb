#include "server/daemon/start_log.h"

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

void WarnOfEveryUser(const AnyAddress& address, const Policy& policy) {
  Log(LogLevel::kWarning,
      absl::StrCat("control ", ToString(address),
                   ": every user of this machine may command the daemon by ",
                   policy.has_unix_identities()
                       ? "it, though the policy names users or groups, who are "
                         "known on unix sockets only"
                       : "this socket (its mode; systemd: SocketMode=0600)"));
}

}  // namespace

std::string CountText(size_t count, absl::string_view what) {
  return absl::StrCat(count, " ", what, count == 1 ? "" : "s");
}

void LogStarted(const Flags& flags, const std::vector<AnyAddress>& control,
                size_t num_listeners) {
  std::vector<std::string> addresses;
  for (const AnyAddress& address : control) {
    addresses.push_back(ToString(address));
  }
  Log(LogLevel::kInfo,
      absl::StrCat("started: portreeved ", kVersion, ", process ", getpid(),
                   ", control ", absl::StrJoin(addresses, " "), ", ",
                   CountText(num_listeners, "listener"), ", ",
                   CountText(static_cast<size_t>(flags.loops), "loop")));
}

void WarnOfWhatIsOpen(const Flags& flags,
                      const std::vector<AnyAddress>& control,
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
  for (const AnyAddress& address : control) {
    if (policy.has_unix_identities() ? IsTcp(address) && !flags.tls
                                     : EveryUserMayOpen(address)) {
      WarnOfEveryUser(address, policy);
    }
  }
}

}  // namespace portreeve::server
