#include "command_line/nearest.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace portreeve {
namespace {

const std::string kLetters = "ab";

// What one mistake makes of a word.
std::set<std::string> OneMistake(const std::string& word) {
  std::set<std::string> made;
  for (size_t i = 0; i <= word.size(); ++i) {
    const std::string before = word.substr(0, i);
    for (const char letter : kLetters) {
      made.insert(before + letter + word.substr(i));
      if (i < word.size()) made.insert(before + letter + word.substr(i + 1));
    }
    if (i < word.size()) made.insert(before + word.substr(i + 1));
    if (i + 1 < word.size()) {
      made.insert(before + word[i + 1] + word[i] + word.substr(i + 2));
    }
  }
  made.erase(word);
  return made;
}

std::vector<std::string> WordsOfAtMost(size_t letters) {
  std::vector<std::string> words = {""};
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i].size() == letters) continue;
    for (const char letter : kLetters) words.push_back(words[i] + letter);
  }
  return words;
}

TEST(EditDistanceTest, OfEveryTwoShortWordsOneMistakeIsOne) {
  const std::vector<std::string> words = WordsOfAtMost(4);
  for (const std::string& a : words) {
    const std::set<std::string> near = OneMistake(a);
    for (const std::string& b : words) {
      const size_t distance = EditDistance(a, b);
      EXPECT_EQ(distance == 0, a == b) << a << " " << b;
      EXPECT_EQ(distance == 1, near.count(b) == 1) << a << " " << b;
      EXPECT_EQ(distance, EditDistance(b, a)) << a << " " << b;
      EXPECT_LE(distance, std::max(a.size(), b.size())) << a << " " << b;
    }
  }
}

TEST(EditDistanceTest, CountsMistakes) {
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3u);
  EXPECT_EQ(EditDistance("lits", "list"), 1u);
  EXPECT_EQ(EditDistance("", "abc"), 3u);
}

TEST(NearestTest, IsWhatMayHaveBeenMeant) {
  const std::vector<std::string> kVerbs = {
      "create", "list",   "get",         "update", "close", "is-closed",
      "delete", "attach", "connections", "kill",   "watch", "dial"};
  for (const auto& [word, meant] :
       std::map<std::string, std::string>{{"lits", "list"},
                                          {"lst", "list"},
                                          {"craete", "create"},
                                          {"conections", "connections"},
                                          {"connection", "connections"},
                                          {"isclosed", "is-closed"},
                                          {"kil", "kill"},
                                          {"closed", "close"},
                                          {"gte", "get"},
                                          {"dail", "dial"},
                                          // What nobody can have meant.
                                          {"rm", ""},
                                          {"", ""},
                                          {"x", ""},
                                          {"frobnicate", ""},
                                          {"l", ""},
                                          {std::string(100'000, 'l'), ""}}) {
    EXPECT_EQ(Nearest(word, kVerbs), meant) << word.substr(0, 20);
  }
  EXPECT_EQ(Nearest("list", {}), "");
  // Of one letter anything might be made.
  EXPECT_EQ(Nearest("l", {"ls"}), "");
  EXPECT_EQ(Nearest("ls", {"l"}), "");
  EXPECT_EQ(Nearest("lx", {"ls"}), "ls");
}

TEST(NearestTest, OfEquallyNearOnesIsTheFirst) {
  EXPECT_EQ(Nearest("lisp", {"list", "lisa"}), "list");
  EXPECT_EQ(Nearest("lisp", {"lisa", "list"}), "lisa");
  EXPECT_EQ(Nearest("--tls-cret", {"--tls-ca", "--tls-cert"}), "--tls-cert");
}

}  // namespace
}  // namespace portreeve
