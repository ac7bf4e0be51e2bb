// access_doc FILE: brings the table in docs/ACCESS.md, whose path is FILE, up
// to date.
#include <fstream>
#include <iostream>
#include <sstream>

#include "tests/docs/access_doc.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: access_doc FILE\n";
    return 1;
  }
  std::ostringstream document;
  document << std::ifstream(argv[1]).rdbuf();
  if (document.str().empty()) {
    std::cerr << "access_doc: cannot read " << argv[1] << "\n";
    return 1;
  }
  std::ofstream file(argv[1]);
  file << portreeve::testing::WithAccessTable(document.str());
  if (file.flush()) return 0;
  std::cerr << "access_doc: cannot write " << argv[1] << "\n";
  return 1;
}
