// What does not show itself is escaped, by the daemon as by the command line.
#include "server/api/visible_text.h"

#include <gtest/gtest.h>

#include <string>

#include "client/cli/printable.h"
#include "tests/testing/shown_text.h"

namespace portreeve::server {
namespace {

TEST(EscapeInvisibleTest, GivesJsonsEscapes) {
  for (const auto& row : testing::kShownTexts) {
    EXPECT_EQ(EscapeInvisible(row.text), row.json);
  }
}

TEST(EscapeInvisibleTest, NulAndLineFeedAreControlCharacters) {
  EXPECT_EQ(EscapeInvisible(std::string("a\0b\nc", 5)), "a\\u0000b\\u000ac");
  // The last of them; JSON's writer has capitals here, which mean the same.
  EXPECT_EQ(EscapeInvisible("a\x1f b"), "a\\u001f b");
}

std::string Utf8(uint32_t code) {
  const auto tail = [code](int shift) {
    return static_cast<char>(0x80 | (code >> shift & 0x3f));
  };
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800) return {static_cast<char>(0xc0 | code >> 6), tail(0)};
  if (code < 0x10000) {
    return {static_cast<char>(0xe0 | code >> 12), tail(6), tail(0)};
  }
  return {static_cast<char>(0xf0 | code >> 18), tail(12), tail(6), tail(0)};
}

// Each has a table of its own; they are the same one, for every character.
TEST(EscapeInvisibleTest, TheCommandLineEscapesTheSame) {
  int num_escaped = 0;
  for (uint32_t code = 0; code <= 0x10ffff; ++code) {
    if (code >= 0xd800 && code <= 0xdfff) continue;
    const std::string text = Utf8(code);
    const bool escaped = EscapeInvisible(text) != text;
    ASSERT_EQ(cli::Printable(text) != text, escaped) << code;
    if (code >= 0x20) {
      ASSERT_EQ(cli::PrintableJson(text), EscapeInvisible(text)) << code;
    }
    num_escaped += escaped ? 1 : 0;
  }
  EXPECT_GT(num_escaped, 4'096);
  EXPECT_LT(num_escaped, 4'400);
}

}  // namespace
}  // namespace portreeve::server
