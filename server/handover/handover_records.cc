#include "server/handover/handover_records.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

#include "lib/base/status.h"
#include "server/api/crc32c.h"

namespace portreeve::server {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
constexpr char kWhat[] = "the events";

}  // namespace

absl::StatusOr<Descriptor> TakeDescriptor(std::vector<Descriptor>& descriptors,
                                          uint32_t index) {
  if (index >= descriptors.size() || !descriptors[index].is_open()) {
    return ChannelError(ChannelFault::kDescriptorCount,
                        "a record names a descriptor that it does not have");
  }
  return std::move(descriptors[index]);
}

absl::StatusOr<FileSum> SealFile(int memfd) {
  // Whoever has made it may have sealed it, and against further seals, too.
  const int seals = fcntl(memfd, F_GET_SEALS);
  if ((seals < 0 || (seals & kSeals) != kSeals) &&
      fcntl(memfd, F_ADD_SEALS, kSeals) != 0) {
    return ErrnoError(errno, "seal", kWhat);
  }
  return ReadSealedFile(memfd);
}

absl::StatusOr<FileSum> ReadSealedFile(int memfd) {
  // Without these what is mapped could change, or end, while it is read.
  const int seals = fcntl(memfd, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) {
    return ChannelError(ChannelFault::kMalformed,
                        "the file of the events is not sealed");
  }
  struct stat file;
  if (fstat(memfd, &file) != 0) return ErrnoError(errno, "fstat", kWhat);
  FileSum sealed;
  sealed.bytes = file.st_size;
  const size_t size = static_cast<size_t>(file.st_size);
  if (size == 0) {
    sealed.crc = Crc32c({""});
    return sealed;
  }
  void* const bytes = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, memfd, 0);
  if (bytes == MAP_FAILED) return ErrnoError(errno, "mmap", kWhat);
  sealed.crc = Crc32c({{static_cast<const char*>(bytes), size}});
  munmap(bytes, size);
  return sealed;
}

}  // namespace portreeve::server
