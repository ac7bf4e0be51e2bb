// Gate: who calls, what they may do, and the audit of what they do
// (docs/ACCESS.md).
#ifndef PORTREEVE_SERVER_ACCESS_GATE_H_
#define PORTREEVE_SERVER_ACCESS_GATE_H_

#include <grpcpp/server_context.h>

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/access/access_table.h"
#include "server/access/audit_log.h"
#include "server/access/client_role.h"
#include "server/access/live_policy.h"

namespace portreeve::server {

// The caller of a call that was admitted, and the method.
struct Caller {
  // The name in the certificate, after "tls:" if it begins with "unix:"; else
  // the peer's address: "unix:uid=0(root)", and "unix:uid=0" where the method
  // changes nothing.
  std::string who;
  // Who that is on all of their connections: "tls:NAME", the address without a
  // port, or "unix:uid=0".
  std::string identity;
  const MethodAccess* method = nullptr;
};

// Every method of every service asks it before anything else.
// Threads: any.
class Gate {
 public:
  using Certificates = server::Certificates;

  // `audit` must outlive it; null: nothing is audited.
  Gate(LivePolicy policy, Certificates certificates, AuditLog* audit);
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  // Whether the client may call `method`, a name of
  // server/access/access_table.h (it is CHECKed).  A client without TLS is an
  // admin, unless it comes by a unix socket and the policy names users or
  // groups.  A refused call of a method that changes something is audited here.
  // Errors: ROLE_REQUIRED.
  absl::StatusOr<Caller> Admit(const grpc::ServerContextBase& context,
                               std::string_view method) const;

  // Writes one line of audit, if the method changes something: what was done to
  // `name`, or refused ("listeners/web"; may be empty).
  void Audit(const Caller& caller, const std::string& name,
             const absl::Status& result) const;
  // The same for a call of `caller` that ends later.  Never throws.  The gate
  // outlives it.
  AuditFunction Auditor(Caller caller) const;

 private:
  const LivePolicy policy_;
  const Certificates certificates_;
  AuditLog* const audit_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_ACCESS_GATE_H_
