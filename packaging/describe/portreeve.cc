// Prints the manual page of portreeve, or with `completion` the tables of its
// completion.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <iostream>
#include <string>

#include "client/cli/run.h"
#include "command_line/completion.h"
#include "command_line/man_page.h"

int main(int argc, char** argv) {
  const bool is_page = argc < 2 || std::string(argv[1]) != "completion";
  portreeve::cli::WithCommandLine(
      [is_page](const CLI::App& app, const portreeve::cli::TypeValues& values) {
        std::cout << (is_page
                          ? portreeve::ManPageOf(app, {1, "command portreeved"})
                          : portreeve::CompletionTables(app, values));
      });
  return std::cout.flush() ? 0 : 1;
}
