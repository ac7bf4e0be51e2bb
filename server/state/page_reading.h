// Reading of the rows of a database of SQLite from its bytes, page by page: of
// a damaged file, as much as there is.
#ifndef PORTREEVE_SERVER_STATE_PAGE_READING_H_
#define PORTREEVE_SERVER_STATE_PAGE_READING_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace portreeve::server {

// A file has pages of so many bytes, all of them for SQLite.
inline constexpr size_t kPageSize = 4096;

struct PageValue {
  enum class Type { kNull, kInteger, kText, kBlob, kOther };
  Type type = Type::kNull;
  int64_t integer = 0;  // Of kInteger.
  std::string bytes;    // Of kText and kBlob.
};

struct PageRow {
  uint32_t page = 0;  // Where it begins.
  int64_t rowid = 0;  // 0 in a table WITHOUT ROWID.
  std::vector<PageValue> columns;
};

// Gives to `take` every row that is reached from the pages `roots`, in no
// order, and those on pages that nothing leads to any more, but that are not
// free either.  Rows of free pages, which were erased once, are not among them,
// unless the list of free pages is damaged as well as what leads to one.  What
// a row says is for the caller to check.
//
// Gives the numbers of the pages of which something could not be read.
std::vector<uint32_t> ReadPages(std::string_view image,
                                const std::vector<uint32_t>& roots,
                                const std::function<void(PageRow row)>& take);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATE_PAGE_READING_H_
