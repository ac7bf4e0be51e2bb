#include "server/events/lost_events.h"

#include <algorithm>
#include <iterator>

namespace portreeve::server {

void LostEvents::Add(int64_t revision, v1::EventKind kind,
                     const std::string& listener) noexcept {
  last_[static_cast<size_t>(kind)] = revision;
  if (listener.empty()) return;
  try {
    AddTo(revision, kind, listener);
  } catch (...) {  // Out of memory.
    forgotten_ = revision;
  }
}

void LostEvents::AddTo(int64_t revision, v1::EventKind kind,
                       const std::string& listener) {
  // Mostly it is the one of the last event.
  if (listeners_.empty() || listeners_.back().name != listener) {
    const auto found = by_name_.find(listener);
    if (found != by_name_.end()) {
      listeners_.splice(listeners_.end(), listeners_, found->second);
    } else {
      Listeners added;
      added.emplace_back();
      added.back().name = listener;
      by_name_.emplace(listener, added.begin());
      listeners_.splice(listeners_.end(), added);
    }
  }
  listeners_.back().last[static_cast<size_t>(kind)] = revision;
  listeners_.back().newest = revision;
  Bound();
}

bool LostEvents::RestoreListener(absl::string_view name,
                                 const Revisions& last) {
  const int64_t newest = *std::max_element(last.begin(), last.end());
  const int64_t before = listeners_.empty() ? 0 : listeners_.back().newest;
  if (newest <= before) return false;
  Listeners added;
  added.push_back({std::string(name), last, newest});
  const bool is_new = by_name_.emplace(added.back().name, added.begin()).second;
  if (!is_new) return false;
  listeners_.splice(listeners_.end(), added);
  Bound();
  return true;
}

void LostEvents::Bound() {
  if (listeners_.size() <= max_listeners_) return;
  forgotten_ = std::max(forgotten_, listeners_.front().newest);
  by_name_.erase(listeners_.front().name);
  listeners_.pop_front();
}

bool LostEvents::Has(int64_t first, const Revisions& last,
                     const EventKinds& kinds) {
  for (size_t kind = 0; kind < last.size(); ++kind) {
    // None has revision 0.
    if (last[kind] > 0 && last[kind] >= first &&
        (kinds.none() || kinds.test(kind))) {
      return true;
    }
  }
  return false;
}

bool LostEvents::Has(int64_t first, const std::set<std::string>& listeners,
                     const EventKinds& kinds) const {
  if (!Has(first, last_, kinds)) return false;
  if (listeners.empty() || first <= forgotten_) return true;
  return std::any_of(listeners.begin(), listeners.end(),
                     [&](const std::string& name) {
                       const auto found = by_name_.find(name);
                       return found != by_name_.end() &&
                              Has(first, found->second->last, kinds);
                     });
}

}  // namespace portreeve::server
