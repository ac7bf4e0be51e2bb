#include "server/events/sealed_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "lib/base/check.h"
#include "lib/base/status.h"
#include "server/api/crc32c.h"
#include "server/api/errors.h"

namespace portreeve::server {
namespace {

constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
// What the kernel and its errors call the file.
constexpr char kName[] = "portreeve-handover";

// What a file begins with.  No version may change it.
struct Header {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t crc;   // Of the contents, and then of these two numbers.
  uint64_t size;  // Of the contents.
};
static_assert(sizeof(Header) == 24);

uint32_t CrcOf(uint32_t crc_of_contents, const Header& header) {
  std::array<char, sizeof(header.version) + sizeof(header.size)> numbers;
  std::memcpy(numbers.data(), &header.version, sizeof(header.version));
  std::memcpy(numbers.data() + sizeof(header.version), &header.size,
              sizeof(header.size));
  return ExtendCrc32c(crc_of_contents, {numbers.data(), numbers.size()});
}

absl::string_view BytesOf(const Header& header) {
  return {reinterpret_cast<const char*>(&header), sizeof(header)};
}

}  // namespace

absl::StatusOr<SealedFileWriter> SealedFileWriter::Create(
    const SealedFileKind& kind) {
  PORTREEVE_CHECK(kind.magic.size() == sizeof(Header::magic));
  Descriptor file(memfd_create(kName, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.is_open()) return ErrnoError(errno, "memfd_create", kName);
  return SealedFileWriter(kind, std::move(file));
}

SealedFileWriter::SealedFileWriter(const SealedFileKind& kind, Descriptor file)
    : kind_(kind), file_(std::move(file)), piece_(kPiece, '\0') {
  // Finish() puts the true one in its place.
  const Header none{};
  Write(BytesOf(none));
}

void SealedFileWriter::AddMuch(absl::string_view bytes) {
  Flush();
  if (bytes.size() <= kPiece) return Add(bytes);
  crc_ = ExtendCrc32c(crc_, {bytes.data(), bytes.size()});
  size_ += bytes.size();
  Write(bytes);
}

void SealedFileWriter::Flush() {
  const absl::string_view bytes(piece_.data(), used_);
  crc_ = ExtendCrc32c(crc_, {bytes.data(), bytes.size()});
  size_ += used_;
  used_ = 0;
  Write(bytes);
}

void SealedFileWriter::Write(absl::string_view bytes) {
  while (!bytes.empty() && error_number_ == 0) {
    const ssize_t written = write(file_.get(), bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR) {
      error_number_ = errno;
    }
  }
}

absl::StatusOr<Descriptor> SealedFileWriter::Finish() {
  Flush();
  Header header{{}, kind_.version, 0, size_};
  kind_.magic.copy(header.magic.data(), header.magic.size());
  header.crc = CrcOf(crc_, header);
  if (lseek(file_.get(), 0, SEEK_SET) != 0) error_number_ = errno;
  Write(BytesOf(header));
  if (error_number_ != 0) return ErrnoError(error_number_, "write", kName);
  if (fcntl(file_.get(), F_ADD_SEALS, kSeals) != 0) {
    return ErrnoError(errno, "seal", kName);
  }
  return std::move(file_);
}

absl::StatusOr<SealedFile> SealedFile::Open(const Descriptor& file,
                                            const SealedFileKind& kind) {
  PORTREEVE_CHECK(kind.magic.size() == sizeof(Header::magic));
  // A file that has these can be read as memory: nobody takes it away.
  const int seals = fcntl(file.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) {
    return HandoverDamaged("it is not sealed");
  }
  struct stat status;
  if (fstat(file.get(), &status) != 0) return ErrnoError(errno, "stat", kName);
  const auto size = static_cast<size_t>(status.st_size);
  if (size < sizeof(Header)) return HandoverDamaged("it is too short");
  void* const memory =
      mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file.get(), 0);
  if (memory == MAP_FAILED) return ErrnoError(errno, "mmap", kName);
  SealedFile opened({static_cast<const char*>(memory), size});
  if (auto s = opened.Check(kind); !s.ok()) return s;
  return std::move(opened);
}

absl::Status SealedFile::Check(const SealedFileKind& kind) {
  Header header;
  std::memcpy(&header, memory_.data(), sizeof(header));
  if (absl::string_view(header.magic.data(), header.magic.size()) !=
      kind.magic) {
    return HandoverDamaged("it is a file of another kind");
  }
  if (header.version > kind.version) {
    return HandoverDamaged(absl::StrCat("it has version ", header.version,
                                        ", and this program reads those up to ",
                                        kind.version));
  }
  const absl::string_view bytes = contents();
  const uint32_t crc = ExtendCrc32c(0, {bytes.data(), bytes.size()});
  if (header.version == 0 || header.size != bytes.size() ||
      header.crc != CrcOf(crc, header)) {
    return HandoverDamaged("it does not check");
  }
  version_ = header.version;
  return absl::OkStatus();
}

absl::string_view SealedFile::contents() const {
  return memory_.substr(sizeof(Header));
}

SealedFile::~SealedFile() {
  if (memory_.empty()) return;
  munmap(const_cast<char*>(memory_.data()), memory_.size());
}

}  // namespace portreeve::server
