#include "server/api/page_token.h"

#include <gtest/gtest.h>

#include <string>

#include "lib/base/status.h"

namespace portreeve::server {
namespace {

constexpr char kList[] = "listeners";

bool IsForeign(const PageTokens& tokens, const std::string& text,
               const std::string& list = kList) {
  const absl::Status status = tokens.Decode(text, list).status();
  EXPECT_TRUE(status.ok() || DetailOf(status).field == "page_token") << status;
  EXPECT_TRUE(status.ok() || DetailOf(status).reason == Reason::kInvalidField);
  return !status.ok();
}

TEST(PageTokenTest, GivesBackWhatItStandsFor) {
  const PageTokens tokens;
  for (const std::string last : {"", "a", "ab", "abc", "connections/17"}) {
    for (const int64_t revision : {int64_t{0}, int64_t{1} << 60}) {
      const auto token =
          tokens.Decode(tokens.Encode({kList, last, revision}), kList);
      ASSERT_TRUE(token.ok()) << token.status();
      EXPECT_EQ(token->list, kList);
      EXPECT_EQ(token->last, last);
      EXPECT_EQ(token->revision, revision);
    }
  }
}

TEST(PageTokenTest, AnotherListsIsForeign) {
  const PageTokens tokens;
  const std::string text = tokens.Encode({"listeners/a", "connections/1", 0});
  EXPECT_FALSE(IsForeign(tokens, text, "listeners/a"));
  EXPECT_TRUE(IsForeign(tokens, text, "listeners/b"));
  EXPECT_TRUE(IsForeign(tokens, text, "connections"));
}

TEST(PageTokenTest, AnotherLifesIsForeign) {
  const PageTokens one;
  const PageTokens other;
  const PageToken token{kList, "a", 3};
  EXPECT_NE(one.Encode(token), other.Encode(token));
  EXPECT_TRUE(IsForeign(other, one.Encode(token)));
}

TEST(PageTokenTest, TheNextProcessOfADaemonKnowsThoseOfTheLastOne) {
  const PageTokens last;
  PageTokens next;
  const PageToken token{kList, "a", 3};
  const std::string foreign = next.Encode(token);
  ASSERT_TRUE(next.SetKey(last.key()));
  EXPECT_FALSE(IsForeign(next, last.Encode(token)));
  EXPECT_EQ(next.Encode(token), last.Encode(token));
  EXPECT_EQ(next.key(), last.key());
  EXPECT_TRUE(IsForeign(next, foreign));
}

TEST(PageTokenTest, WhatIsNoKeyChangesNothing) {
  PageTokens tokens;
  const std::string key = tokens.key();
  for (const std::string& other : {std::string(), key.substr(1), key + "x"}) {
    EXPECT_FALSE(tokens.SetKey(other));
    EXPECT_EQ(tokens.key(), key);
  }
}

// Of every length modulo 3, for base64 has bits to spare in two of them.
TEST(PageTokenTest, OneThatWasChangedIsForeign) {
  const PageTokens tokens;
  for (const std::string last : {"a", "ab", "abc"}) {
    const std::string text = tokens.Encode({kList, last, 3});
    EXPECT_FALSE(IsForeign(tokens, text));
    for (size_t i = 0; i < text.size(); ++i) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string changed = text;
        changed[i] = static_cast<char>(byte);
        EXPECT_EQ(IsForeign(tokens, changed), changed != text)
            << i << " " << byte;
      }
      EXPECT_TRUE(IsForeign(tokens, text.substr(0, i)));
      EXPECT_TRUE(IsForeign(tokens, text.substr(i + 1)));
    }
    for (const char* more : {"A", "=", "==", " ", "\n"}) {
      EXPECT_TRUE(IsForeign(tokens, text + more));
      EXPECT_TRUE(IsForeign(tokens, more + text));
    }
  }
}

TEST(PageTokenTest, WhatIsNoTokenIsForeign) {
  const PageTokens tokens;
  for (const std::string& text :
       {std::string(), std::string("A"), std::string("AAAA"),
        std::string(22, 'A'), std::string(100'000, 'A'), std::string("|||"),
        std::string(1, '\0')}) {
    EXPECT_TRUE(IsForeign(tokens, text));
  }
}

}  // namespace
}  // namespace portreeve::server
