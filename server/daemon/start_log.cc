#include "server/daemon/start_log.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "command_line/version.h"
#include "lib/base/log.h"

namespace portreeve::server {

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

void WarnOfWhatIsOpen(const Flags& flags, const Policy& policy) {
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
}

}  // namespace portreeve::server
