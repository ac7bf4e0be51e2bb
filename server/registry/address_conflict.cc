#include "server/registry/address_conflict.h"

#include <sys/stat.h>

#include <string>
#include <variant>

namespace portreeve::server {
namespace {

bool InetConflict(const WhereToListen<Inet>& wanted,
                  const WhereToListen<Inet>& held, int held_port) {
  if (wanted.port != held_port) return false;
  if (wanted.reuse_port && held.reuse_port) return false;
  if (wanted.address.is_v4() != held.address.is_v4() && !IsDualStack(wanted) &&
      !IsDualStack(held)) {
    return false;
  }
  const bool same_interface =
      wanted.bind_to_interface == held.bind_to_interface ||
      wanted.bind_to_interface.empty() || held.bind_to_interface.empty();
  return same_interface &&
         (wanted.address == held.address || wanted.address.is_unspecified() ||
          held.address.is_unspecified());
}

bool SameFile(const std::string& a, const std::string& b) {
  if (IsAbstract(a) || IsAbstract(b)) return a == b;
  struct stat x, y;
  return a == b || (stat(a.c_str(), &x) == 0 && stat(b.c_str(), &y) == 0 &&
                    x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

}  // namespace

bool Conflicts(const AnyWhereToListen& wanted, const AnyWhereToListen& held,
               const AnyAddress& held_address) {
  if (wanted.index() != held.index()) return false;
  if (const auto* inet = std::get_if<WhereToListen<Inet>>(&wanted)) {
    return InetConflict(*inet, std::get<WhereToListen<Inet>>(held),
                        std::get<Inet::Address>(held_address).port());
  }
  return SameFile(std::get<WhereToListen<Unix>>(wanted).path,
                  std::get<WhereToListen<Unix>>(held).path);
}

}  // namespace portreeve::server
