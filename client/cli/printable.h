// Makes texts of others safe to show on a terminal.
#ifndef PORTREEVE_CLIENT_CLI_PRINTABLE_H_
#define PORTREEVE_CLIENT_CLI_PRINTABLE_H_

#include <cstddef>
#include <string>

namespace portreeve::cli {

// Gives `text` with the bytes of every character that does not show itself, and
// those that are not UTF-8, written as C escapes.  Such are control characters,
// ends of lines included, format characters, of which some change the order in
// which the rest is shown, and what has no glyph.  So what a daemon sends can
// neither forge a line, nor look like another text, nor steer a terminal.
std::string Printable(const std::string& text);

// Gives as many whole characters of `text`, which is printable, as fit into
// `columns`, where one may take as many as it has bytes: no terminal needs
// more.
std::string CutToFit(const std::string& text, size_t columns);

// Does the same as Printable to JSON with JSON's escapes, so that it still
// means the same. `json` must have no control characters within its strings.
std::string PrintableJson(const std::string& json);

}  // namespace portreeve::cli

#endif  // PORTREEVE_CLIENT_CLI_PRINTABLE_H_
