#include "server/api/json_line.h"

#include <algorithm>
#include <cstring>
#include <new>

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

void WriteText(absl::string_view text, Writer& writer) {
  writer.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
}

}  // namespace

std::string JsonLine(const std::vector<JsonField>& fields) {
  Buffer line;
  Writer writer(line);
  writer.StartObject();
  for (const JsonField& field : fields) {
    WriteText(field.key, writer);
    if (const auto* number = std::get_if<int64_t>(&field.value)) {
      writer.Int64(*number);
    } else {
      WriteText(EscapeNonUtf8(std::get<absl::string_view>(field.value)),
                writer);
    }
  }
  writer.EndObject();
  // What is left to escape stands in texts only, where JSON takes the escape.
  return EscapeInvisible({line.GetString(), line.GetSize()});
}

}  // namespace portreeve::server
