// Writes the golden text of the present version:
//   ./bazelw run //tests/server/handover:write_golden >
//       tests/server/handover/golden/v2.textproto
#include <iostream>

#include "tests/server/handover/golden.h"

int main() {
  std::cout << portreeve::server::GoldenText(portreeve::server::MakeGolden());
  return std::cout.good() ? 0 : 1;
}
