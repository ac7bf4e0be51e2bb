#include "server/registry/address_conflict.h"

#include <sys/stat.h>

#include <string>
#include <variant>

#include "server/api/convert.h"

namespace portreeve::server {
namespace {

bool InetConflict(const WhereToListen<Inet>& wanted,
                  const WhereToListen<Inet>& held, int held_port) {
  if (wanted.port != held_port) return false;
  if (wanted.reuse_port && held.reuse_port) return false;
  if (wanted.address.is_v4() != held.address.is_v4()) return false;
  const bool same_interface =
      wanted.bind_to_interface == held.bind_to_interface ||
      wanted.bind_to_interface.empty() || held.bind_to_interface.empty();
  return same_interface &&
         (wanted.address == held.address || wanted.address.is_unspecified() ||
          held.address.is_unspecified());
}

bool SameFile(const std::string& a, const std::string& b) {
  struct stat x, y;
  return a == b || (stat(a.c_str(), &x) == 0 && stat(b.c_str(), &y) == 0 &&
                    x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

}  // namespace

bool Conflicts(const v1::WhereToListen& wanted, const v1::WhereToListen& held,
               const AnyAddress& held_address) {
  const auto a = FromProto(wanted);
  const auto b = FromProto(held);
  if (!a.ok() || !b.ok() || a->index() != b->index()) return false;
  if (const auto* inet = std::get_if<WhereToListen<Inet>>(&*a)) {
    return InetConflict(*inet, std::get<WhereToListen<Inet>>(*b),
                        std::get<Inet::Address>(held_address).port());
  }
  return SameFile(std::get<WhereToListen<Unix>>(*a).path,
                  std::get<WhereToListen<Unix>>(*b).path);
}

}  // namespace portreeve::server
