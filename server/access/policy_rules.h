// PolicyRules: a policy that was read, in the form that server/access/policy.h
// asks.
#ifndef PORTREEVE_SERVER_ACCESS_POLICY_RULES_H_
#define PORTREEVE_SERVER_ACCESS_POLICY_RULES_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "portreeve/v1/policy.pb.h"
#include "server/access/network_set.h"
#include "server/access/unix_directories.h"
#include "server/access/unix_roles.h"

namespace portreeve::server {

// A range of ports, both ends included.
struct PortRange {
  int first;
  int last;
};

// The fields of proto/portreeve/v1/policy.proto.  Where an empty one means
// everything, it is empty here, too.
struct PolicyRules {
  NetworkSet listen_networks;
  std::vector<PortRange> listen_ports;
  UnixDirectories unix_directories;
  NetworkSet dial_networks;
  std::vector<PortRange> dial_ports;
  NetworkSet dial_denied;  // If empty, nothing is denied.
  // Whether dial.allow is set: then an empty `dial_unix_directories` means
  // nothing.
  bool has_dial_allow = false;
  UnixDirectories dial_unix_directories;
  std::map<std::string, v1::Role> identities;  // The names of certificates.
  UnixRoles unix_roles;
};

// Reads protobuf's text format, with the defaults.  Users and groups are looked
// up in the system's database, which may block.
// Errors: INVALID_ARGUMENT, with one line: "FILE:LINE:COLUMN: what is wrong".
absl::StatusOr<PolicyRules> ReadPolicyRules(const std::string& text,
                                            const std::string& file_name);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_ACCESS_POLICY_RULES_H_
