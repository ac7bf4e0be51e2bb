// BackwardWriter: protobuf's wire format, written from its end to its front.
#ifndef PORTREEVE_SERVER_API_BACKWARD_WRITER_H_
#define PORTREEVE_SERVER_API_BACKWARD_WRITER_H_

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/numeric/bits.h"
#include "absl/strings/string_view.h"

namespace portreeve::server {

// The last field is written first.  So the length of a message within another
// is known when it has to be written, and nothing is measured beforehand or
// moved afterwards.  As protobuf does, a number of 0 and an empty string are
// left out, unless they stand for a field with presence.
//
//   const size_t end = writer.size();
//   writer.Int(Address::kPortFieldNumber, port);
//   writer.String(Address::kHostFieldNumber, host);
//   writer.Message(Peer::kAddressFieldNumber, end);
//
// What is larger than kOnStack moves to the heap.
class BackwardWriter {
 public:
  static constexpr size_t kOnStack = 4096;

  BackwardWriter() = default;
  BackwardWriter(const BackwardWriter&) = delete;
  BackwardWriter& operator=(const BackwardWriter&) = delete;

  size_t size() const { return capacity_ - begin_; }
  // Gives what was written, which is valid until more is written.
  absl::string_view bytes() const { return {buffer_ + begin_, size()}; }

  // Writes a number of any type but sint and fixed.
  void Int(int field, int64_t value) {
    if (value == 0) return;
    Varint(static_cast<uint64_t>(value));
    Tag(field, 0);
  }

  // Writes `value`, which must be UTF-8.
  void String(int field, absl::string_view value) {
    if (value.empty()) return;
    Raw(value);
    Varint(value.size());
    Tag(field, 2);
  }

  // Writes a message that is encoded already.  An empty one is written, too.
  void Encoded(int field, absl::string_view message) {
    Raw(message);
    Varint(message.size());
    Tag(field, 2);
  }

  // Makes what was written since size() was `end` a message.
  void Message(int field, size_t end) {
    Varint(size() - end);
    Tag(field, 2);
  }

  // Writes bytes as they are.
  void Raw(absl::string_view bytes) {
    if (bytes.size() > begin_) Grow(bytes.size());
    begin_ -= bytes.size();
    std::memcpy(buffer_ + begin_, bytes.data(), bytes.size());
  }

 private:
  void Tag(int field, uint32_t wire_type) {
    Varint(static_cast<uint64_t>(field) << 3 | wire_type);
  }

  void Varint(uint64_t value) {
    constexpr size_t kMost = 10;
    if (begin_ < kMost) Grow(kMost);
    if (value < 0x80) {
      buffer_[--begin_] = static_cast<char>(value);
      return;
    }
    // Each of them has seven bits.
    const size_t size = (absl::bit_width(value) + 6) / 7;
    begin_ -= size;
    char* to = buffer_ + begin_;
    for (; value >= 0x80; value >>= 7) {
      *to++ = static_cast<char>(value | 0x80);
    }
    *to = static_cast<char>(value);
  }

  // Makes room for `more` bytes.
  void Grow(size_t more) {
    const size_t capacity = 2 * capacity_ + more;
    std::unique_ptr<char[]> larger(new char[capacity]);
    const size_t begin = capacity - size();
    std::memcpy(larger.get() + begin, buffer_ + begin_, size());
    heap_ = std::move(larger);
    buffer_ = heap_.get();
    capacity_ = capacity;
    begin_ = begin;
  }

  std::array<char, kOnStack> stack_;  // Not initialized before begin_.
  std::unique_ptr<char[]> heap_;
  char* buffer_ = stack_.data();
  size_t capacity_ = kOnStack;
  size_t begin_ = kOnStack;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_API_BACKWARD_WRITER_H_
