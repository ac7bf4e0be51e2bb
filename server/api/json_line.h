// JsonLine: one line of JSON, for logs.
#ifndef PORTREEVE_SERVER_API_JSON_LINE_H_
#define PORTREEVE_SERVER_API_JSON_LINE_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"

namespace portreeve::server {

struct JsonField {
  absl::string_view key;
  std::variant<absl::string_view, int64_t> value;
};

// Gives an object (RFC 8259) with `fields` in their order, without a line feed.
// In a text every byte that is not part of well-formed UTF-8 becomes "\xHH" (a
// backslash of the text), and what does not show itself is escaped
// (server/api/visible_text.h).
std::string JsonLine(const std::vector<JsonField>& fields);

// Appends `text` to `line` as the string that JsonLine() makes of it.
void AppendJsonString(absl::string_view text, std::string& line);

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_API_JSON_LINE_H_
