#include "command_line/unexpected.h"

#include <gtest/gtest.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <string>
#include <vector>

namespace portreeve {
namespace {

// Gives what is said of the words of a program with two verbs and flags.
std::string Of(std::vector<std::string> words) {
  CLI::App app;
  app.fallthrough();
  std::string text;
  app.add_option("--server", text);
  CLI::App* create = app.add_subcommand("create");
  create->add_option("ID", text);
  create->add_option("--listen", text)->required();
  CLI::App* list = app.add_subcommand("list");
  list->add_flag("--all");
  app.require_subcommand(1);
  try {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::ParseError&) {
    return UnexpectedText(app);
  }
  return "parsed";
}

TEST(UnexpectedTest, VerbsAndFlagsThatAreNoneAreNamedWithWhatMayBeMeant) {
  EXPECT_EQ(Of({"lits"}), "'lits' is no verb; did you mean list?");
  EXPECT_EQ(Of({"frobnicate"}), "'frobnicate' is no verb");
  EXPECT_EQ(Of({"list", "--al"}), "there is no flag --al; did you mean --all?");
  EXPECT_EQ(Of({"list", "--sevrer", "x"}),
            "there is no flag --sevrer; did you mean --server?");
  EXPECT_EQ(Of({"--sevrer", "x", "list"}),
            "there is no flag --sevrer; did you mean --server?");
  EXPECT_EQ(Of({"create", "--lisen=tcp:*:1"}),
            "there is no flag --lisen; did you mean --listen?");
  // Flags of another verb are none of this one.
  EXPECT_EQ(Of({"list", "--listen", "x"}), "there is no flag --listen");
}

TEST(UnexpectedTest, WordsAreToldInTheirOrder) {
  EXPECT_EQ(Of({"list", "a"}), "'a' was not expected");
  EXPECT_EQ(Of({"list", "-"}), "'-' was not expected");  // No flag.
  EXPECT_EQ(Of({"list", "a", "b", "c"}), "'a' 'b' 'c' were not expected");
}

TEST(UnexpectedTest, NothingIsSaidWhereAllIsKnown) {
  EXPECT_EQ(Of({"list", "--all"}), "parsed");
  EXPECT_EQ(Of({"create"}), "");
  EXPECT_EQ(Of({}), "");
}

}  // namespace
}  // namespace portreeve
