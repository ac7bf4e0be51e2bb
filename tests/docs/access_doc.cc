#include "tests/docs/access_doc.h"

#include "absl/strings/str_cat.h"
#include "server/access/access_table.h"

namespace portreeve::testing {
namespace {

constexpr char kBegin[] = "<!-- The table begins. -->\n";
constexpr char kEnd[] = "<!-- The table ends. -->\n";

std::string May(v1::Role role, const server::MethodAccess& access) {
  return role >= access.role ? "yes" : "no";
}

std::string Table() {
  std::string table =
      "| method | viewer | operator | admin | audited "
      "|\n|---|---|---|---|---|\n";
  for (const server::MethodAccess& access : server::AccessTable()) {
    absl::StrAppend(
        &table, "| `", std::string(access.service), "/",
        std::string(access.method), "` | ", May(v1::ROLE_VIEWER, access), " | ",
        May(v1::ROLE_OPERATOR, access), " | ", May(v1::ROLE_ADMIN, access),
        " | ", access.changes ? "yes" : "no", " |\n");
  }
  return table;
}

}  // namespace

std::string WithAccessTable(const std::string& document) {
  const size_t begin = document.find(kBegin);
  const size_t end = document.find(kEnd);
  if (begin == std::string::npos || end == std::string::npos || end < begin) {
    return document;
  }
  return absl::StrCat(document.substr(0, begin), kBegin, Table(),
                      document.substr(end));
}

}  // namespace portreeve::testing
