#include "client/cli/text_table.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/cli/printable.h"

namespace portreeve::cli {

std::string Cell(const std::string& text) {
  if (text.empty()) return "-";
  std::string cell = Printable(text);
  std::replace(cell.begin(), cell.end(), ' ', '_');
  return cell;
}

std::string TextTable::Lines(const std::vector<Row>& rows) {
  widths_.assign(rows.front().size(), 0);
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths_[i] = std::max(widths_[i], row[i].size());
    }
  }
  std::string lines;
  for (const Row& row : rows) lines += Line(row);
  return lines;
}

std::string TextTable::Line(const Row& row) const {
  std::string line;
  for (size_t i = 0; i + 1 < row.size(); ++i) {
    const size_t width = std::max(widths_[i], row[i].size());
    absl::StrAppend(&line, row[i], std::string(width - row[i].size() + 2, ' '));
  }
  return absl::StrCat(line, row.back(), "\n");
}

}  // namespace portreeve::cli
