#include "server/access/system_accounts.h"

#include <grp.h>
#include <pwd.h>

#include <cerrno>
#include <cstdint>
#include <limits>
#include <system_error>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace portreeve::server {
namespace {

// An entry names all members of its group, and so has no bound of its own.
constexpr size_t kMostEntryBytes = 16 << 20;

std::string Quoted(const std::string& text) {
  return absl::StrCat("\"", absl::Utf8SafeCHexEscape(text), "\"");
}

// Whether getpwnam(3) means that there is no such account.
bool IsNotFound(int error_number) {
  return error_number == 0 || error_number == ENOENT || error_number == ESRCH ||
         error_number == EBADF || error_number == EPERM;
}

// Asks `get`, getpwnam_r(3) or its like, for the entry with a name; gives its
// `number`.
template <typename Entry, typename Get>
absl::StatusOr<id_t> Find(const std::string& name, const char* kind, Get get,
                          id_t Entry::*number) {
  // What follows a NUL would not be asked for.
  if (name.empty() || name.find('\0') != name.npos) {
    return absl::NotFoundError(
        absl::StrCat("there is no ", kind, " ", Quoted(name)));
  }
  std::vector<char> space(4096);
  while (true) {
    Entry entry{};
    Entry* found = nullptr;
    const int error =
        get(name.c_str(), &entry, space.data(), space.size(), &found);
    if (error == EINTR) continue;
    if (error == ERANGE && space.size() < kMostEntryBytes) {
      space.resize(space.size() * 4);
      continue;
    }
    if (found != nullptr) return entry.*number;
    if (IsNotFound(error)) {
      return absl::NotFoundError(
          absl::StrCat("there is no ", kind, " ", Quoted(name)));
    }
    return absl::UnavailableError(absl::StrCat(
        "the system's database cannot tell about ", kind, " ", Quoted(name),
        ": ", std::generic_category().message(error)));
  }
}

}  // namespace

absl::StatusOr<std::optional<id_t>> AccountNumber(const std::string& text) {
  if (text.empty() || text.find_first_not_of("0123456789") != text.npos) {
    return std::optional<id_t>();
  }
  // The largest means "none" to the kernel.
  constexpr id_t kMost = std::numeric_limits<id_t>::max() - 1;
  uint64_t number = 0;
  if (!absl::SimpleAtoi(text, &number) || number > kMost) {
    return absl::InvalidArgumentError(
        absl::StrCat(text, " is not a number from 0 to ", kMost));
  }
  return std::optional<id_t>(static_cast<id_t>(number));
}

absl::StatusOr<uid_t> FindUser(const std::string& text) {
  const auto number = AccountNumber(text);
  if (!number.ok()) return number.status();
  if (*number) return **number;
  return Find(text, "user", &getpwnam_r, &passwd::pw_uid);
}

absl::StatusOr<gid_t> FindGroup(const std::string& text) {
  const auto number = AccountNumber(text);
  if (!number.ok()) return number.status();
  if (*number) return **number;
  return Find(text, "group", &getgrnam_r, &group::gr_gid);
}

}  // namespace portreeve::server
