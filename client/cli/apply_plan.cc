#include "client/cli/apply_plan.h"

#include <algorithm>

namespace portreeve::cli {
namespace {

using Kind = Step::Kind;

bool IsClosed(const v1::Listener& listener) {
  return listener.status().is_closed();
}

// Whether the selector is given, and takes the listener.
bool Selects(const Selector& selector, const v1::Listener& listener) {
  const auto& labels = listener.spec().labels();
  const auto has = [&labels](const auto& wanted) {
    const auto label = labels.find(wanted.first);
    return label != labels.end() && label->second == wanted.second;
  };
  return !selector.empty() &&
         std::all_of(selector.begin(), selector.end(), has);
}

}  // namespace

std::vector<Step> Plan(const std::vector<WantedListener>& wanted,
                       const std::vector<v1::Listener>& present,
                       const Selector& selector) {
  std::map<std::string, const v1::Listener*> left;
  for (const v1::Listener& listener : present) {
    left[listener.name()] = &listener;
  }
  std::vector<Step> kept;
  for (const WantedListener& one : wanted) {
    const auto found = left.find(one.listener.name());
    if (found == left.end()) {
      kept.push_back({Kind::kCreate, &one, nullptr});
      continue;
    }
    kept.push_back({IsClosed(*found->second) ? Kind::kReplace : Kind::kUpdate,
                    &one, found->second});
    left.erase(found);
  }
  std::vector<Step> steps;
  for (const v1::Listener& listener : present) {
    if (left.count(listener.name()) == 0 || !Selects(selector, listener)) {
      continue;
    }
    steps.push_back({IsClosed(listener) ? Kind::kForget : Kind::kPrune, nullptr,
                     &listener});
  }
  steps.insert(steps.end(), kept.begin(), kept.end());
  return steps;
}

}  // namespace portreeve::cli
