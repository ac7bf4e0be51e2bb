#include "command_line/completion.h"

#include <gtest/gtest.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

namespace portreeve {
namespace {

TEST(CompletionTest, TablesHaveVerbsFlagsValuesAndArguments) {
  CLI::App app("does.", "tool");
  app.set_help_flag("-h,--help", "Say so");
  app.add_option("-o,--output", "How")->type_name("it's|b");
  CLI::App* verb = app.add_subcommand("get", "Gets.");
  verb->add_flag("--all", "All");
  verb->add_option("--kind", "Which")->type_name("KIND");
  verb->add_option("NAME", "What")->type_name("");
  verb->add_option("DIR", "Where")->type_name("a|b");
  app.add_subcommand("put", "Puts.");
  EXPECT_EQ(CompletionTables(app, {{"KIND", {"x", "y"}}}),
            R"(declare -g _tool_verbs='get put'
declare -gA _tool_flags=(
  ['.']='-h --help -o --output'
  ['get']='--all --kind'
  ['put']=''
)
declare -gA _tool_values=(
  ['. -o']='it'\''s|b'
  ['. --output']='it'\''s|b'
  ['get --kind']='x|y'
)
declare -gA _tool_arguments=(
  ['.']=''
  ['get']='NAME a|b'
  ['put']=''
)
)");
}

}  // namespace
}  // namespace portreeve
