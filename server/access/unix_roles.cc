#include "server/access/unix_roles.h"

#include <algorithm>

namespace portreeve::server {
namespace {

using Roles = std::map<id_t, v1::Role>;

void Raise(Roles& roles, id_t number, v1::Role role) {
  v1::Role& present = roles[number];
  present = std::max(present, role);
}

v1::Role In(const Roles& roles, id_t number) {
  const auto found = roles.find(number);
  return found == roles.end() ? v1::ROLE_UNSPECIFIED : found->second;
}

}  // namespace

void UnixRoles::AddUser(uid_t user, v1::Role role) {
  Raise(users_, user, role);
}

void UnixRoles::AddGroup(gid_t group, v1::Role role) {
  Raise(groups_, group, role);
}

v1::Role UnixRoles::RoleOf(const UnixCaller& caller) const {
  if (empty() || caller.user == 0) return v1::ROLE_ADMIN;
  v1::Role highest =
      std::max(In(users_, caller.user), In(groups_, caller.group));
  for (const gid_t group : caller.groups) {
    highest = std::max(highest, In(groups_, group));
  }
  return highest;
}

}  // namespace portreeve::server
