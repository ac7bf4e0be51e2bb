// Sealed files: bytes in memory that one process leaves to another, and that
// nobody can change any more.
#ifndef PORTREEVE_SERVER_EVENTS_SEALED_FILE_H_
#define PORTREEVE_SERVER_EVENTS_SEALED_FILE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lib/base/descriptor.h"

namespace portreeve::server {

// What a file is.
struct SealedFileKind {
  absl::string_view magic;  // 8 bytes, in which kinds differ.
  // The newest layout of what is written.  A program writes this one, and reads
  // all from 1 up to it.
  uint32_t version;
};

// Writes one, in pieces of kPiece bytes.
// Threads: one.
class SealedFileWriter {
 public:
  static constexpr size_t kPiece = size_t{256} << 10;

  // Errors: those of memfd_create(2).  It throws std::bad_alloc.
  static absl::StatusOr<SealedFileWriter> Create(const SealedFileKind& kind);

  // Adds bytes.  An error is told by Finish().
  void Add(absl::string_view bytes) {
    if (bytes.empty()) return;  // They may lie nowhere.
    if (bytes.size() > kPiece - used_) return AddMuch(bytes);
    std::memcpy(piece_.data() + used_, bytes.data(), bytes.size());
    used_ += bytes.size();
  }
  // Adds a number, as it lies in memory: both processes are on one machine.
  template <typename T>
  void AddValue(const T& value) {
    Add({reinterpret_cast<const char*>(&value), sizeof(value)});
  }
  // Adds a text, with its length before it.
  void AddText(absl::string_view text) {
    AddValue(static_cast<uint32_t>(text.size()));
    Add(text);
  }

  // Writes what is left, and seals the file.  It must be called once, as the
  // last.
  // Errors: those of write(2) and fcntl(2).
  absl::StatusOr<Descriptor> Finish();

 private:
  SealedFileWriter(const SealedFileKind& kind, Descriptor file);
  void AddMuch(absl::string_view bytes);
  void Flush();
  void Write(absl::string_view bytes);

  SealedFileKind kind_;
  Descriptor file_;
  int error_number_ = 0;  // Of the first write that has failed.
  uint64_t size_ = 0;     // Of what was flushed.
  uint32_t crc_ = 0;      // Of the same.
  std::string piece_;
  size_t used_ = 0;
};

// One that is read.
// Threads: any, for the const methods.
class SealedFile {
 public:
  // Reads `file`, which may be closed then.
  // Errors: HANDOVER_DAMAGED where it is not sealed against every change, of
  // another kind, of a newer version, or not as it was written; and those of
  // mmap(2).
  static absl::StatusOr<SealedFile> Open(const Descriptor& file,
                                         const SealedFileKind& kind);
  SealedFile(SealedFile&& other) noexcept
      : memory_(other.memory_), version_(other.version_) {
    other.memory_ = {};
  }
  SealedFile& operator=(SealedFile&&) = delete;
  ~SealedFile();

  uint32_t version() const { return version_; }
  // Gives what was added.
  absl::string_view contents() const;

 private:
  explicit SealedFile(absl::string_view memory) : memory_(memory) {}
  absl::Status Check(const SealedFileKind& kind);

  absl::string_view memory_;  // As it is mapped.
  uint32_t version_ = 0;
};

// Reads the contents of one from their front to their end.
// Threads: one.
class SealedFileReader {
 public:
  explicit SealedFileReader(absl::string_view contents) : rest_(contents) {}

  // These give false where too little is left; then nothing is taken.
  bool Read(size_t size, absl::string_view& bytes) {
    if (rest_.size() < size) return false;
    bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }
  template <typename T>
  bool ReadValue(T& value) {
    absl::string_view bytes;
    if (!Read(sizeof(value), bytes)) return false;
    std::memcpy(&value, bytes.data(), sizeof(value));
    return true;
  }
  bool ReadText(absl::string_view& text) {
    const absl::string_view before = rest_;
    uint32_t size = 0;
    if (ReadValue(size) && Read(size, text)) return true;
    rest_ = before;
    return false;
  }

  bool is_at_end() const { return rest_.empty(); }

 private:
  absl::string_view rest_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_EVENTS_SEALED_FILE_H_
