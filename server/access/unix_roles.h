// UnixRoles: what those may do who come by a unix socket.
#ifndef PORTREEVE_SERVER_ACCESS_UNIX_ROLES_H_
#define PORTREEVE_SERVER_ACCESS_UNIX_ROLES_H_

#include <sys/types.h>

#include <map>
#include <vector>

#include "portreeve/v1/policy.pb.h"

namespace portreeve::server {

// The process at the other end of a unix socket, as it was when it connected.
struct UnixCaller {
  uid_t user;
  gid_t group;                // The primary one.
  std::vector<gid_t> groups;  // The supplementary ones, in any order.
};

// The roles of users and groups.  It is a plain value.
class UnixRoles {
 public:
  // Where one gets several roles, the highest counts.
  void AddUser(uid_t user, v1::Role role);
  void AddGroup(gid_t group, v1::Role role);

  // Whether nobody has a role by name; then everybody is an admin.
  bool empty() const { return users_.empty() && groups_.empty(); }
  // Whether the groups of a caller matter.
  bool has_groups() const { return !groups_.empty(); }

  // Gives the highest of the roles of the caller's user and groups;
  // ROLE_UNSPECIFIED, no role, where none of them has one.  Root is an admin in
  // any case.
  v1::Role RoleOf(const UnixCaller& caller) const;

 private:
  std::map<uid_t, v1::Role> users_;
  std::map<gid_t, v1::Role> groups_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_ACCESS_UNIX_ROLES_H_
