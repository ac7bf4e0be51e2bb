// Every small case of what apply has to do, by rules that do not depend on how
// the plan is made.
#include "client/cli/apply_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace portreeve::cli {
namespace {

using Kind = Step::Kind;

// How a listener may be there, and whether the selector takes it.
enum class There { kNo, kOpen, kOpenOther, kClosed, kClosedOther };

constexpr There kAllThere[] = {There::kNo, There::kOpen, There::kOpenOther,
                               There::kClosed, There::kClosedOther};

bool IsClosed(There there) {
  return there == There::kClosed || there == There::kClosedOther;
}

bool IsSelected(There there) {
  return there == There::kOpen || there == There::kClosed;
}

v1::Listener Present(const std::string& name, There there) {
  v1::Listener listener;
  listener.set_name(name);
  auto& labels = *listener.mutable_spec()->mutable_labels();
  labels["app"] = "web";
  labels["team"] = IsSelected(there) ? "blue" : "red";
  listener.mutable_status()->set_is_closed(IsClosed(there));
  return listener;
}

// What shall be done for a listener; "" for nothing.
std::string Expected(bool wanted, There there, bool prunes) {
  if (wanted) {
    return there == There::kNo ? "create"
           : IsClosed(there)   ? "replace"
                               : "update";
  }
  if (!prunes || !IsSelected(there)) return "";
  return IsClosed(there) ? "forget" : "prune";
}

std::string Text(const Step& step) {
  switch (step.kind) {
    case Kind::kPrune:
      return "prune";
    case Kind::kForget:
      return "forget";
    case Kind::kCreate:
      return "create";
    case Kind::kReplace:
      return "replace";
    case Kind::kUpdate:
      return "update";
  }
  return "?";
}

constexpr const char* kNames[] = {"listeners/a", "listeners/b", "listeners/c"};

void Try(const std::vector<bool>& are_wanted, const std::vector<There>& there,
         bool prunes) {
  std::vector<WantedListener> wanted;
  std::vector<v1::Listener> present;
  std::vector<std::string> goes;
  std::vector<std::string> stays;
  for (size_t i = 0; i < there.size(); ++i) {
    if (there[i] != There::kNo) present.push_back(Present(kNames[i], there[i]));
    const std::string what = Expected(are_wanted[i], there[i], prunes);
    const std::string text = absl::StrCat(what, " ", kNames[i]);
    if (are_wanted[i]) {
      // In the other order than the daemon's.
      wanted.emplace(wanted.begin())->listener.set_name(kNames[i]);
      stays.insert(stays.begin(), text);
    } else if (!what.empty()) {
      goes.push_back(text);
    }
  }
  goes.insert(goes.end(), stays.begin(), stays.end());
  const Selector selector =
      prunes ? Selector{{"team", "blue"}, {"app", "web"}} : Selector();
  std::vector<std::string> planned;
  for (const Step& step : Plan(wanted, present, selector)) {
    planned.push_back(absl::StrCat(Text(step), " ", step.name()));
    EXPECT_EQ(step.wanted == nullptr,
              step.kind == Kind::kPrune || step.kind == Kind::kForget);
    EXPECT_EQ(step.present == nullptr, step.kind == Kind::kCreate);
  }
  EXPECT_EQ(planned, goes);
}

TEST(ApplyPlanTest, EveryCaseOfThreeListeners) {
  for (const bool prunes : {false, true}) {
    for (int mask = 0; mask < 8; ++mask) {
      for (const There a : kAllThere) {
        for (const There b : kAllThere) {
          for (const There c : kAllThere) {
            Try({(mask & 1) != 0, (mask & 2) != 0, (mask & 4) != 0}, {a, b, c},
                prunes);
          }
        }
      }
    }
  }
}

TEST(ApplyPlanTest, EveryLabelOfTheSelectorMustBeThere) {
  const std::vector<v1::Listener> present = {
      Present("listeners/a", There::kOpen)};
  const struct {
    Selector selector;
    size_t steps;
  } kCases[] = {
      {{}, 0},
      {{{"team", "blue"}}, 1},
      {{{"team", "blue"}, {"app", "web"}}, 1},
      {{{"team", "blue"}, {"app", "db"}}, 0},
      {{{"team", "blue"}, {"zone", "web"}}, 0},
      {{{"team", ""}}, 0},
      {{{"zone", ""}}, 0},
  };
  for (const auto& [selector, steps] : kCases) {
    EXPECT_EQ(Plan({}, present, selector).size(), steps);
  }
}

}  // namespace
}  // namespace portreeve::cli
