#include "server/access/live_policy.h"

#include <cerrno>
#include <string>
#include <utility>
#include <variant>

#include "lib/base/mutex.h"
#include "lib/base/status.h"
#include "lib/net/socket_file.h"
#include "server/api/errors.h"

namespace portreeve::server {
namespace {

constexpr char kIsOwn[] = "is an address of this daemon's own";

absl::Status CheckOwn(const OwnAddresses& own,
                      const WhereToConnect<Inet>& where) {
  boost::system::error_code is_name;
  const auto address = asio::ip::make_address(where.host, is_name);
  if (is_name) return absl::OkStatus();
  const Inet::Address to(address, static_cast<uint16_t>(where.port));
  if (!own.Contain(to)) return absl::OkStatus();
  return SelfConnect("inet.host", ToString(where), kIsOwn);
}

absl::Status CheckOwn(const OwnAddresses& own,
                      const WhereToConnect<Unix>& where) {
  if (!own.ContainPath(where.path)) return absl::OkStatus();
  return SelfConnect("unix_socket.path", ToString(where), kIsOwn);
}

}  // namespace

struct LivePolicy::Shared {
  mutable Mutex mutex;
  std::shared_ptr<const Rules> rules PORTREEVE_GUARDED_BY(mutex);
};

LivePolicy::LivePolicy(Policy policy) : shared_(std::make_shared<Shared>()) {
  const Rules rules{std::move(policy), OwnAddresses()};
  shared_->rules = std::make_shared<const Rules>(rules);
}

std::shared_ptr<const LivePolicy::Rules> LivePolicy::Load() const {
  const MutexLock lock(shared_->mutex);
  return shared_->rules;
}

Policy LivePolicy::Now() const { return Load()->policy; }

void LivePolicy::Replace(Policy policy) {
  const MutexLock lock(shared_->mutex);
  const Rules rules{std::move(policy), shared_->rules->own};
  shared_->rules = std::make_shared<const Rules>(rules);
}

void LivePolicy::SetOwnAddresses(OwnAddresses own) {
  const MutexLock lock(shared_->mutex);
  const Rules rules{shared_->rules->policy, std::move(own)};
  shared_->rules = std::make_shared<const Rules>(rules);
}

absl::Status LivePolicy::CheckListen(const AnyWhereToListen& where) const {
  return Load()->policy.CheckListen(where);
}

absl::Status LivePolicy::CheckConnect(const AnyWhereToConnect& where) const {
  const auto rules = Load();
  auto own = std::visit(
      [&rules](const auto& kind) { return CheckOwn(rules->own, kind); }, where);
  if (!own.ok()) return own;
  return rules->policy.CheckConnect(where);
}

absl::Status LivePolicy::CheckAddress(const Inet::Address& address) const {
  const auto rules = Load();
  if (rules->own.Contain(address)) {
    return SelfConnect("", ToString(address), ToString(address) + " " + kIsOwn);
  }
  return rules->policy.CheckAddress(address);
}

absl::StatusOr<Descriptor> LivePolicy::OpenSocket(
    const Unix::Address& address) const {
  const auto rules = Load();
  const bool is_bounded = rules->policy.bounds_sockets();
  const bool is_abstract = IsAbstract(address.path());
  if (!is_bounded && !is_abstract && !rules->own.has_files()) {
    return Descriptor();
  }
  const std::string text = ToString(address);
  // This is asked before the policy, which would say less.
  if ((is_bounded || is_abstract) && rules->own.ContainPath(address.path())) {
    return SelfConnect("", text, text + " " + kIsOwn);
  }
  if (is_abstract) {
    const auto allowed = rules->policy.ResolveSocket(address.path());
    if (!allowed.ok()) return allowed.status();
    return Descriptor();
  }
  absl::StatusOr<Descriptor> file;
  if (is_bounded) {
    const auto resolved = rules->policy.ResolveSocket(address.path());
    if (!resolved.ok()) return resolved.status();
    file = OpenSocketFileWithoutLinks(address, *resolved);
  } else {
    file = OpenSocketFile(address);
  }
  if (!file.ok()) return file.status();
  struct stat state;
  if (fstat(file->get(), &state) != 0) {
    return ErrnoError(errno, "connect", text);
  }
  if (rules->own.ContainFile(state)) {
    return SelfConnect("", text, text + " " + kIsOwn);
  }
  // This is what connect(2) says of a file that is no socket; a link that has
  // taken its place since cannot be followed by mistake.
  if (!S_ISSOCK(state.st_mode))
    return ErrnoError(ECONNREFUSED, "connect", text);
  return file;
}

}  // namespace portreeve::server
