#include "server/daemon/config_file.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace portreeve::server {
namespace {

// The lines as "NUMBER FLAG" or "NUMBER FLAG <VALUE>", or the error.
std::vector<std::string> Lines(const std::string& text) {
  const auto lines = ParseConfig(text);
  if (!lines.ok()) return {std::string(lines.status().message())};
  std::vector<std::string> texts;
  for (const ConfigLine& line : *lines) {
    texts.push_back(absl::StrCat(line.number, " ", line.flag));
    if (line.value) absl::StrAppend(&texts.back(), " <", *line.value, ">");
  }
  return texts;
}
using Texts = std::vector<std::string>;

TEST(ConfigFileTest, AFlagAndItsValueAreWrittenInManyWays) {
  for (const char* line :
       {"--drain 10s", "--drain=10s", "drain 10s", "drain=10s", "drain = 10s",
        "  drain\t10s  ", "--drain  =10s", "drain \"10s\"", "drain='10s'",
        "drain 10s # a comment", "drain=\"10s\" #", "drain 10s\r"}) {
    EXPECT_EQ(Lines(line), Texts{"1 --drain <10s>"}) << line;
  }
  for (const char* line : {"--insecure", "insecure", " insecure ",
                           "insecure # why", "insecure\r", "insecure\t#"}) {
    EXPECT_EQ(Lines(line), Texts{"1 --insecure"}) << line;
  }
}

TEST(ConfigFileTest, LinesAreCountedWithThoseThatAreEmptyOrComments) {
  EXPECT_EQ(Lines(""), Texts{});
  EXPECT_EQ(Lines("\n\r\n  \n# control x\n\t# y"), Texts{});
  EXPECT_EQ(Lines("# first\r\n\r\na 1\r\n#\r\n  b 2\r\n"),
            (Texts{"3 --a <1>", "5 --b <2>"}));
  EXPECT_EQ(Lines("\xef\xbb\xbf"
                  "a 1\na 2"),
            (Texts{"1 --a <1>", "2 --a <2>"}));
}

TEST(ConfigFileTest, QuotesHoldBlanksAndWhatWouldBeAComment) {
  EXPECT_EQ(Lines("listen \"tcp:*:80 echo\""),
            Texts{"1 --listen <tcp:*:80 echo>"});
  EXPECT_EQ(Lines("a ' # \"x\" = '"), Texts{"1 --a < # \"x\" = >"});
  EXPECT_EQ(Lines(R"(a "\"q\" \\ it's")"), Texts{R"(1 --a <"q" \ it's>)"});
  EXPECT_EQ(Lines(R"(a 'it\'s')"), Texts{"1 --a <it's>"});
  EXPECT_EQ(Lines("a \"\""), Texts{"1 --a <>"});
  EXPECT_EQ(Lines("a = ''"), Texts{"1 --a <>"});
}

TEST(ConfigFileTest, OutsideOfQuotesMostCharactersAreThemselves) {
  EXPECT_EQ(Lines(R"(a C:\x)"), Texts{R"(1 --a <C:\x>)"});
  EXPECT_EQ(Lines("a /run/x#y"), Texts{"1 --a </run/x#y>"});
  EXPECT_EQ(Lines("a b=c"), Texts{"1 --a <b=c>"});
  EXPECT_EQ(Lines("a = =c"), Texts{"1 --a <=c>"});
  EXPECT_EQ(Lines("a $HOME ; b"),
            Texts{"1: --a: a flag has one value; one with blanks in it stands "
                  "in quotes"});
  EXPECT_EQ(Lines("a $HOME;b"), Texts{"1 --a <$HOME;b>"});
  EXPECT_EQ(Lines("a -1s"), Texts{"1 --a <-1s>"});
  EXPECT_EQ(Lines("a /gr\xc3\xbc\xc3\x9f"),
            Texts{"1 --a </gr\xc3\xbc\xc3\x9f>"});
}

TEST(ConfigFileTest, RefusesWhatCannotBeALine) {
  const std::string no_flag =
      "2: expected a flag, like `control tcp:127.0.0.1:50051`";
  const std::string one_value =
      "2: --a: a flag has one value; one with blanks in it stands in quotes";
  const std::string around = "2: --a: quotes go around the whole of a value";
  const std::string open = "2: --a: a quote is not closed";
  const std::string control = "2: there is a control character in it";
  const std::string no_value = "2: --a: there is no value behind the =";
  const struct {
    std::string line;
    std::string error;
  } cases[] = {
      {"=", no_flag},
      {"= x", no_flag},
      {"--", no_flag},
      {"--=x", no_flag},
      {"\"\"", no_flag},
      {"\"", no_flag},
      {"'a' x", no_flag},
      {"a b c", one_value},
      {"a=b c", one_value},
      {"a \"b\"c", one_value},
      {"a \"b\"#c", one_value},
      {"a \"b\" \"c\"", one_value},
      {"a b\"c\"", around},
      {"a it's", around},
      {"a=\"b", open},
      {"a 'b\"", open},
      {"a \"b\\\"", open},
      {"a \"", open},
      {"a =", no_value},
      {"a = # x", no_value},
      {std::string("a b\0c", 5), control},
      {std::string("\0", 1), control},
      {"a \x1b[31m", control},
      {"a b\rc", control},
      {"a b\r\r", control},
      {"a \x7f", control},
      {"a \xff", "2: it is not UTF-8"},
      {"# \xc3", "2: it is not UTF-8"},
  };
  for (const auto& [line, error] : cases) {
    EXPECT_EQ(Lines("\n" + line), Texts{error}) << line;
    EXPECT_EQ(Lines("x\n" + line + "\ny z z"), Texts{error}) << line;
  }
}

}  // namespace
}  // namespace portreeve::server
