#include "lib/net/buffer_sizes.h"

#include "absl/strings/str_cat.h"
#include "lib/base/status.h"

namespace portreeve {
namespace {

absl::Status ValidateSize(const char* field, size_t size, size_t lowest) {
  if (lowest <= size && size <= BufferSizes::kMost) return absl::OkStatus();
  return InvalidField(field,
                      absl::StrCat("must be ", lowest, "-", BufferSizes::kMost,
                                   " bytes, but is ", size));
}

}  // namespace

absl::Status Validate(const BufferSizes& sizes) {
  if (auto s = ValidateSize("reader_buffer_size", sizes.reader, 1); !s.ok()) {
    return s;
  }
  return ValidateSize("writer_buffer_size", sizes.writer, 0);
}

}  // namespace portreeve
