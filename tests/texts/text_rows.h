// The tables that the C++ parsers and the modules in Python and Node share.
#ifndef PORTREEVE_TESTS_TEXTS_TEXT_ROWS_H_
#define PORTREEVE_TESTS_TEXTS_TEXT_ROWS_H_

#include <optional>
#include <string>
#include <vector>

namespace portreeve {

// Of tests/texts/addresses.json: what a text is as an address to listen at, and
// to connect to: "HOST PORT", or a path; nothing where it is refused.  Relative
// paths count from /home/me.
struct AddressRow {
  std::string text;
  std::optional<std::string> listens;
  std::optional<std::string> connects;
};
std::vector<AddressRow> ReadAddressRows();

// Of tests/texts/names.json: what a text is as the name of a listener, and of a
// connection; nothing where it is refused.
struct NameRow {
  std::string text;
  std::optional<std::string> listener;
  std::optional<std::string> connection;
};
std::vector<NameRow> ReadNameRows();

}  // namespace portreeve

#endif  // PORTREEVE_TESTS_TEXTS_TEXT_ROWS_H_
