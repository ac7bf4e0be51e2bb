#include "server/request_cache.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace portreeve::server {
namespace {

v1::Listener Named(const std::string& name) {
  v1::Listener listener;
  listener.set_name(name);
  return listener;
}

TEST(RequestCacheTest, RemembersTheNewestTenThousand) {
  RequestCache cache;
  constexpr int kMany = 10'000;
  for (int i = 0; i < kMany + 2; ++i) {
    cache.Remember(absl::StrCat("id", i), "request", Named(absl::StrCat(i)));
  }
  for (const int forgotten : {0, 1}) {
    const auto found = cache.Find(absl::StrCat("id", forgotten), "request");
    ASSERT_TRUE(found.ok());
    EXPECT_FALSE(found->has_value());
  }
  for (const int kept : {2, kMany / 2, kMany + 1}) {
    const auto found = cache.Find(absl::StrCat("id", kept), "request");
    ASSERT_TRUE(found.ok());
    ASSERT_TRUE(found->has_value());
    EXPECT_EQ((*found)->name(), absl::StrCat(kept));
  }
}

TEST(RequestCacheTest, ComparesByteForByte) {
  RequestCache cache;
  cache.Remember("Id", "request", Named("one"));
  const auto other_case = cache.Find("id", "request");
  ASSERT_TRUE(other_case.ok());
  EXPECT_FALSE(other_case->has_value());
  EXPECT_EQ(cache.Find("Id", "another request").status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace portreeve::server
