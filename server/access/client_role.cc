#include "server/access/client_role.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/api/errors.h"

namespace portreeve::server {
namespace {

std::string RoleName(v1::Role role) {
  switch (role) {
    case v1::ROLE_VIEWER:
      return "the role viewer";
    case v1::ROLE_OPERATOR:
      return "the role operator";
    case v1::ROLE_ADMIN:
      return "the role admin";
    default:
      return "no role";
  }
}

// Gives the name that gave the role, else the first one.
std::string NameOfRole(const Policy& policy,
                       const std::vector<std::string>& names, v1::Role role) {
  if (names.empty()) return "a certificate without names";
  for (const std::string& name : names) {
    if (role != v1::ROLE_UNSPECIFIED && policy.RoleOf({name}) == role) {
      return name;
    }
  }
  return names.front();
}

}  // namespace

ClientRole RoleOfNames(const Policy& policy, Certificates certificates,
                       const std::vector<std::string>& names) {
  const v1::Role role = certificates == Certificates::kAreAdmins
                            ? v1::ROLE_ADMIN
                            : policy.RoleOf(names);
  std::string who = NameOfRole(policy, names, role);
  std::string identity = absl::StrCat("tls:", who);
  if (absl::StartsWith(who, "unix:")) who = identity;
  return {std::move(who), std::move(identity), role};
}

absl::Status RoleRefusal(std::string_view who, v1::Role has,
                         std::string_view what, v1::Role needed) {
  return RoleRequired(absl::StrCat(std::string(who), " has ", RoleName(has),
                                   "; ", std::string(what), " needs ",
                                   RoleName(needed)));
}

}  // namespace portreeve::server
