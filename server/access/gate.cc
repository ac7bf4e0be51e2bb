#include "server/access/gate.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "lib/base/guarded.h"
#include "server/control/control_calls.h"

namespace portreeve::server {
namespace {

constexpr char kHasEnded[] = "the connection has ended";

// Decides, where nobody has seen the connection, by the transport:
// "authenticated" means that gRPC has a name for the peer, and a certificate
// without one must not pass for a client without TLS.
bool HasTls(const grpc::AuthContext* context) {
  if (context == nullptr) return false;
  const auto types =
      context->FindPropertyValues(GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME);
  return !(types.size() == 1 && types.front() == "insecure");
}

// Gives the names in the certificate, the common name first.
std::vector<std::string> NamesOf(const grpc::AuthContext& context) {
  std::vector<std::string> names;
  for (const char* property :
       {GRPC_X509_CN_PROPERTY_NAME, GRPC_X509_SAN_PROPERTY_NAME}) {
    for (const grpc::string_ref& value : context.FindPropertyValues(property)) {
      if (!value.empty()) names.emplace_back(value.data(), value.size());
    }
  }
  return names;
}

// Gives "ipv6:%5B::1%5D:5555" as "ipv6:[::1]:5555".
std::string PercentDecode(absl::string_view text) {
  if (!absl::StrContains(text, '%')) return std::string(text);
  std::string decoded;
  while (!text.empty()) {
    const bool is_escape = text[0] == '%' && text.size() >= 3 &&
                           absl::ascii_isxdigit(text[1]) &&
                           absl::ascii_isxdigit(text[2]);
    decoded += is_escape ? absl::HexStringToBytes(text.substr(1, 2))
                         : std::string(text.substr(0, 1));
    text.remove_prefix(is_escape ? 3 : 1);
  }
  return decoded;
}

// Gives who that is to an audit, if there is one: a call that changes nothing
// must not wait for the system's user database.
std::string NameOf(ControlConnection& connection, const MethodAccess& method) {
  return connection.is_unix() && !method.changes ? connection.Identity()
                                                 : connection.Who();
}

// Gives "ipv4:127.0.0.1:5555" without the port; the peer of a unix socket as it
// is.
std::string WithoutPort(const std::string& peer) {
  const bool is_inet =
      absl::StartsWith(peer, "ipv4:") || absl::StartsWith(peer, "ipv6:");
  return is_inet ? peer.substr(0, peer.rfind(':')) : peer;
}

// Gives what a client without TLS may do.  `connection` is null where nobody
// has seen it.
absl::StatusOr<v1::Role> RoleWithoutTls(const LivePolicy& live_policy,
                                        const ControlConnection* connection,
                                        const std::string& peer) {
  const bool is_unix = connection == nullptr ? absl::StartsWith(peer, "unix")
                                             : connection->is_unix();
  if (!is_unix) return v1::ROLE_ADMIN;
  const Policy policy = live_policy.Now();
  if (!policy.has_unix_identities()) return v1::ROLE_ADMIN;
  if (connection == nullptr) return v1::ROLE_UNSPECIFIED;
  const ucred& credentials = *connection->credentials();
  UnixCaller caller{credentials.uid, credentials.gid, {}};
  if (policy.has_unix_groups()) {
    auto groups = connection->Groups();
    if (!groups) return absl::UnavailableError(kHasEnded);
    caller.groups = *std::move(groups);
  }
  return policy.UnixRoleOf(caller);
}

}  // namespace

Gate::Gate(LivePolicy policy, Certificates certificates, AuditLog* audit)
    : policy_(std::move(policy)), certificates_(certificates), audit_(audit) {}

absl::StatusOr<Caller> Gate::Admit(const grpc::ServerContextBase& context,
                                   std::string_view method) const {
  const auto connection = ConnectionOf(context);
  // The connection ended long ago, and nobody knows whose it was; or it was
  // shut down, and gRPC still makes calls of it, whose answers nobody reads.
  if (connection == nullptr ? absl::StartsWith(context.peer(), "fd:")
                            : connection->is_shut_down()) {
    return absl::UnavailableError(kHasEnded);
  }
  const MethodAccess& access = AccessOf(method);
  const auto auth = context.auth_context();
  ClientRole client;
  if (connection == nullptr ? HasTls(auth.get()) : connection->is_secure()) {
    client = RoleOfNames(policy_.Now(), certificates_, NamesOf(*auth));
  } else {
    client.who = connection == nullptr ? PercentDecode(context.peer())
                                       : NameOf(*connection, access);
    client.identity = connection == nullptr ? WithoutPort(client.who)
                                            : connection->Identity();
    const auto role = RoleWithoutTls(policy_, connection.get(), context.peer());
    if (!role.ok()) return role.status();
    client.role = *role;
  }
  const Caller caller{std::move(client.who), std::move(client.identity),
                      &access};
  if (client.role >= caller.method->role) return caller;
  const absl::Status refusal =
      RoleRefusal(caller.who, client.role, method, caller.method->role);
  Audit(caller, "", refusal);
  return refusal;
}

void Gate::Audit(const Caller& caller, const std::string& name,
                 const absl::Status& result) const {
  if (audit_ == nullptr || !caller.method->changes) return;
  audit_->Write(caller.who,
                absl::StrCat(std::string(caller.method->service), "/",
                             std::string(caller.method->method)),
                name, result);
}

AuditFunction Gate::Auditor(Caller caller) const {
  return [this, caller = std::move(caller)](const std::string& name,
                                            const absl::Status& result) {
    Guarded([&] { Audit(caller, name, result); });
  };
}

}  // namespace portreeve::server
