// The manual page of a program, made of what its --help is made of.
#ifndef PORTREEVE_COMMAND_LINE_MAN_PAGE_H_
#define PORTREEVE_COMMAND_LINE_MAN_PAGE_H_

#include <string>

namespace CLI {
class App;
}  // namespace CLI

namespace portreeve {

// What a manual page says that the command line does not.
struct ManPage {
  // Of the manual: 1 for what everybody runs, 8 for what an operator does.
  int section = 1;
  // What the program is, in a few words, as apropos(1) shows it.
  std::string summary;
};

// Gives the page, in roff with the macros of man(7), UTF-8: NAME, SYNOPSIS,
// DESCRIPTION and OPTIONS, VERBS where `app` has some, and the footer of its
// --help, the first line of which is the heading.  What follows, such as SEE
// ALSO, may be appended.
//
// In a description a line that begins with a blank stands as it is, like an
// example; other lines are filled.
std::string ManPageOf(const CLI::App& app, const ManPage& page);

}  // namespace portreeve

#endif  // PORTREEVE_COMMAND_LINE_MAN_PAGE_H_
