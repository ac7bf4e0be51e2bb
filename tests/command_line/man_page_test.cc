#include "command_line/man_page.h"

#include <gtest/gtest.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "command_line/version.h"

namespace portreeve {
namespace {

TEST(ManPageTest, HasTheProgramItsOptionsAndItsFooter) {
  CLI::App app("does what\nit is told.\n  $ tool \\x\n.Then 'it' ends.",
               "tool");
  app.set_help_flag("-h,--help", "Say so");
  app.footer("Exit status:\n  0  done\n  1  \"not\"\n");
  app.add_option("--to-file", "Where `it` goes, ~ or ^")->type_name("FILE");
  EXPECT_EQ(ManPageOf(app, {8, "do"}),
            absl::StrCat(R"(.\" Made by the build, of what --help is made of.
.TH "TOOL" "8" "" "Portreeve )",
                         kVersion, R"(" "Portreeve"
.nh
.ad l
.SH "NAME"
tool \- do
.SH "SYNOPSIS"
\fBtool\fR [\fIOPTIONS\fR]
.SH "DESCRIPTION"
does what
it is told.
.PP
.RS 4
.nf
$ tool \(rsx
.fi
.RE
.PP
\&.Then \(aqit\(aq ends.
.SH "OPTIONS"
.TP
\fB\-h\fR, \fB\-\-help\fR
Say so
.TP
\fB\-\-to\-file\fR \fIFILE\fR
Where \(gait\(ga goes, \(ti or \(ha
.SH "EXIT STATUS"
.nf
  0  done
  1  \(dqnot\(dq
.fi
)"));
}

TEST(ManPageTest, HasTheVerbsWithTheirArgumentsAndWithoutTheirHelp) {
  CLI::App app("does.", "tool");
  CLI::App* verb = app.add_subcommand("is-on", "Asks.");
  verb->add_option("NAME", "Which")->required();
  verb->add_option("MORE", "Or");
  const std::string page = ManPageOf(app, {1, "do"});
  EXPECT_NE(page.find("\\fBtool\\fR \\fIVERB\\fR ... [\\fIOPTIONS\\fR]\n"),
            page.npos);
  const std::string verbs = page.substr(page.find(".SH \"VERBS\""));
  EXPECT_EQ(verbs, R"(.SH "VERBS"
.SS "tool is\-on \fINAME\fR [\fIMORE\fR] [\fIOPTIONS\fR]"
Asks.
.TP
\fINAME\fR
Which
.TP
\fIMORE\fR
Or
)");
}

}  // namespace
}  // namespace portreeve
