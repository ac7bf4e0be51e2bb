// Prints the manual page of portreeved, or with `completion` the tables of its
// completion.
#include <iostream>
#include <string>

#include "command_line/completion.h"
#include "command_line/man_page.h"
#include "server/daemon/command_line.h"

int main(int argc, char** argv) {
  const bool is_page = argc < 2 || std::string(argv[1]) != "completion";
  const portreeve::server::CommandLine line;
  std::cout << (is_page ? portreeve::ManPageOf(
                              line.app(),
                              {8, "own listeners and their connections"})
                        : portreeve::CompletionTables(line.app(), {}));
  return std::cout.flush() ? 0 : 1;
}
