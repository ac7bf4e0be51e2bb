#include "command_line/nearest.h"

#include <algorithm>
#include <limits>

namespace portreeve {
namespace {

size_t MostMistakes(size_t letters) {
  return letters <= 4 ? 1 : 1 + (letters - 1) / 4;
}

}  // namespace

size_t EditDistance(const std::string& a, const std::string& b) {
  // distance[i][j]: from the first i letters of `a` to the first j of `b`.
  std::vector<std::vector<size_t>> distance(a.size() + 1,
                                            std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        distance[i][j] = i + j;
        continue;
      }
      const size_t replaced =
          distance[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      distance[i][j] =
          std::min({replaced, distance[i - 1][j] + 1, distance[i][j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        distance[i][j] = std::min(distance[i][j], distance[i - 2][j - 2] + 1);
      }
    }
  }
  return distance[a.size()][b.size()];
}

std::string Nearest(const std::string& word,
                    const std::vector<std::string>& words) {
  std::string nearest;
  size_t least = std::numeric_limits<size_t>::max();
  for (const std::string& one : words) {
    const size_t most = MostMistakes(std::max(word.size(), one.size()));
    // The lengths alone tell of most words; of a huge one they must.
    const size_t longer = std::max(word.size(), one.size());
    const size_t shorter = std::min(word.size(), one.size());
    if (longer - shorter > most || shorter <= most) continue;
    const size_t distance = EditDistance(word, one);
    if (distance <= most && distance < least) {
      least = distance;
      nearest = one;
    }
  }
  return nearest;
}

}  // namespace portreeve
