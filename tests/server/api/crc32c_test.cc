#include "server/api/crc32c.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace portreeve::server {
namespace {

// So many bytes, no two stretches of which are alike.
std::string Bytes(size_t size) {
  std::string bytes;
  for (uint32_t x = 1; bytes.size() < size; x = x * 1'664'525 + 1'013'904'223) {
    bytes.push_back(static_cast<char>(x >> 24));
  }
  return bytes;
}

TEST(Crc32cTest, IsThatOfCastagnoli) {
  for (const auto extend : {&ExtendCrc32c, &ExtendCrc32cByTable}) {
    EXPECT_EQ(extend(0, ""), 0u);
    EXPECT_EQ(extend(0, "123456789"), 0xe3069283u);
    // RFC 3720, B.4.
    EXPECT_EQ(extend(0, std::string(32, '\0')), 0x8a9136aau);
    EXPECT_EQ(extend(0, std::string(32, '\xff')), 0x62a8ab43u);
  }
}

TEST(Crc32cTest, PiecesHaveTheirLengthBeforeThem) {
  EXPECT_NE(Crc32c({"123456789"}), Crc32c({"123456788"}));
  EXPECT_NE(Crc32c({"ab", "c"}), Crc32c({"a", "bc"}));
  // Eight bytes of 0 have 0x8c28b28a.
  EXPECT_EQ(Crc32c({""}), 0x8c28b28au);
  EXPECT_EQ(Crc32c({"a"}),
            ExtendCrc32c(0, std::string("\1\0\0\0\0\0\0\0a", 9)));
}

// Wherever the bytes lie and are divided.
TEST(Crc32cTest, TheInstructionAndTheTableAgree) {
  const std::string bytes = Bytes(64);
  for (size_t begin = 0; begin < 17; ++begin) {
    for (size_t end = begin; end <= bytes.size(); ++end) {
      const std::string_view all =
          std::string_view(bytes).substr(begin, end - begin);
      const uint32_t crc = ExtendCrc32cByTable(0, all);
      ASSERT_EQ(ExtendCrc32c(0, all), crc);
      for (size_t cut = 0; cut <= all.size(); ++cut) {
        const uint32_t before = ExtendCrc32c(0, all.substr(0, cut));
        ASSERT_EQ(ExtendCrc32c(before, all.substr(cut)), crc);
        ASSERT_EQ(ExtendCrc32cByTable(before, all.substr(cut)), crc);
      }
    }
  }
}

}  // namespace
}  // namespace portreeve::server
