#include "client/cli/patience.h"

#include <algorithm>

namespace portreeve::cli {
namespace {

// Many may wait at the same time.
constexpr absl::Duration kLeastBetweenAsks = absl::Milliseconds(100);
constexpr absl::Duration kMostBetweenAsks = absl::Seconds(5);

}  // namespace

Patience::Patience(absl::Duration grace)
    : grace_(std::max(grace, absl::ZeroDuration())) {}

Patience::Step Patience::OnBlocked(absl::Time now) {
  if (!next_ask_) OnAnswer(now, true);
  // First: what was answered long ago ends no grace.
  if (now >= *next_ask_) return Step::kAsk;
  if (!end_ || now < *end_) return Step::kWait;
  has_given_up_ = true;
  return Step::kGiveUp;
}

void Patience::OnAnswer(absl::Time now, bool is_there) {
  next_ask_ = now + std::clamp(grace_, kLeastBetweenAsks, kMostBetweenAsks);
  if (is_there) {
    end_.reset();
  } else if (!end_) {
    end_ = now + grace_;
  }
}

absl::Time Patience::next() const {
  const absl::Time ask = next_ask_.value_or(absl::InfinitePast());
  return end_ ? std::min(ask, *end_) : ask;
}

}  // namespace portreeve::cli
