#include "server/registry/policy_reload.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "lib/base/log.h"
#include "lib/base/status.h"
#include "server/access/policy.h"

namespace portreeve::server {
namespace {

// The names are bounded so that one line stays readable.
constexpr size_t kMostNames = 20;

std::string List(std::vector<std::string> names) {
  const size_t count = names.size();
  if (count > kMostNames) {
    names.resize(kMostNames);
    names.push_back(absl::StrCat("and ", count - kMostNames, " more"));
  }
  return absl::StrJoin(names, ", ");
}

// Refuses a pipe, which would hold up the caller until somebody writes to it,
// and is empty once it was read.
absl::StatusOr<Policy> ReadAgain(const std::string& path) {
  struct stat file {};
  if (stat(path.c_str(), &file) != 0) return ErrnoError(errno, "open", path);
  if (!S_ISREG(file.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, " is no regular file, and cannot be read again"));
  }
  return Policy::FromFile(path);
}

}  // namespace

absl::Status ReloadPolicy(const std::string& path, LivePolicy& policy,
                          Loop& loop, const Registry& registry) {
  auto read = ReadAgain(path);
  if (!read.ok()) {
    Log(LogLevel::kError,
        absl::StrCat("--policy: ", absl::string_view(read.status().message()),
                     "; the policy that was read before stays in force"));
    return read.status();
  }
  const bool loses_identities =
      policy.Now().has_identities() && !read->has_identities();
  const bool loses_unix_identities =
      policy.Now().has_unix_identities() && !read->has_unix_identities();
  policy.Replace(*std::move(read));
  Log(LogLevel::kInfo, absl::StrCat("--policy: ", path, " was read again"));
  if (loses_identities) {
    Log(LogLevel::kWarning,
        "the policy has no identities any more: no certificate may do "
        "anything");
  }
  if (loses_unix_identities) {
    Log(LogLevel::kWarning,
        "the policy names no users and groups any more: whoever may open a "
        "unix control socket may do everything");
  }
  const auto find = [&registry] { return registry.OutsidePolicy(); };
  const std::vector<std::string> outside = loop.Run(find).get();
  if (!outside.empty()) {
    Log(LogLevel::kWarning,
        absl::StrCat("outside of the policy now, but open: ", List(outside)));
  }
  return absl::OkStatus();
}

}  // namespace portreeve::server
