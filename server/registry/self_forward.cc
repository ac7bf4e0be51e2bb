#include "server/registry/self_forward.h"

#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <system_error>
#include <variant>

#include "server/api/errors.h"

namespace portreeve::server {
namespace {

namespace fs = std::filesystem;

// Whether there is or would be one file at both paths.
bool IsOneFile(const std::string& a, const std::string& b) {
  if (IsAbstract(a) || IsAbstract(b)) return a == b;
  struct stat x, y;
  if (stat(a.c_str(), &x) == 0 && stat(b.c_str(), &y) == 0) {
    return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
  }
  std::error_code failed;
  const fs::path in_a = fs::weakly_canonical(fs::absolute(a, failed), failed);
  if (failed) return false;
  const fs::path in_b = fs::weakly_canonical(fs::absolute(b, failed), failed);
  return !failed && in_a == in_b;
}

bool Reaches(const WhereToConnect<Inet>& upstream,
             const WhereToListen<Inet>& where, const AnyAddress* listening_on) {
  if (!where.bind_to_interface.empty() || where.reuse_port) return false;
  const int port = listening_on == nullptr
                       ? where.port
                       : std::get<Inet::Address>(*listening_on).port();
  return Takes(Inet::Address(where.address, static_cast<uint16_t>(port)),
               upstream,
               IsDualStack(where) ? Families::kBoth : Families::kItsOwn);
}

bool Reaches(const WhereToConnect<Unix>& upstream,
             const WhereToListen<Unix>& where, const AnyAddress*) {
  return IsOneFile(upstream.path, where.path);
}

template <AddressKind A, AddressKind B>
bool Reaches(const WhereToConnect<A>&, const WhereToListen<B>&,
             const AnyAddress*) {
  return false;
}

}  // namespace

absl::Status CheckNoLoop(const CheckedSpec& spec,
                         const AnyAddress* listening_on,
                         const ForwardLoops& loops) {
  if (spec.forward() == nullptr) return absl::OkStatus();
  const AnyWhereToConnect& upstream = spec.forward()->upstream;
  const auto is_reached = [&](const ForwardLoops::Upstream& from) {
    const auto reaches = [&](const auto& to, const auto& at) {
      return Reaches(to, at, listening_on);
    };
    return std::visit(reaches, from, spec.where_to_listen());
  };
  if (!loops.LeadsTo(upstream, is_reached)) return absl::OkStatus();
  const bool is_inet = std::holds_alternative<WhereToConnect<Inet>>(upstream);
  return SelfConnect(
      is_inet ? "inet.host" : "unix_socket.path",
      std::visit([](const auto& to) { return ToString(to); }, upstream),
      "leads back to the listener itself");
}

}  // namespace portreeve::server
