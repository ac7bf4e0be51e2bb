// Files that are much like what a SealedFileWriter has written.
#ifndef PORTREEVE_TESTS_SERVER_SEALED_COPIES_H_
#define PORTREEVE_TESTS_SERVER_SEALED_COPIES_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "lib/base/descriptor.h"
#include "server/api/crc32c.h"

namespace portreeve::testing {

inline constexpr int kAllSeals =
    F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
// Where these are in the file, and where its contents begin.
inline constexpr size_t kVersionAt = 8;
inline constexpr size_t kCrcAt = 12;
inline constexpr size_t kSizeAt = 16;
inline constexpr size_t kContentsAt = 24;

inline std::string ReadAll(const Descriptor& file) {
  std::string bytes;
  std::array<char, 65'536> buffer;
  ssize_t size;
  while ((size = pread(file.get(), buffer.data(), buffer.size(),
                       static_cast<off_t>(bytes.size()))) > 0) {
    bytes.append(buffer.data(), static_cast<size_t>(size));
  }
  EXPECT_EQ(size, 0);
  return bytes;
}

inline Descriptor Sealed(std::string_view bytes, int seals = kAllSeals) {
  Descriptor file(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(write(file.get(), bytes.data(), bytes.size()),
            static_cast<ssize_t>(bytes.size()));
  EXPECT_EQ(fcntl(file.get(), F_ADD_SEALS, seals), 0);
  return file;
}

// Gives `bytes`, of which there are kContentsAt at least, with the size and the
// checksum that they ought to have.
inline std::string Checking(std::string bytes) {
  const std::string_view contents = std::string_view(bytes).substr(kContentsAt);
  const auto size = uint64_t{contents.size()};
  uint32_t crc = server::ExtendCrc32c(0, contents);
  std::memcpy(bytes.data() + kSizeAt, &size, sizeof(size));
  crc = server::ExtendCrc32c(
      crc, std::string_view(bytes).substr(kVersionAt, sizeof(uint32_t)));
  crc = server::ExtendCrc32c(
      crc, std::string_view(bytes).substr(kSizeAt, sizeof(size)));
  std::memcpy(bytes.data() + kCrcAt, &crc, sizeof(crc));
  return bytes;
}

}  // namespace portreeve::testing

#endif  // PORTREEVE_TESTS_SERVER_SEALED_COPIES_H_
