#include "server/access/unix_directories.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>

#include "lib/net/address.h"

namespace portreeve::server {
namespace {

namespace fs = std::filesystem;

// Makes `path` absolute, without links, `.` and `..`; what does not exist is
// taken as it is written.  Gives nothing where that cannot be known.
std::optional<fs::path> Resolve(const fs::path& path) {
  std::error_code ec;
  fs::path resolved = fs::absolute(path, ec);
  if (!ec) resolved = fs::weakly_canonical(resolved, ec);
  if (ec) return std::nullopt;
  // A slash at the end gives an empty name here.
  if (!resolved.has_filename()) resolved = resolved.parent_path();
  return resolved;
}

bool IsBelow(const fs::path& resolved, const std::string& directory) {
  const auto top = Resolve(directory);
  if (!top) return false;
  const auto [in_top, in_path] =
      std::mismatch(top->begin(), top->end(), resolved.begin(), resolved.end());
  return in_top == top->end() && in_path != resolved.end();
}

bool AnyContains(const std::vector<std::string>& directories,
                 const std::optional<fs::path>& resolved) {
  return resolved && std::any_of(directories.begin(), directories.end(),
                                 [&](const std::string& directory) {
                                   return IsBelow(*resolved, directory);
                                 });
}

// Whether links are left: one that leads nowhere stays when all are followed.
bool HasLinks(const fs::path& resolved) {
  fs::path part;
  for (const fs::path& name : resolved) {
    part /= name;
    std::error_code ec;
    if (fs::is_symlink(fs::symlink_status(part, ec))) return true;
  }
  return false;
}

}  // namespace

bool UnixDirectories::ContainNew(const std::string& path) const {
  if (IsAbstract(path)) return false;
  const fs::path name = fs::path(path).filename();
  if (name.empty() || name == "." || name == "..") return false;
  const fs::path parent = fs::path(path).parent_path();
  auto resolved = Resolve(parent.empty() ? fs::path(".") : parent);
  if (!resolved || HasLinks(*resolved)) return false;
  return AnyContains(directories_, *resolved / name);
}

std::optional<std::string> UnixDirectories::TargetWithin(
    const std::string& path) const {
  if (IsAbstract(path)) return std::nullopt;
  const auto resolved = Resolve(path);
  if (!resolved || HasLinks(*resolved)) return std::nullopt;
  if (!AnyContains(directories_, resolved)) return std::nullopt;
  return resolved->string();
}

}  // namespace portreeve::server
