#include "command_line/man_page.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>  // Has App.hpp's vtable of Formatter.
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "command_line/version.h"

namespace portreeve {
namespace {

// Gives `text` with what roff would take for its own, or set as typographers
// do, as it is.
std::string Escaped(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"\\", "\\(rs"},
                                    {"-", "\\-"},
                                    {"'", "\\(aq"},
                                    {"\"", "\\(dq"},
                                    {"`", "\\(ga"},
                                    {"^", "\\(ha"},
                                    {"~", "\\(ti"}});
}

// Gives a line of text; a dot at its beginning is no request.
std::string Line(absl::string_view text) {
  const bool is_request = !text.empty() && text[0] == '.';
  return absl::StrCat(is_request ? "\\&" : "", Escaped(text), "\n");
}

std::string Bold(absl::string_view text) {
  return absl::StrCat("\\fB", Escaped(text), "\\fR");
}

std::string Italic(absl::string_view text) {
  return absl::StrCat("\\fI", Escaped(text), "\\fR");
}

std::string Heading(absl::string_view macro, absl::string_view text) {
  return absl::StrCat(macro, " \"", Escaped(text), "\"\n");
}

// Gives lines that are not filled.
std::string Literal(const std::vector<absl::string_view>& lines) {
  std::string roff = ".nf\n";
  for (const absl::string_view line : lines) absl::StrAppend(&roff, Line(line));
  return roff + ".fi\n";
}

// Gives a description, with the examples in it.
std::string Paragraphs(absl::string_view text) {
  std::string roff;
  std::vector<absl::string_view> example;
  const auto end_example = [&] {
    if (example.empty()) return;
    absl::StrAppend(&roff, ".PP\n.RS 4\n", Literal(example), ".RE\n.PP\n");
    example.clear();
  };
  text = absl::StripAsciiWhitespace(text);
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::StartsWith(line, " ")) {
      example.push_back(absl::StripAsciiWhitespace(line));
      continue;
    }
    end_example();
    absl::StrAppend(&roff, line.empty() ? ".PP\n" : Line(line));
  }
  end_example();
  return roff;
}

bool IsFlag(const CLI::Option* option) { return option->nonpositional(); }

std::string NamesOf(const CLI::Option& option) {
  if (!IsFlag(&option)) return Italic(option.get_name(true));
  std::vector<std::string> names;
  for (const absl::string_view name :
       absl::StrSplit(option.get_name(false, true), ',')) {
    names.push_back(Bold(name));
  }
  const std::string type = option.get_type_name();
  return absl::StrCat(absl::StrJoin(names, ", "),
                      type.empty() ? "" : " " + Italic(type));
}

std::string Options(const std::vector<const CLI::Option*>& options) {
  std::string roff;
  for (const CLI::Option* option : options) {
    absl::StrAppend(&roff, ".TP\n", NamesOf(*option), "\n",
                    Line(option->get_description()));
  }
  return roff;
}

// Gives the arguments of a verb or program as they stand behind its name.
std::string Usage(const CLI::App& app) {
  std::string usage;
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional()) continue;
    const std::string name = Italic(option->get_name(true));
    absl::StrAppend(&usage, " ",
                    option->get_required() ? name : "[" + name + "]");
  }
  return absl::StrCat(usage, " [", Italic("OPTIONS"), "]");
}

// What both a program and its verbs have is told once.
std::vector<const CLI::Option*> OwnOptions(const CLI::App& verb) {
  return verb.get_options([&verb](const CLI::Option* option) {
    return option != verb.get_help_ptr();
  });
}

std::string Verbs(const CLI::App& app) {
  std::string roff = Heading(".SH", "VERBS");
  for (const CLI::App* verb : app.get_subcommands({})) {
    absl::StrAppend(&roff, ".SS \"", Escaped(app.get_name()), " ",
                    Escaped(verb->get_name()), Usage(*verb), "\"\n",
                    Paragraphs(verb->get_description()),
                    Options(OwnOptions(*verb)));
  }
  return roff;
}

std::string Footer(const std::string& text) {
  std::vector<absl::string_view> lines =
      absl::StrSplit(absl::StripAsciiWhitespace(text), '\n');
  const std::string heading =
      absl::AsciiStrToUpper(absl::StripSuffix(lines[0], ":"));
  lines.erase(lines.begin());
  return absl::StrCat(Heading(".SH", heading), Literal(lines));
}

}  // namespace

std::string ManPageOf(const CLI::App& app, const ManPage& page) {
  const std::string name = app.get_name();
  const bool has_verbs = !app.get_subcommands({}).empty();
  std::string roff =
      absl::StrCat(".\\\" Made by the build, of what --help is made of.\n",  //
                   ".TH \"", absl::AsciiStrToUpper(name), "\" \"", page.section,
                   "\" \"\" \"", Escaped(absl::StrCat("Portreeve ", kVersion)),
                   "\" \"Portreeve\"\n",
                   // Neither hyphens nor blanks that nobody wrote.
                   ".nh\n.ad l\n",  //
                   Heading(".SH", "NAME"), Escaped(name), " \\- ",
                   Line(page.summary), Heading(".SH", "SYNOPSIS"), Bold(name));
  if (has_verbs) {
    absl::StrAppend(&roff, " ", Italic("VERB"), " ...");
  }
  absl::StrAppend(
      &roff, Usage(app), "\n", Heading(".SH", "DESCRIPTION"),
      Paragraphs(app.get_description()),
      Heading(".SH", has_verbs ? "OPTIONS OF EVERY VERB" : "OPTIONS"),
      Options(app.get_options()));
  if (has_verbs) absl::StrAppend(&roff, Verbs(app));
  if (!app.get_footer().empty()) {
    absl::StrAppend(&roff, Footer(app.get_footer()));
  }
  return roff;
}

}  // namespace portreeve
