// RequestCache, to which each piece of memory in turn is refused.
#include <gtest/gtest.h>

#include <new>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/registry/request_cache.h"
#include "tests/testing/refused_memory.h"

namespace portreeve::server {
namespace {

std::vector<int64_t> NumbersOf(const RequestCache& cache) {
  std::vector<int64_t> numbers;
  cache.ForEach([&](const RequestKey& key, const RequestCache::Entry& entry) {
    EXPECT_EQ(key.request_id,
              absl::StrCat("id-that-is-long-enough", entry.seq));
    numbers.push_back(entry.seq);
  });
  return numbers;
}

TEST(RequestCacheNoMemoryTest, WhatIsNotRememberedChangesNothing) {
  constexpr int kEntries = 200;
  bool refused = true;
  for (int given = 0; refused; ++given) {
    RequestCache cache;
    RequestCache sound;
    std::vector<int64_t> expected;
    for (int i = 1; i <= kEntries; ++i) {
      const RequestKey key{"ann", absl::StrCat("id-that-is-long-enough", i)};
      const RequestCache::Entry entry{i, std::string(32, 'p'), ""};
      // The memory for one of them is refused.
      if (i == 100) testing::RefuseMemoryAfter(given);
      bool is_remembered = true;
      try {
        is_remembered = cache.Restore(key, entry).ok();
      } catch (const std::bad_alloc&) {
        is_remembered = false;
      }
      if (i == 100) refused = testing::GiveMemoryAgain();
      EXPECT_EQ(is_remembered, i != 100 || !refused);
      if (!is_remembered) continue;
      expected.push_back(i);
      sound.Remember(key, entry);
    }
    EXPECT_EQ(NumbersOf(cache), expected) << given;
    EXPECT_EQ(cache.MemoryUse(), sound.MemoryUse()) << given;
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace portreeve::server
