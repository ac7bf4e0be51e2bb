// Who a client with a certificate is, and what it may do, whatever protocol it
// speaks (docs/ACCESS.md).
#ifndef PORTREEVE_SERVER_ACCESS_CLIENT_ROLE_H_
#define PORTREEVE_SERVER_ACCESS_CLIENT_ROLE_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "portreeve/v1/policy.pb.h"
#include "server/access/policy.h"

namespace portreeve::server {

// What a client with a certificate may do: without a policy file, everything.
enum class Certificates { kAreAdmins, kHaveTheRolesOfThePolicy };

struct ClientRole {
  // The name in the certificate by which it has the role, else the first one;
  // after "tls:" if it begins with "unix:", as no certificate is to be taken
  // for a user.
  std::string who;
  // "tls:NAME": the prefix is there so that no certificate has the name of an
  // address.
  std::string identity;
  v1::Role role;
};

// Gives what a client may do whose certificate has these names, the common name
// first.
ClientRole RoleOfNames(const Policy& policy, Certificates certificates,
                       const std::vector<std::string>& names);

// Gives the refusal of `who`, who has the role `has`, at what needs `needed`.
// Errors: ROLE_REQUIRED.
absl::Status RoleRefusal(std::string_view who, v1::Role has,
                         std::string_view what, v1::Role needed);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_ACCESS_CLIENT_ROLE_H_
