// RestingConnections, over every short sequence of what can happen to a
// connection between two looks.
#include "server/registry/resting_connections.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace portreeve::server {
namespace {

// What a look finds of a connection.
enum class Found {
  kNothing,  // It is not there, or not at rest.
  kAsItWas,  // It is at rest, and has carried nothing since.
  kMore,     // It is at rest, and has carried something since.
};
constexpr Found kAll[] = {Found::kNothing, Found::kAsItWas, Found::kMore};

// Looks as often as `founds` has entries, at a connection that does what it
// says and at one that always rests.
void Explore(const std::vector<Found>& founds) {
  RestingConnections looks;
  int64_t bytes = 0;
  bool was_there = false;
  for (size_t i = 0; i < founds.size(); ++i) {
    looks.BeginLook();
    EXPECT_EQ(looks.HasRested(2, 7), i > 0);
    if (founds[i] == Found::kMore) ++bytes;
    const bool is_there = founds[i] != Found::kNothing;
    if (is_there) {
      EXPECT_EQ(looks.HasRested(1, bytes),
                was_there && founds[i] == Found::kAsItWas)
          << i << " of " << founds.size();
    }
    was_there = is_there;
  }
}

void ExploreFrom(std::vector<Found>& founds, size_t most) {
  Explore(founds);
  if (founds.size() == most) return;
  for (const Found found : kAll) {
    founds.push_back(found);
    ExploreFrom(founds, most);
    founds.pop_back();
  }
}

TEST(RestingConnectionsTest, ThoseThatCarriedNothingSinceTheLookBefore) {
  std::vector<Found> founds;
  ExploreFrom(founds, 5);
}

}  // namespace
}  // namespace portreeve::server
