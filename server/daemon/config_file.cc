#include "server/daemon/config_file.h"

#include <algorithm>
#include <iomanip>
#include <sstream>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "listener_files/utf8.h"

namespace portreeve::server {
namespace {

constexpr absl::string_view kBlanks = " \t";
constexpr absl::string_view kQuotes = "\"'";

absl::Status Wrong(absl::string_view why) {
  return absl::InvalidArgumentError(why);
}

bool IsControl(char c) { return c != '\t' && absl::ascii_iscntrl(c); }

// Whether nothing more is said in a line.
bool IsEnd(absl::string_view rest) { return rest.empty() || rest[0] == '#'; }

// Takes the value off the beginning of `rest`.
absl::StatusOr<std::string> TakeValue(absl::string_view& rest) {
  if (kQuotes.find(rest[0]) == kQuotes.npos) {
    const std::string word(rest.substr(0, rest.find_first_of(kBlanks)));
    if (word.find_first_of(kQuotes.data()) != word.npos) {
      return Wrong("quotes go around the whole of a value");
    }
    rest.remove_prefix(word.size());
    return word;
  }
  std::istringstream in{std::string(rest)};
  std::string value;
  in >> std::quoted(value, rest[0]);
  if (!in) return Wrong("a quote is not closed");
  rest.remove_prefix(static_cast<size_t>(in.tellg()));
  return value;
}

// Parses what is neither empty nor a comment.
absl::StatusOr<ConfigLine> ParseFlag(absl::string_view text) {
  ConfigLine line;
  const absl::string_view name = text.substr(0, text.find_first_of(" \t="));
  if (absl::StripPrefix(name, "--").empty() ||
      name.find_first_of(kQuotes) != name.npos) {
    return Wrong("expected a flag, like `control tcp:127.0.0.1:50051`");
  }
  line.flag = absl::StrCat(name[0] == '-' ? "" : "--", name);
  absl::string_view rest =
      absl::StripLeadingAsciiWhitespace(text.substr(name.size()));
  const bool has_sign = absl::ConsumePrefix(&rest, "=");
  rest = absl::StripLeadingAsciiWhitespace(rest);
  if (IsEnd(rest)) {
    if (has_sign) {
      return Wrong(absl::StrCat(line.flag, ": there is no value behind the ="));
    }
    return line;
  }
  auto value = TakeValue(rest);
  if (!value.ok()) {
    return Wrong(absl::StrCat(line.flag, ": ", value.status().message()));
  }
  line.value = *std::move(value);
  const absl::string_view more = absl::StripLeadingAsciiWhitespace(rest);
  // What follows a closing quote at once is none of the comment's business.
  if (!IsEnd(more) || (!more.empty() && more.size() == rest.size())) {
    return Wrong(absl::StrCat(line.flag,
                              ": a flag has one value; one with blanks in it "
                              "stands in quotes"));
  }
  return line;
}

absl::StatusOr<std::optional<ConfigLine>> ParseLine(absl::string_view text) {
  if (!IsUtf8(std::string(text))) return Wrong("it is not UTF-8");
  absl::ConsumeSuffix(&text, "\r");
  if (std::any_of(text.begin(), text.end(), IsControl)) {
    return Wrong("there is a control character in it");
  }
  text = absl::StripAsciiWhitespace(text);
  if (IsEnd(text)) return std::nullopt;
  return ParseFlag(text);
}

}  // namespace

absl::StatusOr<std::vector<ConfigLine>> ParseConfig(absl::string_view text) {
  // Some editors begin with a byte order mark.
  absl::ConsumePrefix(&text, "\xef\xbb\xbf");
  std::vector<ConfigLine> lines;
  int number = 0;
  for (const absl::string_view one : absl::StrSplit(text, '\n')) {
    ++number;
    auto line = ParseLine(one);
    if (!line.ok()) {
      return Wrong(absl::StrCat(number, ": ", line.status().message()));
    }
    if (!*line) continue;
    (*line)->number = number;
    lines.push_back(**std::move(line));
  }
  return lines;
}

}  // namespace portreeve::server
