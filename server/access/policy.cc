#include "server/access/policy.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>
#include <variant>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/descriptor.h"
#include "lib/base/status.h"
#include "server/access/policy_rules.h"
#include "server/api/errors.h"

namespace portreeve::server {
namespace {

PolicyRules DefaultRules() {
  auto rules = ReadPolicyRules("", "the default policy");
  PORTREEVE_CHECK(rules.ok());
  return *std::move(rules);
}

bool HasPort(const std::vector<PortRange>& ranges, int port) {
  return ranges.empty() ||
         std::any_of(ranges.begin(), ranges.end(), [port](PortRange range) {
           return range.first <= port && port <= range.last;
         });
}

bool MayListenOn(const NetworkSet& networks, const asio::ip::address& address) {
  if (networks.empty()) return true;
  return address.is_unspecified() ? networks.ContainsAll(address)
                                  : networks.Contains(address);
}

// Makes the text of what is refused; most often nothing is, and it is not
// called.
using Where = absl::FunctionRef<std::string()>;

absl::Status CheckDialPort(const PolicyRules& rules, absl::string_view field,
                           Where where, int port) {
  if (HasPort(rules.dial_ports, port)) return absl::OkStatus();
  return OutsidePolicy(
      field, where(),
      absl::StrCat("port ", port, " is not in the policy's dial.allow.ports"));
}

absl::Status CheckDialAddress(const PolicyRules& rules, absl::string_view field,
                              Where where, const asio::ip::address& address) {
  const asio::ip::address effective = Effective(address);
  if (rules.dial_denied.Contains(effective)) {
    return OutsidePolicy(field, where(),
                         absl::StrCat(effective.to_string(),
                                      " is in the policy's dial.deny.cidrs"));
  }
  if (!rules.dial_networks.empty() &&
      !rules.dial_networks.Contains(effective)) {
    return OutsidePolicy(
        field, where(),
        absl::StrCat(effective.to_string(),
                     " is not in the policy's dial.allow.cidrs"));
  }
  return absl::OkStatus();
}

absl::Status OutsideDirectories(absl::string_view where) {
  return OutsidePolicy("unix_socket.path", where,
                       "is not in one of the policy's unix_directories");
}

// Gives the file to which `path` leads; nothing where all files are allowed.
absl::StatusOr<std::optional<std::string>> SocketWithin(
    const PolicyRules& rules, const std::string& path) {
  std::optional<std::string> target;
  const std::string where = ToString(WhereToConnect<Unix>::OfFile(path));
  if (!rules.unix_directories.empty()) {
    target = rules.unix_directories.TargetWithin(path);
    if (!target) return OutsideDirectories(where);
  }
  if (rules.has_dial_allow) {
    auto dialled = rules.dial_unix_directories.TargetWithin(path);
    if (!dialled) {
      return OutsidePolicy(
          "unix_socket.path", where,
          "is not in one of the policy's dial.allow.unix_directories");
    }
    if (target && target != dialled) return OutsideDirectories(where);
    target = std::move(dialled);
  }
  return target;
}

absl::Status Check(const PolicyRules& rules, const WhereToListen<Inet>& where) {
  const auto outside = [&where](const asio::ip::address& address) {
    return OutsidePolicy("inet.address", ToString(where),
                         absl::StrCat(address.to_string(),
                                      " is not in the policy's listen.cidrs"));
  };
  if (!MayListenOn(rules.listen_networks, Unmapped(where.address))) {
    return outside(where.address);
  }
  const asio::ip::address every_v4 = asio::ip::address_v4::any();
  if (IsDualStack(where) && !MayListenOn(rules.listen_networks, every_v4)) {
    return outside(every_v4);
  }
  if (!HasPort(rules.listen_ports, where.port)) {
    return OutsidePolicy("inet.port", ToString(where),
                         absl::StrCat("port ", where.port,
                                      " is not in the policy's listen.ports"));
  }
  return absl::OkStatus();
}

absl::Status Check(const PolicyRules& rules, const WhereToListen<Unix>& where) {
  if (rules.unix_directories.empty() ||
      rules.unix_directories.ContainNew(where.path)) {
    return absl::OkStatus();
  }
  return OutsideDirectories(ToString(where));
}

absl::Status Check(const PolicyRules& rules,
                   const WhereToConnect<Inet>& where) {
  const auto text = [&where] { return ToString(where); };
  boost::system::error_code is_name;
  const auto address = asio::ip::make_address(where.host, is_name);
  if (!is_name) {
    auto s = CheckDialAddress(rules, "inet.host", text, address);
    if (!s.ok()) return s;
  }
  return CheckDialPort(rules, "inet.port", text, where.port);
}

absl::Status Check(const PolicyRules& rules,
                   const WhereToConnect<Unix>& where) {
  return SocketWithin(rules, where.path).status();
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) return ErrnoError(errno, "open", path);
  std::string text;
  char buffer[4096];
  while (true) {
    const ssize_t n = read(file.get(), buffer, sizeof buffer);
    if (n > 0) text.append(buffer, static_cast<size_t>(n));
    if (n == 0) return text;
    if (n < 0 && errno != EINTR) return ErrnoError(errno, "read", path);
  }
}

}  // namespace

Policy::Policy() : Policy(DefaultRules()) {}

Policy::Policy(PolicyRules rules)
    : rules_(std::make_shared<const PolicyRules>(std::move(rules))) {}

absl::StatusOr<Policy> Policy::FromFile(const std::string& path) {
  const auto text = ReadFile(path);
  if (!text.ok()) return text.status();
  return FromText(*text, path);
}

absl::StatusOr<Policy> Policy::FromText(const std::string& text,
                                        const std::string& file_name) {
  auto rules = ReadPolicyRules(text, file_name);
  if (!rules.ok()) return rules.status();
  return Policy(*std::move(rules));
}

absl::Status Policy::CheckListen(const AnyWhereToListen& where) const {
  return std::visit([this](const auto& kind) { return Check(*rules_, kind); },
                    where);
}

absl::Status Policy::CheckConnect(const AnyWhereToConnect& where) const {
  return std::visit([this](const auto& kind) { return Check(*rules_, kind); },
                    where);
}

absl::Status Policy::CheckAddress(const Inet::Address& address) const {
  const auto text = [&address] { return ToString(address); };
  auto s = CheckDialAddress(*rules_, "", text, address.address());
  if (!s.ok()) return s;
  return CheckDialPort(*rules_, "", text, address.port());
}

bool Policy::bounds_sockets() const {
  return !rules_->unix_directories.empty() || rules_->has_dial_allow;
}

absl::StatusOr<std::string> Policy::ResolveSocket(
    const std::string& path) const {
  auto target = SocketWithin(*rules_, path);
  if (!target.ok()) return target.status();
  return *target ? **std::move(target) : path;
}

v1::Role Policy::RoleOf(const std::vector<std::string>& names) const {
  v1::Role highest = v1::ROLE_UNSPECIFIED;
  for (const std::string& name : names) {
    const auto found = rules_->identities.find(name);
    if (found != rules_->identities.end()) {
      highest = std::max(highest, found->second);
    }
  }
  return highest;
}

bool Policy::has_identities() const { return !rules_->identities.empty(); }

v1::Role Policy::UnixRoleOf(const UnixCaller& caller) const {
  return rules_->unix_roles.RoleOf(caller);
}

bool Policy::has_unix_identities() const { return !rules_->unix_roles.empty(); }

bool Policy::has_unix_groups() const { return rules_->unix_roles.has_groups(); }

}  // namespace portreeve::server
