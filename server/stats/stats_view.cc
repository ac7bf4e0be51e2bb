#include "server/stats/stats_view.h"

#include <algorithm>

#include "portreeve/v1/stats.pb.h"
#include "server/api/backward_writer.h"

namespace portreeve::server {
namespace {

// Adds what was written to the last of the messages, or to a new one.
void Append(const BackwardWriter& written, size_t most,
            std::deque<std::string>& messages) {
  const absl::string_view bytes = written.bytes();
  const std::string& last = messages.back();
  if (!last.empty() && last.size() + bytes.size() > most) {
    messages.emplace_back();
  }
  messages.back().append(bytes.data(), bytes.size());
}

bool IsWanted(const std::set<std::string>& names, const std::string& name) {
  return names.empty() || names.count(name) > 0;
}

}  // namespace

void StatsView::Put(absl::string_view name, absl::string_view stats) {
  const int64_t look = last_ + 1;
  const auto [it, is_new] = listeners_.try_emplace(std::string(name));
  Entry& entry = it->second;
  entry.seen = look;
  if (is_new) entry.first = look;
  if (!is_new && entry.stats == stats) return;
  entry.stats.assign(stats.data(), stats.size());
  entry.changed = look;
}

void StatsView::End() {
  const int64_t look = last_ + 1;
  for (auto it = listeners_.begin(); it != listeners_.end();) {
    if (it->second.seen == look) {
      ++it;
      continue;
    }
    deleted_.push_back({it->first, it->second.first, look});
    it = listeners_.erase(it);
  }
  last_ = look;
}

void StatsView::AppendChanges(int64_t since, const std::set<std::string>& names,
                              size_t most,
                              std::deque<std::string>& messages) const {
  using Message = v1::WatchStatsResponse;
  for (const auto& [name, entry] : listeners_) {
    if (entry.changed <= since || !IsWanted(names, name)) continue;
    BackwardWriter writer;
    writer.Encoded(Message::kListenersFieldNumber, entry.stats);
    Append(writer, most, messages);
  }
  for (const Deleted& deleted : deleted_) {
    // One that has come back is told as it is now.
    if (!deleted.IsNewsAfter(since) || !IsWanted(names, deleted.name) ||
        listeners_.contains(deleted.name)) {
      continue;
    }
    BackwardWriter writer;
    writer.String(Message::kDeletedFieldNumber, deleted.name);
    Append(writer, most, messages);
  }
}

void StatsView::Prune(const std::set<int64_t>& told) {
  const auto is_no_news = [&told](const Deleted& deleted) {
    const auto number = told.lower_bound(deleted.first);
    return number == told.end() || !deleted.IsNewsAfter(*number);
  };
  deleted_.erase(std::remove_if(deleted_.begin(), deleted_.end(), is_no_news),
                 deleted_.end());
}

void StatsView::Clear() {
  listeners_.clear();
  deleted_.clear();
}

}  // namespace portreeve::server
