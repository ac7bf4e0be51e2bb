#include "server/registry/request_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/api/errors.h"

namespace portreeve::server {
namespace {

v1::Listener Named(const std::string& name) {
  v1::Listener listener;
  listener.set_name(name);
  return listener;
}

// Gives how many are forgotten.
size_t Remember(RequestCache& cache, const RequestKey& key,
                const std::string& fingerprint, const v1::Listener& answer) {
  static int64_t seq = 0;
  return cache.Remember(key, {++seq, fingerprint, answer.SerializeAsString()})
      .size();
}

// Fails the test where another request had the key.
bool IsKept(const RequestCache& cache, const RequestKey& key,
            const std::string& name) {
  const auto found = cache.Find(key, "request");
  EXPECT_TRUE(found.ok()) << found.status();
  if (!found.ok() || !found->has_value()) return false;
  EXPECT_EQ((*found)->name(), name);
  return true;
}

TEST(RequestCacheTest, RemembersTheNewestTenThousand) {
  RequestCache cache;
  constexpr int kMany = 10'000;
  for (int i = 0; i < kMany + 2; ++i) {
    Remember(cache, {"ann", absl::StrCat("id", i)}, "request",
             Named(absl::StrCat(i)));
  }
  for (const int forgotten : {0, 1}) {
    EXPECT_FALSE(IsKept(cache, {"ann", absl::StrCat("id", forgotten)}, ""));
  }
  for (const int kept : {2, kMany / 2, kMany + 1}) {
    EXPECT_TRUE(
        IsKept(cache, {"ann", absl::StrCat("id", kept)}, absl::StrCat(kept)));
  }
}

TEST(RequestCacheTest, ComparesByteForByte) {
  RequestCache cache;
  Remember(cache, {"ann", "Id"}, "request", Named("one"));
  EXPECT_FALSE(IsKept(cache, {"ann", "id"}, ""));
  EXPECT_EQ(cache.Find({"ann", "Id"}, "another request").status().code(),
            absl::StatusCode::kInvalidArgument);
}

// Whatever the texts: no two keys are the same.
TEST(RequestCacheTest, AnIdIsItsCallersOwn) {
  const std::string nul(1, '\0');
  const std::vector<std::string> callers = {"",        "a",       "ab",   "b",
                                            nul + "a", "a" + nul, "tls:a"};
  const std::vector<std::string> ids = {"a", "b", "ab", "ba", "aa"};
  RequestCache cache;
  for (const std::string& caller : callers) {
    for (const std::string& id : ids) {
      EXPECT_FALSE(IsKept(cache, {caller, id}, ""));
      Remember(cache, {caller, id}, "request", Named(caller + "/" + id));
    }
  }
  for (const std::string& caller : callers) {
    for (const std::string& id : ids) {
      EXPECT_TRUE(IsKept(cache, {caller, id}, caller + "/" + id));
    }
  }
}

// An answer of a size, beside others of the same key.
struct Answer {
  RequestKey key;
  std::string name;
};

Answer Make(size_t number, size_t size) {
  return {{"ann", absl::StrCat("id", number)},
          absl::StrCat(number, std::string(size, 'x'))};
}

void Remember(RequestCache& cache, const Answer& answer) {
  Remember(cache, answer.key, "request", Named(answer.name));
}

size_t CostOf(const Answer& answer) {
  RequestCache cache;
  Remember(cache, answer);
  return cache.MemoryUse();
}

// Remembers answers of these sizes, and expects after each what a queue of that
// many bytes would hold.
void ExpectAsAQueue(size_t max_bytes, const std::vector<size_t>& sizes) {
  RequestCache cache(max_bytes);
  std::deque<Answer> kept;
  std::vector<Answer> all;
  size_t bytes = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const Answer answer = Make(i, sizes[i]);
    const size_t cost = CostOf(answer);
    Remember(cache, answer);
    all.push_back(answer);
    if (cost <= max_bytes) {
      for (; bytes + cost > max_bytes; kept.pop_front()) {
        bytes -= CostOf(kept.front());
      }
      kept.push_back(answer);
      bytes += cost;
    }
    ASSERT_EQ(cache.MemoryUse(), bytes);
    size_t num_kept = 0;
    for (const Answer& one : all) {
      num_kept += IsKept(cache, one.key, one.name) ? 1 : 0;
    }
    ASSERT_EQ(num_kept, kept.size());
    for (const Answer& one : kept) {
      ASSERT_TRUE(IsKept(cache, one.key, one.name));
    }
  }
}

TEST(RequestCacheTest, HoldsSoManyBytesWhateverComes) {
  constexpr size_t kMaxBytes = 3'000;
  // Small, half of it, nearly all, exactly all, and more than all.
  const size_t exactly = kMaxBytes - CostOf(Make(0, 1'000)) + 1'000;
  const std::vector<size_t> sizes = {0, 1'200, exactly - 1, exactly,
                                     exactly + 1};
  ASSERT_EQ(CostOf(Make(0, exactly)), kMaxBytes);
  for (const size_t a : sizes) {
    for (const size_t b : sizes) {
      for (const size_t c : sizes) {
        for (const size_t d : sizes) {
          for (const size_t e : sizes) {
            ExpectAsAQueue(kMaxBytes, {a, b, c, d, e});
            if (::testing::Test::HasFatalFailure()) {
              FAIL() << a << " " << b << " " << c << " " << d << " " << e;
            }
          }
        }
      }
    }
  }
}

TEST(RequestCacheTest, ByItselfItHoldsSixteenMebibytes) {
  RequestCache cache;
  for (size_t i = 0; i < 5'000; ++i) Remember(cache, Make(i, 5'000));
  EXPECT_LE(cache.MemoryUse(), size_t{16} << 20);
  EXPECT_GT(cache.MemoryUse(), size_t{15} << 20);
}

// What it has, the oldest first.
std::vector<std::string> AllOf(const RequestCache& cache) {
  std::vector<std::string> all;
  cache.ForEach([&](const RequestKey& key, const RequestCache::Entry& entry) {
    all.push_back(absl::StrCat(key.caller, "|", key.request_id, "|", entry.seq,
                               "|", entry.fingerprint, "|", entry.answer));
  });
  return all;
}

void Restore(const RequestCache& from, RequestCache& to) {
  from.ForEach([&](const RequestKey& key, const RequestCache::Entry& entry) {
    const auto forgotten = to.Restore(key, entry);
    ASSERT_TRUE(forgotten.ok()) << forgotten.status();
    EXPECT_TRUE(forgotten->empty());
  });
}

// In number, and in bytes.
TEST(RequestCacheTest, AnotherProcessRemembersTheSame) {
  for (const size_t max_bytes : {size_t{20'000}, RequestCache::kMaxBytes}) {
    RequestCache cache(max_bytes);
    for (int i = 0; i < 12'000; ++i) {
      cache.Remember({absl::StrCat("caller", i % 3), absl::StrCat("id", i)},
                     {3 * i + 1, absl::StrCat("print", i),
                      Named(std::string(static_cast<size_t>(i % 40), 'n'))
                          .SerializeAsString()});
    }
    RequestCache next(max_bytes);
    Restore(cache, next);
    EXPECT_EQ(AllOf(next), AllOf(cache));
    EXPECT_LE(next.MemoryUse(), cache.MemoryUse());
    // The other one may forget less when more comes, as its texts have no
    // memory to spare.
    const RequestKey key{"caller", "more"};
    const RequestCache::Entry entry{100'000, "print",
                                    Named("n").SerializeAsString()};
    cache.Remember(key, entry);
    next.Remember(key, entry);
    const std::vector<std::string> of_cache = AllOf(cache);
    const std::vector<std::string> of_next = AllOf(next);
    ASSERT_GE(of_next.size(), of_cache.size());
    EXPECT_LE(of_next.size(), of_cache.size() + 1);
    EXPECT_TRUE(
        std::equal(of_cache.rbegin(), of_cache.rend(), of_next.rbegin()));
  }
}

TEST(RequestCacheTest, OneWithOtherBoundsRemembersTheNewest) {
  RequestCache cache;
  for (int i = 0; i < 100; ++i) {
    cache.Remember({"ann", absl::StrCat("id", i)},
                   {i + 1, "print", Named("n").SerializeAsString()});
  }
  RequestCache next(5'000);
  std::vector<int64_t> forgotten;
  cache.ForEach([&](const RequestKey& key, const RequestCache::Entry& entry) {
    const auto some = next.Restore(key, entry);
    ASSERT_TRUE(some.ok());
    forgotten.insert(forgotten.end(), some->begin(), some->end());
  });
  ASSERT_FALSE(forgotten.empty());
  for (size_t i = 0; i < forgotten.size(); ++i) {
    EXPECT_EQ(forgotten[i], static_cast<int64_t>(i) + 1);
  }
  EXPECT_EQ(AllOf(next).size() + forgotten.size(), 100u);
  EXPECT_EQ(AllOf(next).back(), AllOf(cache).back());
}

TEST(RequestCacheTest, WhatNoneRemembersIsRefused) {
  RequestCache cache;
  const std::string answer = Named("n").SerializeAsString();
  ASSERT_TRUE(cache.Restore({"ann", "a"}, {5, "print", answer}).ok());
  const std::vector<std::string> before = AllOf(cache);
  const auto refused = [&](const RequestKey& key, RequestCache::Entry entry) {
    const auto restored = cache.Restore(key, std::move(entry));
    return ReasonOf(restored.status()) == "HANDOVER_DAMAGED";
  };
  EXPECT_TRUE(refused({"ann", "a"}, {6, "print", answer}));
  EXPECT_TRUE(refused({"ann", "b"}, {5, "print", answer}));
  EXPECT_TRUE(refused({"ann", "b"}, {4, "print", answer}));
  EXPECT_TRUE(refused({"ann", ""}, {6, "print", answer}));
  EXPECT_TRUE(refused({"ann", std::string("b\0c", 3)}, {6, "print", answer}));
  EXPECT_TRUE(refused({"ann", "b"}, {6, "print", "no listener"}));
  EXPECT_TRUE(RequestCache()
                  .Restore({"ann", "b"}, {0, "print", answer})
                  .status()
                  .code() == absl::StatusCode::kDataLoss);
  EXPECT_EQ(AllOf(cache), before);
  EXPECT_FALSE(refused({"bob", "a"}, {6, "print", answer}));
}

}  // namespace
}  // namespace portreeve::server
