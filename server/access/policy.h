// Policy: what clients may listen on and connect to, and who they are
// (docs/ACCESS.md).
#ifndef PORTREEVE_SERVER_ACCESS_POLICY_H_
#define PORTREEVE_SERVER_ACCESS_POLICY_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/net/address.h"
#include "portreeve/v1/policy.pb.h"
#include "server/access/unix_roles.h"
#include "server/api/convert.h"

namespace portreeve::server {

struct PolicyRules;

// A policy as in proto/portreeve/v1/policy.proto, checked and ready to be
// asked.
// Threads: any; it does not change.  Copies are cheap.
class Policy {
 public:
  // Makes the policy that holds without a file: everything is allowed but to
  // connect to link-local and metadata addresses.
  Policy();

  // Read protobuf's text format, and the users and groups that it names in the
  // system's database, which may block.  Errors: INVALID_ARGUMENT, with one
  // line such as "FILE:3:7: what is wrong"; those of reading the file.
  static absl::StatusOr<Policy> FromFile(const std::string& path);
  static absl::StatusOr<Policy> FromText(const std::string& text,
                                         const std::string& file_name);

  // Whether a listener may be there.  It looks at the file system: what is a
  // symbolic link can be another one when the socket is bound.
  // Errors: OUTSIDE_POLICY, with the field from `where`.
  absl::Status CheckListen(const AnyWhereToListen& where) const;

  // Whether a forward handler or Dial may connect there.  A host that is a name
  // passes: its addresses are checked when they are known.  The link of a unix
  // socket is followed, as connect(2) does, at every call.
  // Errors: OUTSIDE_POLICY, with the field from `where`.
  absl::Status CheckConnect(const AnyWhereToConnect& where) const;

  // Does the same for one resolved address (ConnectOptions::admit); an
  // IPv4-mapped address counts as IPv4, and an unspecified one as the loopback
  // that the kernel takes it for.  Errors: OUTSIDE_POLICY, with the address.
  absl::Status CheckAddress(const Inet::Address& address) const;

  // Whether the policy says which unix sockets may be connected to.
  bool bounds_sockets() const;
  // Gives the path, without a link in it, to what connect(2) finds at `path`
  // now; only that very file may be connected to.  Errors: OUTSIDE_POLICY for
  // `unix_socket.path`.
  absl::StatusOr<std::string> ResolveSocket(const std::string& path) const;

  // Gives what a client may do whose certificate has these names: the highest
  // of the roles of the identities that are among them; ROLE_UNSPECIFIED:
  // nothing.
  v1::Role RoleOf(const std::vector<std::string>& names) const;
  // Whether the policy names any certificate.
  bool has_identities() const;

  // Gives what a client of a unix socket may do: everything, unless the policy
  // has identities of users or groups; then the highest of the roles of those
  // that the client is, or ROLE_UNSPECIFIED.  Root may do everything.
  v1::Role UnixRoleOf(const UnixCaller& caller) const;
  // Whether it names any user or group; and whether any group.
  bool has_unix_identities() const;
  bool has_unix_groups() const;

 private:
  explicit Policy(PolicyRules rules);

  std::shared_ptr<const PolicyRules> rules_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_ACCESS_POLICY_H_
