// EscapeInvisible: for texts of others in lines that people read.
#ifndef PORTREEVE_SERVER_API_VISIBLE_TEXT_H_
#define PORTREEVE_SERVER_API_VISIBLE_TEXT_H_

#include <string>

#include "absl/strings/string_view.h"

namespace portreeve::server {

// Gives `text`, which is UTF-8, with every character that does not show itself
// as JSON's escape ("\u202e"): control characters, format characters, of which
// some change how the rest is shown, separators of lines, and what has no
// glyph.  So no text looks like another, or like two lines.
std::string EscapeInvisible(absl::string_view text);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_API_VISIBLE_TEXT_H_
