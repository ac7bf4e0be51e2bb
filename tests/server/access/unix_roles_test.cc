// Every role of a user and two groups, for every kind of caller.
#include "server/access/unix_roles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace portreeve::server {
namespace {

constexpr uid_t kUser = 1000;
constexpr gid_t kGroups[] = {100, 200};
constexpr v1::Role kRoles[] = {v1::ROLE_UNSPECIFIED, v1::ROLE_VIEWER,
                               v1::ROLE_OPERATOR, v1::ROLE_ADMIN};

// ROLE_UNSPECIFIED: not named.
struct Named {
  v1::Role user;
  v1::Role groups[2];
};

UnixRoles RolesOf(const Named& named) {
  UnixRoles roles;
  if (named.user != v1::ROLE_UNSPECIFIED) roles.AddUser(kUser, named.user);
  for (int i = 0; i < 2; ++i) {
    if (named.groups[i] != v1::ROLE_UNSPECIFIED) {
      roles.AddGroup(kGroups[i], named.groups[i]);
    }
  }
  return roles;
}

std::vector<UnixCaller> Callers() {
  std::vector<UnixCaller> callers;
  for (const uid_t user : {0u, kUser, 1001u, 100u, 4294967294u}) {
    for (const gid_t group : {0u, 100u, 200u, 300u, 1000u}) {
      for (const auto& groups :
           std::vector<std::vector<gid_t>>{{},
                                           {100},
                                           {200},
                                           {300},
                                           {1000},
                                           {100, 200},
                                           {200, 100},
                                           {300, 300, 200}}) {
        callers.push_back({user, group, groups});
      }
    }
  }
  return callers;
}

bool IsOf(const UnixCaller& caller, gid_t group) {
  return caller.group == group ||
         std::count(caller.groups.begin(), caller.groups.end(), group) > 0;
}

// By the words of docs/ACCESS.md.
v1::Role Expected(const Named& named, const UnixCaller& caller) {
  const bool names_nobody = named.user == v1::ROLE_UNSPECIFIED &&
                            named.groups[0] == v1::ROLE_UNSPECIFIED &&
                            named.groups[1] == v1::ROLE_UNSPECIFIED;
  if (names_nobody || caller.user == 0) return v1::ROLE_ADMIN;
  v1::Role role = v1::ROLE_UNSPECIFIED;
  if (caller.user == kUser) role = std::max(role, named.user);
  for (int i = 0; i < 2; ++i) {
    if (IsOf(caller, kGroups[i])) role = std::max(role, named.groups[i]);
  }
  return role;
}

TEST(UnixRolesTest, EveryPolicyForEveryCaller) {
  for (const v1::Role user : kRoles) {
    for (const v1::Role one : kRoles) {
      for (const v1::Role two : kRoles) {
        const Named named{user, {one, two}};
        const UnixRoles roles = RolesOf(named);
        for (const UnixCaller& caller : Callers()) {
          EXPECT_EQ(roles.RoleOf(caller), Expected(named, caller))
              << user << one << two << " " << caller.user << " " << caller.group
              << ::testing::PrintToString(caller.groups);
        }
      }
    }
  }
}

TEST(UnixRolesTest, OfSeveralRolesTheHighestCounts) {
  UnixRoles roles;
  roles.AddUser(1, v1::ROLE_OPERATOR);
  roles.AddUser(1, v1::ROLE_VIEWER);
  roles.AddGroup(2, v1::ROLE_VIEWER);
  roles.AddGroup(2, v1::ROLE_OPERATOR);
  EXPECT_EQ(roles.RoleOf({1, 1, {}}), v1::ROLE_OPERATOR);
  EXPECT_EQ(roles.RoleOf({2, 2, {}}), v1::ROLE_OPERATOR);
  EXPECT_EQ(roles.RoleOf({2, 1, {}}), v1::ROLE_UNSPECIFIED);
}

TEST(UnixRolesTest, GroupsMatterWhereOneIsNamed) {
  UnixRoles roles;
  EXPECT_TRUE(roles.empty());
  roles.AddUser(1, v1::ROLE_VIEWER);
  EXPECT_FALSE(roles.empty());
  EXPECT_FALSE(roles.has_groups());
  roles.AddGroup(1, v1::ROLE_VIEWER);
  EXPECT_TRUE(roles.has_groups());
}

}  // namespace
}  // namespace portreeve::server
