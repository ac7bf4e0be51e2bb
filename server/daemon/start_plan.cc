#include "server/daemon/start_plan.h"

#include <sys/resource.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/access/system_accounts.h"

namespace portreeve::server {
namespace {

// Looks the group up of a value of `flag`, if there is one.  It may block.
absl::StatusOr<std::optional<gid_t>> GroupOf(const std::string& flag,
                                             const ControlAddress& address) {
  if (address.group.empty()) return std::optional<gid_t>();
  const auto group = FindGroup(address.group);
  if (group.ok()) return std::optional<gid_t>(*group);
  return AboutFlag(
      absl::StrCat(flag, " \"", ToString(address.address), "\": group"),
      group.status());
}

absl::Status AddOwn(const char* flag, const std::vector<AnyAddress>& addresses,
                    OwnAddresses& own) {
  for (const AnyAddress& address : addresses) {
    if (auto s = own.Add(address); !s.ok()) return AboutFlag(flag, s);
  }
  return absl::OkStatus();
}

}  // namespace

DescriptorShares SharesOf(const Flags& flags) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = 1024;
  constexpr rlim_t kMost = std::numeric_limits<int>::max();
  return DescriptorShares::Of(
      static_cast<int64_t>(std::min(limit.rlim_cur, kMost)),
      flags.max_control_connections, flags.loops,
      flags.http.empty() ? 0 : kMostHttpServed + kMostHttpRefused);
}

int HandshakesOf(int max_control_connections) {
  return std::clamp(max_control_connections / 2, 1,
                    ControlAcceptor::Limits().max_handshakes);
}

absl::StatusOr<Policy> PolicyOf(const Flags& flags) {
  if (flags.policy.empty()) return Policy();
  auto policy = Policy::FromFile(flags.policy);
  if (!policy.ok()) return AboutFlag("--policy", policy.status());
  return policy;
}

Gate::Certificates CertificatesOf(const Flags& flags) {
  return flags.policy.empty() ? Gate::Certificates::kAreAdmins
                              : Gate::Certificates::kHaveTheRolesOfThePolicy;
}

absl::StatusOr<std::vector<ControlPlace>> PlacesOf(
    const Flags& flags, const ControlSockets& given) {
  std::vector<ControlPlace> places;
  for (const ControlAddress& control : flags.control) {
    ControlPlace place{control.address, control.mode, std::nullopt};
    if (given.count(places.size()) == 0) {
      auto group = GroupOf("--control", control);
      if (!group.ok()) return group.status();
      place.group = *group;
    }
    places.push_back(std::move(place));
  }
  return places;
}

absl::StatusOr<std::vector<HttpPlace>> HttpPlacesOf(const Flags& flags) {
  std::vector<HttpPlace> places;
  for (const ControlAddress& http : flags.http) {
    auto group = GroupOf("--http", http);
    if (!group.ok()) return group.status();
    places.push_back({http.address, http.mode, *group});
  }
  return places;
}

absl::StatusOr<OwnAddresses> OwnAddressesOf(
    const std::vector<AnyAddress>& control,
    const std::vector<AnyAddress>& http) {
  OwnAddresses own;
  if (auto s = AddOwn("--control", control, own); !s.ok()) return s;
  if (auto s = AddOwn("--http", http, own); !s.ok()) return s;
  return own;
}

}  // namespace portreeve::server
