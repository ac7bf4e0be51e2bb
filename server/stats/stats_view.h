// StatsView: the newest statistics of all listeners, and which of them are news
// to whom.
#ifndef PORTREEVE_SERVER_STATS_STATS_VIEW_H_
#define PORTREEVE_SERVER_STATS_STATS_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <set>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/strings/string_view.h"

namespace portreeve::server {

// It is filled in by looks, which are numbered from 1 on: Put() for every
// listener that there is, then End().  A look may take several steps of the
// loop, in which listeners come and go.
//
// Whoever watches keeps the number of the look that he was told of: what he has
// to be told is what has changed since.  So a watcher costs a number, and one
// that has missed some looks is told the newest values.
class StatsView {
 public:
  // The listener is there; `stats` is its v1::ListenerStats, encoded.
  void Put(absl::string_view name, absl::string_view stats);
  // Completes the look: listeners that were not put are gone.
  void End();

  // The number of the last complete look; 0: there was none.
  int64_t last() const { return last_; }

  // Adds what has changed after look `since`, and up to last(), to `messages`,
  // of which there must be one at least: as elements of
  // WatchStatsResponse.listeners, in the order of their names, and of
  // WatchStatsResponse.deleted.  With `since` 0 all is new, and nothing
  // deleted. Where `names` has any, others are left out.  A message that would
  // grow beyond `most` bytes is followed by another one. No look must be under
  // way.
  void AppendChanges(int64_t since, const std::set<std::string>& names,
                     size_t most, std::deque<std::string>& messages) const;

  // Forgets what was deleted and is news to nobody: `told` has the numbers of
  // the looks that watchers were told of.  So no more is kept than those
  // watchers know of, however many come and go.
  void Prune(const std::set<int64_t>& told);

  // Forgets all.  Looks are numbered on.
  void Clear();

  size_t size() const { return listeners_.size(); }
  size_t num_deleted() const { return deleted_.size(); }

 private:
  struct Entry {
    std::string stats;
    int64_t first = 0;    // The look that has found the listener first.
    int64_t changed = 0;  // The one that has found it so.
    int64_t seen = 0;     // The last one that has found it.
  };
  struct Deleted {
    std::string name;
    int64_t first = 0;  // As of the entry.
    int64_t look = 0;   // The one that has not found it any more.

    // Whether a watcher that was told of look `number` knows it, and does not
    // know that it is gone.
    bool IsNewsAfter(int64_t number) const {
      return first <= number && number < look;
    }
  };

  int64_t last_ = 0;
  absl::btree_map<std::string, Entry> listeners_;
  std::vector<Deleted> deleted_;
};

}  // namespace portreeve::server

#endif  // PORTREEVE_SERVER_STATS_STATS_VIEW_H_
