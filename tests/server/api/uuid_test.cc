#include "server/api/uuid.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <thread>
#include <vector>

namespace portreeve::server {
namespace {

constexpr int kEach = 1000;

std::vector<std::string> ManyUuids() {
  std::vector<std::string> uuids;
  for (int i = 0; i < kEach; ++i) uuids.push_back(NewUuid());
  return uuids;
}

TEST(UuidTest, IsARandomOneInItsTextForm) {
  for (const std::string& uuid : ManyUuids()) {
    EXPECT_THAT(uuid,
                ::testing::MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-"
                                        "[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  }
}

TEST(UuidTest, NoTwoAreAlikeWhateverTheThread) {
  std::vector<std::string> theirs;
  std::thread thread([&] { theirs = ManyUuids(); });
  const std::vector<std::string> ours = ManyUuids();
  thread.join();
  std::set<std::string> all(ours.begin(), ours.end());
  all.insert(theirs.begin(), theirs.end());
  EXPECT_EQ(all.size(), 2u * kEach);
}

}  // namespace
}  // namespace portreeve::server
