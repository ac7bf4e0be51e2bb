#include "server/api/json_line.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "absl/strings/str_cat.h"
#include "server/api/utf8.h"
#include "server/api/visible_text.h"

// An empty stack of RapidJSON 1.1 compares null and an offset with null, which
// is what it is meant to be, and more than UBSan lets pass.
#pragma clang attribute push(__attribute__((no_sanitize("pointer-overflow"))), \
                             apply_to = function)
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#pragma clang attribute pop

namespace portreeve::server {
namespace {

// RapidJSON's own allocator is malloc(3), and nobody looks at what that gives.
class ThrowingAllocator {
 public:
  void* Malloc(size_t size) {
    return size == 0 ? nullptr : ::operator new(size);
  }
  void* Realloc(void* old, size_t old_size, size_t size) {
    void* const place = Malloc(size);
    if (place != nullptr && old != nullptr) {
      std::memcpy(place, old, std::min(old_size, size));
    }
    Free(old);
    return place;
  }
  static void Free(void* place) { ::operator delete(place); }
};

using Buffer =
    rapidjson::GenericStringBuffer<rapidjson::UTF8<>, ThrowingAllocator>;
using Writer = rapidjson::Writer<Buffer, rapidjson::UTF8<>, rapidjson::UTF8<>,
                                 ThrowingAllocator>;

// Room for most lines.
constexpr size_t kMostLinesBytes = 256;

// Whether the string for `text` is the text between two quotation marks, as
// nearly all are.  It looks at every byte, which is done by the dozen.
bool IsItsOwnString(absl::string_view text) {
  bool is = true;
  for (const char c : text) {
    is &= (c >= ' ') & (c < '\x7f') & (c != '"') & (c != '\\');
  }
  return is;
}

std::string Escaped(absl::string_view text) {
  Buffer string;
  Writer writer(string);
  const std::string utf8 = EscapeNonUtf8(text);
  writer.String(utf8.data(), static_cast<rapidjson::SizeType>(utf8.size()));
  return EscapeInvisible({string.GetString(), string.GetSize()});
}

}  // namespace

void AppendJsonString(absl::string_view text, std::string& line) {
  if (IsItsOwnString(text)) {
    line += '"';
    line.append(text.data(), text.size());
    line += '"';
  } else {
    line += Escaped(text);
  }
}

std::string JsonLine(const std::vector<JsonField>& fields) {
  std::string line;
  line.reserve(kMostLinesBytes);
  char separator = '{';
  for (const JsonField& field : fields) {
    line += separator;
    separator = ',';
    AppendJsonString(field.key, line);
    line += ':';
    if (const auto* number = std::get_if<int64_t>(&field.value)) {
      absl::StrAppend(&line, *number);
    } else {
      AppendJsonString(std::get<absl::string_view>(field.value), line);
    }
  }
  line += '}';
  return line;
}

}  // namespace portreeve::server
