#include "client/cli/printable.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace portreeve::cli {

std::string Printable(const std::string& text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // In UTF-8 the control characters U+0080-U+009F are C2 80 to C2 9F.
    const bool c1 = byte == 0xC2 && i + 1 < text.size() &&
                    static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (byte == '\n') {
      result += "\\n";
    } else if (byte < 0x20 || byte == 0x7F || c1) {
      absl::StrAppend(&result, "\\x", absl::Hex(byte, absl::kZeroPad2));
      if (c1) {
        const auto next = static_cast<unsigned char>(text[++i]);
        absl::StrAppend(&result, "\\x", absl::Hex(next, absl::kZeroPad2));
      }
    } else {
      result += text[i];
    }
  }
  return result;
}

}  // namespace portreeve::cli
