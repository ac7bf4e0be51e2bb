// Tables for people, which awk can cut.
#ifndef PORTREEVE_CLIENT_CLI_TEXT_TABLE_H_
#define PORTREEVE_CLIENT_CLI_TEXT_TABLE_H_

#include <cstddef>
#include <string>
#include <vector>

namespace portreeve::cli {

// Gives a text that others have written as a cell: printable, "-" where it is
// empty, and with underscores for blanks, which would look like the end of its
// column.
std::string Cell(const std::string& text);

// Columns are separated by two blanks or more.
class TextTable {
 public:
  using Row = std::vector<std::string>;  // Of as many cells as all others.

  // Gives a line for each row, which must not be none; the columns are as wide
  // as the widest cell.
  std::string Lines(const std::vector<Row>& rows);

  // Gives a line to come under those of Lines(), in the same columns as far as
  // its cells fit.
  std::string Line(const Row& row) const;

 private:
  std::vector<size_t> widths_;
};

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_TEXT_TABLE_H_
